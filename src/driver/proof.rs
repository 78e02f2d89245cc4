//! The proof that the loop gets on: what it was to prove, and how far it has come with that.
//!
//! A proof is a number that goes the way of a line: into the loop, out to this host's loopback, back through the sockets, and behind the
//! records to the log. Who asks for it, and what follows where it does not arrive, this module does not know.
//!
//! Where proofs are asked for, silence is doubted as well: before a loss is judged, something must have been read lately, or nothing be
//! there to be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::monitor::sample::Message;
use crate::monitor::time::Mono;

/// Silence that is not doubted: what was in flight for longer found ears that heard. Whatever this host answers itself has come by then.
const HEARS_WITHIN: Duration = Duration::from_millis(100);

/// How far proofs have come, each by the number of the last one. Written by the loop once a turn at most, read by whoever asked.
#[derive(Debug, Default)]
pub struct Progress {
    turned: AtomicU64,
    received: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    silent: AtomicU64,
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

    /// Nothing came in after our own request, and nothing waits to be read either.
    pub fn silent(&self) -> u64 {
        self.silent.load(Ordering::Relaxed)
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
    /// Since when nothing was heard, in this proof and those before.
    asked: Mono,
    /// Whether the answer may still come: there was none, and it was not found that there is none.
    is_awaited: bool,
}

/// What came in since the proof began; the later, the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Heard {
    Nothing,
    Something,
    Answer,
}

impl Proving {
    /// `before` is the proof before this one.
    pub(super) fn new(tag: [u8; Proof::TAG], proof: Proof, before: Option<&Self>, now: Mono) -> Self {
        let asked = before.filter(|before| before.heard == Heard::Nothing).map_or(now, |before| before.asked);
        let (heard, told) = (Heard::Nothing, Heard::Nothing);
        Self { tag, proof, has_turned: false, heard, told, asked, is_awaited: true }
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
        Self { is_awaited: has_left, ..self }
    }

    /// A packet was read from a socket of targets.
    pub(super) fn hears_others(&mut self) {
        self.heard = self.heard.max(Heard::Something);
    }

    /// A packet was read from the socket for requests of our own: it may be the answer to this or an earlier one.
    pub(super) fn hears_back(&mut self, message: &Message<'_>) {
        let (Message::EchoReply { payload, .. } | Message::Error { payload, .. }) = message;
        let is_ours = payload.starts_with(&self.tag);
        self.heard = self.heard.max(if is_ours { Heard::Answer } else { Heard::Something });
        self.is_awaited &= !is_ours;
    }

    /// Whether an answer may be there to be read.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// Whether the answer would have come, did this host answer itself and did we hear it.
    pub(super) fn is_overdue(&self, now: Mono) -> bool {
        self.is_awaited && now - self.asked >= HEARS_WITHIN
    }

    /// When it will be, if it is not.
    pub(super) fn overdue_at(&self, now: Mono) -> Option<Mono> {
        (self.is_awaited && !self.is_overdue(now)).then(|| self.asked + HEARS_WITHIN)
    }

    /// The answer is overdue, and nothing waits to be read: no more is awaited.
    pub(super) fn handle_silence(&mut self) {
        self.is_awaited = false;
        if self.heard == Heard::Nothing {
            self.proof.progress.silent.store(self.proof.number, Ordering::Relaxed);
        }
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

/// Whether it is the network that is silent, or we that do not hear.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// When something was read last.
    heard: Mono,
    asked: Option<Mono>,
    /// This host has answered a request of our own: were it silent, it would be we who do not hear.
    answers: bool,
}

impl Hearing {
    /// Packets were read at this time; an answer of this host may be among them.
    pub(super) fn handle_packets(&mut self, at: Mono, is_answered: bool) {
        self.heard = self.heard.max(at);
        self.asked = None;
        self.answers |= is_answered;
    }

    /// The kernel would not send a request of our own, so that its silence means nothing.
    pub(super) fn handle_refusal(&mut self, at: Mono) {
        self.handle_packets(at, false);
    }

    /// This host was asked, and nothing waits to be read: it is silent itself, and we are not deaf.
    pub(super) fn handle_silence(&mut self, at: Mono) {
        self.handle_packets(at, false);
    }

    /// Whether nothing was read for so long that it may be our doing.
    pub(super) fn is_doubtful(&self, now: Mono) -> bool {
        self.answers && now - self.heard >= HEARS_WITHIN
    }

    /// Whether this host is to be asked: silence is doubtful, and the last request is a while ago.
    pub(super) fn poll_request(&mut self, now: Mono) -> bool {
        let is_due = self.is_doubtful(now) && self.asked.is_none_or(|asked| now - asked >= HEARS_WITHIN);
        if is_due {
            self.asked = Some(now);
        }
        is_due
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
        (Proving::new(TAG, Proof { number, progress: Arc::clone(&progress) }, None, Mono::default()), progress)
    }

    #[test]
    fn the_reply_to_our_own_request_is_known_and_proves_that_packets_are_read() {
        let (mut proving, progress) = proving(3);
        let payload = proving.payload();
        proving.hears_back(&reply(&payload));
        assert!(proving.is_answered() && !proving.is_awaited());
        assert_eq!(proving.handle_turn(), Some(3));
        assert_eq!((progress.turned(), progress.received(), progress.answered()), (3, 3, 3));
    }

    #[test]
    fn a_packet_that_is_not_our_own_proves_that_packets_are_read_and_no_more() {
        let (mut proving, progress) = proving(3);
        proving.hears_others();
        proving.hears_back(&reply(&[7]));
        assert!(!proving.is_answered() && proving.is_awaited());
        proving.handle_turn();
        assert_eq!((progress.received(), progress.answered()), (3, 0));
    }

    #[test]
    fn silence_is_doubted_once_this_host_has_answered_and_asked_about_again_and_again() {
        let ms = |ms: u64| Mono::from_nanos(ms * 1_000_000);
        let mut hearing = Hearing::default();
        hearing.handle_packets(ms(0), false);
        assert!(
            !hearing.is_doubtful(ms(5000)) && !hearing.poll_request(ms(5000)),
            "it may be deaf, and nobody can tell"
        );
        hearing.handle_packets(ms(5000), true);
        assert!(!hearing.is_doubtful(ms(5099)));
        assert!(hearing.is_doubtful(ms(5100)));
        assert!(hearing.poll_request(ms(5100)) && !hearing.poll_request(ms(5150)) && hearing.poll_request(ms(5200)));
        hearing.handle_packets(ms(5210), false);
        assert!(!hearing.is_doubtful(ms(5300)), "whoever was read");
        assert!(hearing.poll_request(ms(5400)));
        hearing.handle_refusal(ms(5400));
        assert!(!hearing.is_doubtful(ms(5400)));
    }

    #[test]
    fn an_answer_is_overdue_after_a_while_and_in_a_long_silence_at_once() {
        let ms = |ms: u64| Mono::from_nanos(ms * 1_000_000);
        let progress = Arc::new(Progress::default());
        let proof = |number| Proof { number, progress: Arc::clone(&progress) };
        let mut proving = Proving::new(TAG, proof(1), None, ms(0)).sent(true);
        assert!(!proving.is_overdue(ms(99)) && proving.is_overdue(ms(100)));
        proving.handle_silence();
        assert!(!proving.is_awaited());
        assert_eq!((progress.silent(), progress.received()), (1, 0));
        let mut proving = Proving::new(TAG, proof(2), Some(&proving), ms(5000)).sent(true);
        assert!(proving.is_overdue(ms(5000)));
        proving.hears_others();
        proving.handle_silence();
        assert_eq!(progress.silent(), 1, "something was heard");
        assert!(!Proving::new(TAG, proof(3), Some(&proving), ms(9000)).is_overdue(ms(9099)));
    }

    #[test]
    fn a_turn_in_which_nothing_came_proves_the_turn_and_nothing_else() {
        let (mut proving, progress) = proving(3);
        assert_eq!(proving.handle_turn(), Some(3));
        assert_eq!(proving.handle_turn(), None, "one mark for each proof");
        assert_eq!((progress.turned(), progress.received(), progress.refused()), (3, 0, 0));
    }
}
