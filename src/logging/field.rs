//! The fields of an event as text: what is said, and what is said for the journal only.
//!
//! A field with a name that the journal takes for its users' (systemd.journal-fields(7): capitals, digits and underscores, such as
//! PINGTEST_TARGET) is the journal's alone. Everything else is part of the message.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use crate::printable::printable;

/// What an event says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// What is for everybody.
    pub(super) message: String,
    /// What is for the journal only: names and values.
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Said {
    /// Takes an event's fields apart.
    pub(super) fn of(fields: impl RecordFields) -> Self {
        let mut said = Self::default();
        fields.record(&mut said);
        said
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = lines(&format!("{value:?}"));
        match field.name() {
            "message" => self.message.insert_str(0, &value),
            name if is_for_the_journal(name) => self.fields.push((name, value)),
            name => {
                let _ = write!(self.message, " {name}={value}");
            }
        }
    }
}

/// A layer's way to write the message alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct MessageOnly;

impl<'a> FormatFields<'a> for MessageOnly {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'a>, fields: R) -> fmt::Result {
        writer.write_str(&Said::of(fields).message)
    }
}

/// Whether the journal takes a field of this name from its users.
fn is_for_the_journal(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_uppercase())
        && chars.all(|c| matches!(c, 'A'..='Z' | '0'..='9' | '_'))
        && name.len() <= 64
}

/// Text of others may be in it: several lines stay several, and nothing else steers a terminal.
fn lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_users_fields_are_for_the_journal() {
        for name in ["PINGTEST_TARGET", "A", "A2_"] {
            assert!(is_for_the_journal(name), "{name}");
        }
        for name in ["", "message", "_PID", "2A", "Pingtest", "PINGTEST.TARGET", &"A".repeat(65)] {
            assert!(!is_for_the_journal(name), "{name}");
        }
    }

    #[test]
    fn lines_stay_and_what_would_steer_does_not() {
        assert_eq!(lines("a\nb\x1b[2J\tc\r"), "a\nb\\u{1b}[2J\\tc\\r");
    }
}
