//! Standard output: a terminal that is drawn on again and again, or a file or pipe to which is appended.

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use chrono::Local;
use rustix::termios::tcgetwinsize;

use super::Error;
use super::table::{self, Colour, View};
use crate::control::client;

/// Cursor to the upper left corner; the rest of a line is erased; what is below is erased (ECMA-48: CUP, EL, ED).
const HOME: &str = "\x1b[H";
const ERASE_LINE: &str = "\x1b[K";
const ERASE_BELOW: &str = "\x1b[J";

/// How often something is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Showing {
    Once,
    Again,
}

/// Where answers are shown.
pub(super) struct Screen {
    json: bool,
    showing: Showing,
    /// Something stands there already.
    begun: bool,
}

impl Screen {
    pub(super) fn new(json: bool, showing: Showing) -> Self {
        Self { json, showing, begun: false }
    }

    /// Shows the daemon's answer.
    ///
    /// # Errors
    /// Where it refuses, or is not understood, or nobody reads.
    pub(super) fn show(&mut self, line: &str) -> Result<(), Error> {
        match client::understood(line) {
            // Whoever asked for JSON may understand more than this program.
            Ok(_) | Err(client::Error::NotUnderstood { .. }) if self.json => put(&format!("{line}\n")),
            Err(error) => Err(error.into()),
            Ok(answer) => self.draw(&table::render(&answer, &self.view(), &Local)),
        }
    }

    /// Shows in place of an answer that there is none; outside of a terminal, `complain` is told.
    ///
    /// # Errors
    /// Where nobody reads.
    pub(super) fn trouble(&mut self, error: Error, complain: &mut dyn FnMut(&Error)) -> Result<(), Error> {
        if self.json || !io::stdout().is_terminal() {
            complain(&error);
            return Ok(());
        }
        self.draw(&format!("{error}\n"))
    }

    fn draw(&mut self, text: &str) -> Result<(), Error> {
        let begun = std::mem::replace(&mut self.begun, true);
        match self.showing {
            Showing::Once => put(text),
            Showing::Again if io::stdout().is_terminal() => put(&redrawn(text)),
            Showing::Again if begun => put(&format!("\n{text}")),
            Showing::Again => put(text),
        }
    }

    /// As wide as the terminal is at present, and as high where nothing may scroll away.
    fn view(&self) -> View {
        let stdout = io::stdout();
        let size = tcgetwinsize(&stdout).ok().filter(|size| size.ws_col > 0 && stdout.is_terminal());
        let rows = size.map(|size| usize::from(size.ws_row)).filter(|rows| *rows > 0);
        View {
            width: size.map(|size| usize::from(size.ws_col)),
            // The cursor stands below what is shown.
            height: rows.filter(|_| self.showing == Showing::Again).map(|rows| rows.saturating_sub(1).max(1)),
            colour: colour(stdout.is_terminal()),
        }
    }
}

/// Whether what is written to standard output is coloured.
pub(crate) fn stdout_colour() -> Colour {
    colour(io::stdout().is_terminal())
}

/// No colour where standard output is no terminal, where the user wants none (no-color.org), or where the terminal knows none.
fn colour(is_terminal: bool) -> Colour {
    let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let unknown = env::var_os("TERM").is_some_and(|term| term == "dumb");
    if is_terminal && !unwanted && !unknown { Colour::Ansi } else { Colour::Plain }
}

/// In place of what stood there, without a moment in which nothing does.
fn redrawn(text: &str) -> String {
    let mut drawn = String::from(HOME);
    for line in text.lines() {
        // A String takes everything.
        let _ = writeln!(drawn, "{line}{ERASE_LINE}");
    }
    drawn + ERASE_BELOW
}

fn put(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::Output)
}
