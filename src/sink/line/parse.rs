//! Lines read back: text and JSON, as this module's neighbours write them.
//!
//! What a line tells is kept under the keys of JSON, whichever form it had, so that each form can be written from the other;
//! the line's own form is passed on byte for byte. Text lacks `sent`, the address of which an answer from elsewhere was awaited
//! and that of which an error tells; JSON lacks a loss's timeout, the last number of a range, a host's name and whether an
//! error was late. What is lacking is left out and never guessed.
//!
//! Pure like its neighbours: it knows no file, and not which file a line is from.

mod body;
mod keys;

use std::fmt::{self, Write};

use chrono::{Local, TimeZone};

use self::keys::Keys;
use super::json::Stamp;
use super::stamp::{StampReader, Stamper};
use super::{Bytes, Printable, breaks_line};
pub use super::{Moment, Outcome};
use super::{StampFormat, json};
use crate::monitor::target::Name;
use crate::monitor::time::Wall;

/// What each line in JSON begins with, and no line of text but by a strange time format.
const JSON_BEGIN: &str = r#"{"ts":""#;

/// Reads lines back. Lines in JSON are recognised by their `{`; the stamps of text lines are tried in the order of `stamps`, the
/// one that fitted last first. Keeps what it read of the current second, so that consecutive lines are cheap.
#[derive(Debug)]
pub struct Parser<Z: TimeZone = Local> {
    stamps: Vec<StampReader<Z>>,
    /// Which of `stamps` fitted last.
    last: usize,
    ts: StampReader<Z>,
    to_text: Stamper<Z>,
    to_json: Stamp<Z>,
}

impl<Z: TimeZone> Parser<Z>
where
    Z::Offset: fmt::Display,
{
    /// A parser of lines whose stamps are in one of these formats, in the local time of `zone` where they tell no offset. The
    /// first format is also that in which lines of JSON become text; it is the default's where there is none.
    pub fn new(stamps: &[StampFormat], zone: Z) -> Self {
        let first = stamps.first().cloned().unwrap_or_default();
        Self {
            stamps: stamps.iter().map(|format| StampReader::new(format, zone.clone())).collect(),
            last: 0,
            ts: StampReader::new(&StampFormat::rfc3339(), zone.clone()),
            to_text: Stamper::new(&first, zone.clone()),
            to_json: Stamp::new(zone),
        }
    }

    /// The time of a line and nothing else, for a search that looks at many: what follows the stamp may be anything.
    pub fn moment(&mut self, line: &[u8]) -> Option<Moment> {
        match line.strip_prefix(JSON_BEGIN.as_bytes()) {
            Some(rest) => self.ts.read(rest, b'"').map(|(moment, _)| moment),
            None => self.first_fit(|stamp| stamp.read(line, b' ').map(|(moment, _)| moment)),
        }
    }

    /// The whole line, with or without its newline; `None` for what is no line of ours (torn, foreign).
    pub fn entry<'a>(&mut self, line: &'a [u8]) -> Option<Entry<'a>> {
        let line = clean(line.strip_suffix(b"\n").unwrap_or(line))?;
        match line.strip_prefix(JSON_BEGIN) {
            Some(rest) => self.json_entry(line, rest),
            None => self.first_fit(|stamp| text_entry(line, stamp)),
        }
    }

    fn json_entry<'a>(&mut self, line: &'a str, rest: &str) -> Option<Entry<'a>> {
        let (moment, _) = self.ts.read(rest.as_bytes(), b'"')?;
        let keys = Keys::from_json(line)?;
        let mut stamp = String::new();
        // Writing to a String fails only where chrono gives a stamp up; the line goes on without it.
        let _ = self.to_text.write(moment.earliest, &mut Printable(&mut stamp));
        Some(Entry { moment, line, keys, form: Form::Json { stamp } })
    }

    /// What is found by the first stamp that fits, and remembers which it was.
    fn first_fit<T>(&mut self, mut read: impl FnMut(&mut StampReader<Z>) -> Option<T>) -> Option<T> {
        let last = self.last;
        let others = (0..self.stamps.len()).filter(|&at| at != last);
        std::iter::once(last).chain(others).find_map(|at| {
            let found = read(self.stamps.get_mut(at)?)?;
            self.last = at;
            Some(found)
        })
    }
}

fn text_entry<'a, Z: TimeZone>(line: &'a str, stamp: &mut StampReader<Z>) -> Option<Entry<'a>> {
    let (moment, len) = stamp.read(line.as_bytes(), b' ')?;
    let (stamp, rest) = line.split_at_checked(len)?;
    let (target, body) = label(rest.strip_prefix(' ')?);
    let keys = Keys { target: target.map(Into::into), ..body::keys(body, stamp)? };
    Some(Entry { moment, line, keys, form: Form::Text })
}

/// The target's name in brackets, where there is one, and what follows.
fn label(text: &str) -> (Option<&str>, &str) {
    let labelled = text.strip_prefix('[').and_then(|text| text.split_once("] "));
    match labelled.filter(|(name, _)| Name::new(name).is_some()) {
        Some((name, body)) => (Some(name), body),
        None => (None, text),
    }
}

/// A line as text, where it is as clean as each of our lines.
fn clean(line: &[u8]) -> Option<&str> {
    let text = str::from_utf8(line).ok()?;
    let plain = line.iter().all(|byte| matches!(byte, b' '..=b'~'));
    (plain || !text.contains(breaks_line)).then_some(text)
}

/// A line that was read.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// When it happened.
    pub moment: Moment,
    line: &'a str,
    keys: Keys<'a>,
    form: Form,
}

/// What a line was written in.
#[derive(Debug, Clone)]
enum Form {
    Text,
    /// With the stamp that the line bears as text.
    Json {
        stamp: String,
    },
}

impl Entry<'_> {
    /// What happened.
    pub fn outcome(&self) -> Outcome {
        self.keys.outcome
    }

    /// The target where the line itself tells it: JSON's `target`, or the label in brackets.
    pub fn target(&self) -> Option<&str> {
        self.keys.target()
    }

    /// Appends the line as text, without a newline: byte for byte what was read where it was text, else in the parser's first
    /// time format and without a label.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        match &self.form {
            Form::Text => out.extend_from_slice(self.line.as_bytes()),
            Form::Json { stamp } => {
                let mut line = Printable(Bytes(out));
                // The buffer takes everything, and keys from which no text could be written were refused.
                let _ = line.write_str(stamp).and_then(|()| line.write_str(" "));
                let _ = self.keys.write_text(&mut line);
            }
        }
    }

    /// Appends the line as JSON, without a newline: byte for byte what was read where it was JSON. Else `at` is what its moment
    /// was resolved to, shown in the zone of `parser`, and `target` the name where the line tells none.
    pub fn write_json<Z: TimeZone>(&self, at: Wall, target: Option<&str>, parser: &mut Parser<Z>, out: &mut Vec<u8>)
    where
        Z::Offset: fmt::Display,
    {
        match &self.form {
            Form::Text => json::append(&self.keys.json(parser.to_json.text(at), target), out),
            Form::Json { .. } => out.extend_from_slice(self.line.as_bytes()),
        }
    }
}
