//! The journal of truth: what came and what was done with it, a line of JSON each.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::Path;

use serde::Serialize;

use crate::weather::{Kind, Why};

/// What one write of the file holds: large enough that its cost does not count, and small enough that no answer waits for it.
const BUFFER: usize = 1 << 16;

/// A line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
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
    match kind {
        Kind::Reply => "reply",
        Kind::Duplicate => "duplicate",
        Kind::OtherAddress => "other_address",
        Kind::Flip { .. } => "damaged_flip",
        Kind::Checksum { .. } => "damaged_checksum",
        Kind::Truncate { .. } => "truncated",
        Kind::ForgedIdentifier { .. } => "forged_identifier",
        Kind::ForgedSequence { .. } => "forged_sequence",
        Kind::ForgedTag { .. } => "forged_tag",
        Kind::ForgedForeign => "forged_foreign",
        Kind::Error(_) => "error",
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
