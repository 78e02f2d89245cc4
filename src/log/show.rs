//! Which lines are shown, and how.
//!
//! Knows lines and the order they come in, not the files they come from.

use std::collections::VecDeque;
use std::io::{self, Write};

use chrono::Local;

use super::search::Piece;
use super::window::{Range, Resolver, SetBacks, Window};
use crate::monitor::time::Wall;
use crate::sink::line::{Entry, Format, Labels, Outcome, Parser};

/// What is wanted of the lines of one log.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) range: Range,
    pub(super) window: Window,
    /// Only lines of these, if any are named.
    pub(super) outcomes: Vec<Outcome>,
    /// Only lines of this target, where several share the file.
    pub(super) only: Option<String>,
    /// Whose lines they are, where they do not say.
    pub(super) target: Option<String>,
    pub(super) format: Format,
}

/// Judges lines one after the other.
pub(super) struct Judge {
    pub(super) parser: Parser,
    resolver: Resolver,
    wanted: Wanted,
    /// Whether the last line with a stamp lay in the range.
    is_inside: bool,
}

/// What is to become of a line.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and nearly always the large one")]
pub(super) enum Verdict<'a> {
    /// Nothing, and neither of any after it.
    Past,
    /// Nothing.
    Hidden,
    /// It is shown.
    Shown(Entry<'a>, Wall),
    /// It lies in the range and is none of ours: shown as it is, or not.
    Foreign { shown: bool },
}

impl Judge {
    pub(super) fn new(parser: Parser, wanted: Wanted, set_backs: SetBacks) -> Self {
        let is_inside = !wanted.range.has_beginning();
        Self { parser, resolver: Resolver::new(set_backs), wanted, is_inside }
    }

    pub(super) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Forgets the lines so far: those that come are not after them.
    pub(super) fn restart(&mut self) {
        self.is_inside = !self.wanted.range.has_beginning();
        self.resolver.restart();
    }

    /// Judges the beginning of a line, or the whole of it.
    pub(super) fn judge<'a>(&mut self, line: &'a [u8]) -> Verdict<'a> {
        if let Some(moment) = self.parser.moment(line) {
            if self.wanted.window.is_behind(moment) {
                return Verdict::Past;
            }
            let at = self.resolver.resolve(moment);
            self.is_inside = self.wanted.range.contains(at);
            if !self.is_inside {
                return Verdict::Hidden;
            }
            if let Some(entry) = self.parser.entry(line) {
                return if self.is_wanted(&entry) { Verdict::Shown(entry, at) } else { Verdict::Hidden };
            }
        }
        let shown = self.wanted.outcomes.is_empty() && self.wanted.format == Format::Text;
        if self.is_inside { Verdict::Foreign { shown } } else { Verdict::Hidden }
    }

    fn is_wanted(&self, entry: &Entry) -> bool {
        // A line without a target in a file that several share, such as that of lines not written, is for all of them.
        let concerns = |only: &String| entry.target().is_none_or(|target| target == only);
        let Wanted { outcomes, only, .. } = &self.wanted;
        only.as_ref().is_none_or(concerns) && (outcomes.is_empty() || outcomes.contains(&entry.outcome()))
    }
}

/// Whether there may be more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    More,
    /// What comes lies after the range.
    Past,
}

/// Shows lines.
pub(super) struct Printer<'a> {
    out: &'a mut dyn Write,
    /// Holds back all lines but the last ones, if so many are wanted.
    last: Option<(usize, VecDeque<Vec<u8>>)>,
    line: Vec<u8>,
    /// What becomes of the rest of a long line.
    goes_on: bool,
    /// Whether the last line shown lacks its end.
    is_open: bool,
    /// Lines that are none of ours.
    foreign: u64,
}

impl<'a> Printer<'a> {
    /// Shows all lines, or only the last `last` of those until [`Printer::release`].
    pub(super) fn new(out: &'a mut dyn Write, last: Option<usize>) -> Self {
        let last = last.map(|count| (count, VecDeque::new()));
        Self { out, last, line: Vec::new(), goes_on: false, is_open: false, foreign: 0 }
    }

    /// How many lines that are none of ours lay in the range.
    pub(super) fn foreign(&self) -> u64 {
        self.foreign
    }

    /// Shows a line if it is to be.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn show(&mut self, piece: &Piece, judge: &mut Judge) -> io::Result<Flow> {
        if !piece.begins {
            // A line that is held back is cut here.
            if self.goes_on && self.last.is_none() {
                self.out.write_all(piece.text)?;
                self.is_open = piece.text.last() != Some(&b'\n');
            }
            return Ok(Flow::More);
        }
        self.goes_on = false;
        self.line.clear();
        match judge.judge(piece.text) {
            Verdict::Past => return Ok(Flow::Past),
            Verdict::Hidden => return Ok(Flow::More),
            Verdict::Shown(entry, at) => {
                match judge.wanted.format {
                    Format::Text => {
                        let labels = if judge.wanted.target.is_none() { Labels::Bracketed } else { Labels::None };
                        entry.write_text(labels, &mut self.line);
                    }
                    Format::Json => {
                        let target = judge.wanted.target.as_deref();
                        entry.write_json::<Local>(at, target, &mut judge.parser, &mut self.line);
                    }
                }
                self.line.push(b'\n');
            }
            Verdict::Foreign { shown } => {
                self.foreign += 1;
                if !shown {
                    return Ok(Flow::More);
                }
                self.line.extend_from_slice(piece.text);
                self.goes_on = true;
            }
        }
        self.put()?;
        Ok(Flow::More)
    }

    fn put(&mut self) -> io::Result<()> {
        match &mut self.last {
            None => {
                self.end_line()?;
                self.is_open = self.line.last() != Some(&b'\n');
                self.out.write_all(&self.line)
            }
            Some((0, _)) => Ok(()),
            Some((count, kept)) => {
                let mut oldest = if kept.len() == *count { kept.pop_front().unwrap_or_default() } else { Vec::new() };
                oldest.clear();
                oldest.extend_from_slice(&self.line);
                if oldest.last() != Some(&b'\n') {
                    oldest.push(b'\n');
                }
                kept.push_back(oldest);
                Ok(())
            }
        }
    }

    /// Ends a line that had no end of its own, because the file did.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn end_line(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_open) { self.out.write_all(b"\n") } else { Ok(()) }
    }

    /// Shows what was held back, and holds nothing back from here on.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn release(&mut self) -> io::Result<()> {
        let kept = self.last.take().map(|(_, kept)| kept).unwrap_or_default();
        kept.iter().try_for_each(|line| self.out.write_all(line))?;
        self.flush()
    }

    /// Has everything reach its reader.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
