//! Cells → aligned lines, kept within a width, with coloured states.
//!
//! It knows states by their colours only.

use std::iter;

use crate::monitor::outage::State;

/// How much room there is, and whether there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Characters in a line; `None`: any number.
    pub width: Option<usize>,
    /// Lines; `None`: any number.
    pub height: Option<usize>,
    /// Whether states are coloured.
    pub colour: Colour,
}

/// Whether there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// There is none.
    Plain,
    /// By escape sequences (ECMA-48, SGR).
    Ansi,
}

pub(super) const COLUMNS: usize = 9;
const TITLES: [&str; COLUMNS] =
    ["STATE", "TARGET", "ADDRESS", "SINCE", "FOR", "LOSS", "LAST/AVG ms", "ANSWERED", "WHY"];
const ALIGNED: [Align; COLUMNS] = {
    use Align::{Left, Right};
    [Left, Left, Left, Left, Right, Right, Right, Right, Left]
};
const GAP: &str = "  ";

#[derive(Clone, Copy)]
enum Align {
    Left,
    Right,
}

/// A target's state and its cells.
pub(super) type Row = (Option<State>, [String; COLUMNS]);

/// The titles and the rows.
pub(super) fn lay_out(rows: &[Row], view: &View, out: &mut String) {
    let titles = TITLES.map(str::to_owned);
    let mut widths = TITLES.map(str::len);
    for (_, cells) in rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(chars(cell));
        }
    }
    push(cut(aligned(&titles, &widths), view.width), out);
    for (state, cells) in rows {
        let line = cut(aligned(cells, &widths), view.width);
        push(coloured(line, *state, &cells[0], view.colour), out);
    }
}

fn aligned(cells: &[String; COLUMNS], widths: &[usize; COLUMNS]) -> String {
    let mut line = String::with_capacity(widths.iter().sum::<usize>() + COLUMNS * GAP.len());
    for ((cell, width), align) in cells.iter().zip(widths).zip(ALIGNED) {
        let blank = iter::repeat_n(' ', width.saturating_sub(chars(cell)));
        match align {
            Align::Left => {
                line.push_str(cell);
                line.extend(blank);
            }
            Align::Right => {
                line.extend(blank);
                line.push_str(cell);
            }
        }
        line.push_str(GAP);
    }
    line.truncate(line.trim_end_matches(' ').len());
    line
}

fn chars(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// As much as there is room for, with a sign where there was more.
pub(super) fn cut(line: String, width: Option<usize>) -> String {
    let Some(width) = width.filter(|width| chars(&line) > *width) else { return line };
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Colours the word of the state, which the line begins with unless it was cut.
fn coloured(line: String, state: Option<State>, word: &str, colour: Colour) -> String {
    match (colour, line.strip_prefix(word)) {
        (Colour::Ansi, Some(rest)) => format!("\x1b[{}m{word}\x1b[0m{rest}", hue(state)),
        (Colour::Ansi, None) | (Colour::Plain, _) => line,
    }
}

/// The parameter of SGR (ECMA-48).
fn hue(state: Option<State>) -> &'static str {
    match state {
        Some(State::Down) => "1;31",
        Some(State::Behind) => "31",
        Some(State::Suspect | State::Degraded) => "33",
        Some(State::Up) => "32",
        Some(State::Unknown) | None => "35",
        Some(State::Paused) => "36",
    }
}

pub(super) fn push(line: String, out: &mut String) {
    out.push_str(&line);
    out.push('\n');
}
