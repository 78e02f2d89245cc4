//! The proof that the loop gets on: what it was to prove, and how far it has come with that.
//!
//! A proof is a number that goes the way of a line: into the loop, out to this host's loopback, back through the sockets, and behind the
//! records to the log. Who asks for it, and what follows where it does not arrive, this module does not know.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::monitor::sample::Message;

/// How far proofs have come, each by the number of the last one. Written by the loop once a turn at most, read by whoever asked.
#[derive(Debug, Default)]
pub struct Progress {
    turned: AtomicU64,
    received: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
}

impl Progress {
    /// A turn of the loop went from its beginning to its end.
    pub fn turned(&self) -> u64 {
        self.turned.load(Ordering::Relaxed)
    }

    /// A packet was read from a socket after the proof was asked for, whoever sent it.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// This host answered our own request.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// The kernel would not send our own request.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// What the loop is to prove.
#[derive(Debug, Clone)]
pub struct Proof {
    /// Its number, greater than that of the one before.
    pub number: u64,
    /// Where to say how far it has come.
    pub progress: Arc<Progress>,
}

impl Proof {
    /// Bytes by which a reply to a request of our own is known; an error on a datagram socket quotes no more.
    pub const TAG: usize = 16;
}

/// A proof under way, or the last one that was.
#[derive(Debug)]
pub(super) struct Proving {
    tag: [u8; Proof::TAG],
    proof: Proof,
    has_turned: bool,
    /// Something was read, and not told of.
    heard: Heard,
    told: Heard,
}

/// What came in since the proof began; the later, the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Heard {
    Nothing,
    Something,
    Answer,
}

impl Proving {
    pub(super) fn new(tag: [u8; Proof::TAG], proof: Proof) -> Self {
        Self { tag, proof, has_turned: false, heard: Heard::Nothing, told: Heard::Nothing }
    }

    /// The request's payload.
    pub(super) fn payload(&self) -> [u8; Proof::TAG + 8] {
        let mut payload = [0; Proof::TAG + 8];
        payload[..Proof::TAG].copy_from_slice(&self.tag);
        payload[Proof::TAG..].copy_from_slice(&self.proof.number.to_be_bytes());
        payload
    }

    /// The request's sequence number on the wire.
    pub(super) fn sequence(&self) -> u16 {
        self.proof.number as u16
    }

    /// The request has left, or the kernel would not have it.
    pub(super) fn sent(self, has_left: bool) -> Self {
        if !has_left {
            self.proof.progress.refused.store(self.proof.number, Ordering::Relaxed);
        }
        self
    }

    /// A packet was read. Returns whether it belongs to a request of our own, this or an earlier one, and so to no target.
    pub(super) fn hears(&mut self, message: &Message<'_>) -> bool {
        let (Message::EchoReply { payload, .. } | Message::Error { payload, .. }) = message;
        let is_ours = payload.starts_with(&self.tag);
        self.heard = self.heard.max(if is_ours { Heard::Answer } else { Heard::Something });
        is_ours
    }

    /// Whether this host has answered.
    pub(super) fn is_answered(&self) -> bool {
        self.heard == Heard::Answer
    }

    /// A turn of the loop is over: says how far the proof has come. Returns the mark to be put behind the records, once.
    pub(super) fn handle_turn(&mut self) -> Option<u64> {
        let Proof { number, ref progress } = self.proof;
        if self.heard > self.told {
            self.told = self.heard;
            progress.received.store(number, Ordering::Relaxed);
            if self.heard == Heard::Answer {
                progress.answered.store(number, Ordering::Relaxed);
            }
        }
        if std::mem::replace(&mut self.has_turned, true) {
            return None;
        }
        progress.turned.store(number, Ordering::Relaxed);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::sample::Checksum;

    const TAG: [u8; Proof::TAG] = [7; Proof::TAG];

    fn reply(payload: &[u8]) -> Message<'_> {
        Message::EchoReply { sequence: 3, payload, checksum: Checksum::Good }
    }

    fn proving(number: u64) -> (Proving, Arc<Progress>) {
        let progress = Arc::new(Progress::default());
        (Proving::new(TAG, Proof { number, progress: Arc::clone(&progress) }), progress)
    }

    #[test]
    fn the_reply_to_our_own_request_is_known_and_proves_that_packets_are_read() {
        let (mut proving, progress) = proving(3);
        let payload = proving.payload();
        assert!(proving.hears(&reply(&payload)));
        assert_eq!(proving.handle_turn(), Some(3));
        assert_eq!((progress.turned(), progress.received(), progress.answered()), (3, 3, 3));
    }

    #[test]
    fn a_targets_reply_proves_that_packets_are_read_and_is_left_to_the_target() {
        let (mut proving, progress) = proving(3);
        assert!(!proving.hears(&reply(&[0; 56])));
        assert!(!proving.hears(&reply(&[7])), "too short to be known");
        proving.handle_turn();
        assert_eq!((progress.received(), progress.answered()), (3, 0));
    }

    #[test]
    fn a_turn_in_which_nothing_came_proves_the_turn_and_nothing_else() {
        let (mut proving, progress) = proving(3);
        assert_eq!(proving.handle_turn(), Some(3));
        assert_eq!(proving.handle_turn(), None, "one mark for each proof");
        assert_eq!((progress.turned(), progress.received(), progress.refused()), (3, 0, 0));
    }
}
