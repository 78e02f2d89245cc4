//! `[ledger]`, `[control]` and `[[hook]]` as written. Like its parent it judges form only.

use std::ops::Range;

use toml::de::DeTable;

use super::refuse_unknown;
use crate::config::error::{Place, Problem};
use crate::config::reader::{DURATION, Field, Source, TEXT, Table, Title, Written};
use crate::config::secrets;

/// `[ledger]`.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) path: Field<String>,
    pub(crate) keep_minutes: Field<String>,
}

/// `[control]`.
#[derive(Debug, Default)]
pub(crate) struct Control {
    pub(crate) socket: Field<String>,
    pub(crate) group: Field<String>,
}

/// One `[[hook]]`.
#[derive(Debug)]
pub(crate) struct Hook {
    /// Where `on` ought to stand.
    pub(crate) place_of_on: Place,
    /// Where an action ought to stand.
    pub(crate) place_of_action: Place,
    pub(crate) on: Field<Vec<Written<String>>>,
    pub(crate) command: Field<Vec<Written<String>>>,
    pub(crate) webhook: Field<String>,
    pub(crate) timeout: Field<String>,
    pub(crate) targets: Field<Vec<Written<String>>>,
}

pub(super) const LEDGER_KEYS: &[&str] = &["path", "keep_minutes"];
pub(super) const CONTROL_KEYS: &[&str] = &["socket", "group"];
pub(super) const HOOK_KEYS: &[&str] = &["on", "command", "webhook", "timeout", "targets"];

pub(super) fn ledger(table: &Table<'_, '_>, problems: &mut Vec<Problem>) -> Ledger {
    refuse_unknown(table, LEDGER_KEYS, problems);
    Ledger { path: table.field("path", TEXT, problems), keep_minutes: table.field("keep_minutes", DURATION, problems) }
}

pub(super) fn control(table: &Table<'_, '_>, problems: &mut Vec<Problem>) -> Control {
    refuse_unknown(table, CONTROL_KEYS, problems);
    Control { socket: table.field("socket", TEXT, problems), group: table.field("group", TEXT, problems) }
}

pub(super) fn hook(
    source: &Source<'_>,
    header: Range<usize>,
    entries: &DeTable<'_>,
    problems: &mut Vec<Problem>,
) -> Hook {
    /// A command line is what somebody may expect to be able to write: it would need a shell to take it apart.
    const COMMAND: &str =
        r#"a list such as ["/usr/local/bin/tell", "--all"] (no shell runs it; ["sh", "-c", "…"] is one)"#;
    let table = Table { source, title: Title::Named("hook"), entries };
    refuse_unknown(&table, HOOK_KEYS, problems);
    Hook {
        place_of_on: table.missing("on", header.clone()),
        place_of_action: table.missing("command", header),
        on: table.list("on", r#"a list such as ["outage_began", "outage_ended"]"#, problems),
        command: table.list("command", COMMAND, problems),
        webhook: address(table.field("webhook", TEXT, problems)),
        timeout: table.field("timeout", DURATION, problems),
        targets: table.list("targets", r#"a list of names such as ["web001"]"#, problems),
    }
}

/// An address, whose problems are told without its secrets.
fn address(mut written: Field<String>) -> Field<String> {
    if let Field::Set(Written { place, .. }) = &mut written {
        place.value = place.value.as_deref().map(secrets::hidden_address);
    }
    written
}
