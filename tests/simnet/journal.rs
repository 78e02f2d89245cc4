//! The journal of truth: what came and what was done with it, a line of JSON each.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::Path;

use serde::Serialize;

use crate::weather::{Echo, Kind, Why};

/// What one write of the file holds: large enough that its cost does not count, and small enough that no answer waits for it.
const BUFFER: usize = 1 << 16;

/// A line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    Ready { at: u64 },
    Request(RequestEvent<'a>),
    Answer(AnswerEvent),
    End(Counts),
}

/// A request, and what was decided.
#[derive(Debug, Serialize)]
pub(crate) struct RequestEvent<'a> {
    pub(crate) at: u64,
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) ident: u16,
    pub(crate) seq: u16,
    pub(crate) n: u64,
    pub(crate) bytes: usize,
    pub(crate) ttl: u8,
    pub(crate) fate: &'a [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<&'static str>,
}

/// An answer that was sent; `dst`, `ident`, `seq` and `n` are those of its request.
#[derive(Debug, Serialize)]
pub(crate) struct AnswerEvent {
    pub(crate) at: u64,
    pub(crate) due: u64,
    pub(crate) dst: IpAddr,
    pub(crate) ident: u16,
    pub(crate) seq: u16,
    pub(crate) n: u64,
    pub(crate) kind: &'static str,
    pub(crate) from: IpAddr,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<ErrorEvent>,
}

/// What an answer says that is an ICMP error.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorEvent {
    #[serde(rename = "type")]
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) router: IpAddr,
}

/// How much there was of everything.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) answers: u64,
    pub(crate) unanswerable: u64,
}

/// The word for a kind of answer.
pub(crate) fn kind_word(kind: Kind) -> &'static str {
    let echo = match kind {
        Kind::Echo(echo) => echo,
        Kind::Error(_) => return "error",
    };
    match echo {
        Echo::Reply => "reply",
        Echo::Duplicate => "duplicate",
        Echo::OtherAddress => "other_address",
        Echo::Flip { .. } => "damaged_flip",
        Echo::Checksum { .. } => "damaged_checksum",
        Echo::Truncate { .. } => "truncated",
        Echo::ForgedIdentifier { .. } => "forged_identifier",
        Echo::ForgedSequence { .. } => "forged_sequence",
        Echo::ForgedTag { .. } => "forged_tag",
        Echo::ForgedForeign => "forged_foreign",
    }
}

/// The word for a reason not to answer.
pub(crate) fn why_word(why: Why) -> &'static str {
    match why {
        Why::Loss => "loss",
        Why::Silent => "silent",
        Why::Down => "down",
        Why::Limited => "limited",
    }
}

/// The file, or nowhere.
#[derive(Debug)]
pub(crate) struct Journal(Option<BufWriter<File>>);

impl Journal {
    /// Begins a journal in an emptied file.
    pub(crate) fn create(path: Option<&Path>) -> io::Result<Self> {
        let file = path.map(File::create).transpose()?;
        Ok(Self(file.map(|file| BufWriter::with_capacity(BUFFER, file))))
    }

    /// Adds a line.
    pub(crate) fn write(&mut self, event: &Event<'_>) -> io::Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        serde_json::to_writer(&mut *file, event)?;
        file.write_all(b"\n")
    }

    /// Hands all lines to the kernel.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), BufWriter::flush)
    }

    /// Hands all lines to the disk.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.0.map_or(Ok(()), |file| file.get_ref().sync_data())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: &Event<'_>) -> String {
        serde_json::to_string(event).unwrap()
    }

    #[test]
    fn lines_are_those_of_the_manual() {
        let ready = line(&Event::Ready { at: 1_764_200_000_000_000_000 });
        let [src, dst] = ["192.0.2.1", "10.1.0.7"].map(|address| address.parse().unwrap());
        let (at, ident, seq, n) = (1_764_200_000_123_456_789, 4711, 12, 12);
        let request = RequestEvent { at, src, dst, ident, seq, n, bytes: 64, ttl: 64, fate: &["reply"], why: None };
        let manual = include_str!("README.md");
        assert!(manual.contains(&ready), "{ready}");
        let written = line(&Event::Request(request));
        assert!(manual.contains(&written), "{written}");
        let answer = AnswerEvent { at, due: at, dst, ident, seq, n, kind: "reply", from: dst, error: None };
        let written = line(&Event::Answer(answer)).replace(&at.to_string(), "…");
        assert!(manual.contains(&written), "{written}");
        let end = line(&Event::End(Counts::default())).replace('0', "…");
        assert!(manual.contains(&end), "{end}");
    }

    #[test]
    fn a_request_without_an_answer_says_why_and_an_error_what_it_is() {
        let (src, dst): (IpAddr, IpAddr) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        let why = Some(why_word(Why::Loss));
        let request = RequestEvent { at: 1, src, dst, ident: 2, seq: 3, n: 4, bytes: 8, ttl: 5, fate: &[], why };
        let written = line(&Event::Request(request));
        assert!(written.ends_with(r#","fate":[],"why":"loss"}"#), "{written}");
        let error = Some(ErrorEvent { kind: 1, code: 4, router: src });
        let answer = AnswerEvent { at: 1, due: 2, dst, ident: 2, seq: 3, n: 4, kind: "error", from: src, error };
        let written = line(&Event::Answer(answer));
        assert!(written.ends_with(r#","from":"fd00::1","type":1,"code":4,"router":"fd00::1"}"#), "{written}");
    }
}
