//! Shows a figure.

use std::io::{self, Write};

/// In one piece, so that it stays together among the lines of other tests.
pub(crate) fn say(text: &str) {
    let _ = io::stdout().lock().write_all(format!("{text}\n").as_bytes());
}
