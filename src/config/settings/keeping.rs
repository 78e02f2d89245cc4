//! What `[ledger]`, `[control]` and `[[hook]]` settle: what is remembered, who may ask, and who is told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::log::not_among_logs;
use super::names::Names;
use crate::config::error::{Place, Problem};
use crate::config::file;
use crate::config::reader::{Field, Written};
use crate::config::{Environment, first, value};
use crate::monitor::target::Name;

/// The ledger's file where neither `ledger.path` nor systemd says.
pub const DEFAULT_LEDGER: &str = "/var/lib/pingtest/ledger.db";
/// How long counts are kept minute by minute where nobody says. Outages are kept for ever.
pub const DEFAULT_KEEP_MINUTES: Duration = Duration::from_secs(7 * 86_400);
/// The control socket where neither `control.socket` nor systemd says.
pub const DEFAULT_SOCKET: &str = "/run/pingtest/control.sock";
/// How long a hook may take where it does not say.
pub const DEFAULT_HOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// Its file; `None` where none is wanted.
    pub path: Option<PathBuf>,
    /// How long counts are kept minute by minute.
    pub keep_minutes: Duration,
}

/// Who may ask the running daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The socket; `None` where none is wanted.
    pub socket: Option<PathBuf>,
    /// The group that may use it besides the daemon's user.
    pub group: Option<String>,
}

/// Who is told when something happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// What of; not empty.
    pub on: Vec<Trigger>,
    /// About which targets; all where it is empty.
    pub targets: Vec<Name>,
    /// How.
    pub action: Action,
    /// How long one telling may take.
    pub timeout: Duration,
}

/// How a hook tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A program and its arguments, without a shell; not empty.
    Command(Vec<String>),
    /// A POST of JSON to this `http://` or `https://` address.
    Webhook(String),
}

/// What is remembered, as settled from `[ledger]` and the environment, beside a log in `log_dir`.
pub(crate) fn ledger(
    written: file::Ledger,
    environment: &Environment,
    log_dir: &Path,
    problems: &mut Vec<Problem>,
) -> Ledger {
    let rule = |text: String| apart(value::file_or_off(&text)?, log_dir, ".db");
    let path = written.path.check(rule, problems);
    let keep_minutes = written.keep_minutes.check(|text| value::keep_minutes(&text), problems);
    Ledger {
        path: path.into_value().unwrap_or_else(|| {
            let own = first(environment.state_directory.as_ref()).map(|dir| dir.join("ledger.db"));
            Some(own.unwrap_or_else(|| DEFAULT_LEDGER.into()))
        }),
        keep_minutes: keep_minutes.into_value().unwrap_or(DEFAULT_KEEP_MINUTES),
    }
}

/// Who may ask, as settled from `[control]` and the environment, beside a log in `log_dir` and a ledger at `ledger`.
pub(crate) fn control(
    written: file::Control,
    environment: &Environment,
    log_dir: &Path,
    ledger: Option<&Path>,
    problems: &mut Vec<Problem>,
) -> Control {
    let rule = |text: String| {
        let socket = apart(value::socket(&text)?, log_dir, ".sock")?;
        if socket.is_some() && socket.as_deref() == ledger {
            return value::refuse("must not be the ledger's file, ledger.path");
        }
        Ok(socket)
    };
    let socket = written.socket.check(rule, problems);
    let group = written.group.check(|text| value::group(&text), problems);
    Control {
        socket: socket.into_value().unwrap_or_else(|| {
            let own = first(environment.runtime_directory.as_ref()).map(|dir| dir.join("control.sock"));
            Some(own.unwrap_or_else(|| DEFAULT_SOCKET.into()))
        }),
        group: group.into_value(),
    }
}

fn apart(path: Option<PathBuf>, log_dir: &Path, ending: &str) -> value::Result<Option<PathBuf>> {
    if let Some(path) = &path {
        not_among_logs(path, log_dir, ending)?;
    }
    Ok(path)
}

/// Who is told, as settled from each `[[hook]]`.
pub(crate) fn hooks(written: Vec<file::Hook>, names: &Names, problems: &mut Vec<Problem>) -> Vec<Hook> {
    written.into_iter().filter_map(|hook| self::hook(hook, names, problems)).collect()
}

fn hook(written: file::Hook, names: &Names, problems: &mut Vec<Problem>) -> Option<Hook> {
    let on = triggers(written.on, &written.place_of_on, problems);
    let action = action(written.command, written.webhook, &written.place_of_action, problems);
    let timeout = written.timeout.check(|text| value::hook_timeout(&text), problems).into_value();
    let targets = targets(written.targets, names, problems);
    Some(Hook { on: on?, targets, action: action?, timeout: timeout.unwrap_or(DEFAULT_HOOK_TIMEOUT) })
}

fn triggers(on: Field<Vec<Written<String>>>, place: &Place, problems: &mut Vec<Problem>) -> Option<Vec<Trigger>> {
    let on = match on {
        Field::Unset => {
            problems.push(place.problem(format!("is missing: write a list of {}", words())));
            return None;
        }
        Field::Refused => return None,
        Field::Set(on) => on,
    };
    if on.value.is_empty() {
        problems.push(on.place.problem(format!("must not be empty: write a list of {}", words())));
    }
    let mut triggers = Vec::new();
    for word in on.value {
        let rule = |word: String| {
            Trigger::of_word(&word).map_or_else(|| value::refuse(format!("must be one of {}", words())), Ok)
        };
        triggers
            .extend(Field::Set(word).check(rule, problems).into_value().filter(|trigger| !triggers.contains(trigger)));
    }
    Some(triggers)
}

/// All that a hook can be told of.
fn words() -> String {
    Trigger::ALL.map(|trigger| format!("\"{}\"", trigger.word())).join(", ")
}

/// The one of both that is written.
fn action(
    command: Field<Vec<Written<String>>>,
    webhook: Field<String>,
    place: &Place,
    problems: &mut Vec<Problem>,
) -> Option<Action> {
    let program = |words: Vec<Written<String>>| value::program(words.into_iter().map(|word| word.value).collect());
    let command = command.check(program, problems);
    let webhook = webhook.check(|text| value::webhook(&text), problems);
    match (command, webhook) {
        (Field::Unset, Field::Unset) => {
            problems.push(place.problem("is missing: write a command or a webhook"));
            None
        }
        (Field::Set(command), Field::Set(webhook)) => {
            let reason = format!("does not go with {}: write a [[hook]] for each", command.place.quoted());
            problems.push(webhook.place.problem(reason));
            None
        }
        (Field::Set(command), Field::Unset) => Some(Action::Command(command.value)),
        (Field::Unset, Field::Set(webhook)) => Some(Action::Webhook(webhook.value)),
        (Field::Refused, _) | (_, Field::Refused) => None,
    }
}

/// The targets meant; of a target of both families its legs.
fn targets(written: Field<Vec<Written<String>>>, names: &Names, problems: &mut Vec<Problem>) -> Vec<Name> {
    let Some(list) = written.into_written() else { return Vec::new() };
    if list.value.is_empty() {
        problems.push(list.place.problem("must not be empty: leave it out for all targets"));
    }
    let mut targets: Vec<Name> = Vec::new();
    for written in list.value {
        let meant = |text: String| match Name::new(&text).map(|name| names.meant_by(&name)) {
            Some(meant) if !meant.is_empty() || names.has_gaps => Ok(meant),
            Some(_) | None => value::refuse("must be the name of a target; there is none of this name"),
        };
        let meant = Field::Set(written).check(meant, problems).into_value().unwrap_or_default();
        targets.extend(meant.into_iter().filter(|name| !targets.contains(name)).collect::<Vec<_>>());
    }
    targets
}

/// What a hook is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// An outage began.
    OutageBegan,
    /// An outage is over.
    OutageEnded,
    /// A target that never answered before did.
    FirstReply,
    /// A name leads to another address.
    AddressChanged,
    /// A target became degraded.
    DegradedBegan,
    /// A target is no longer degraded.
    DegradedEnded,
}

impl Trigger {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::OutageBegan,
        Self::OutageEnded,
        Self::FirstReply,
        Self::AddressChanged,
        Self::DegradedBegan,
        Self::DegradedEnded,
    ];

    /// The word that configuration, JSON and environment have for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::OutageBegan => "outage_began",
            Self::OutageEnded => "outage_ended",
            Self::FirstReply => "first_reply",
            Self::AddressChanged => "address_changed",
            Self::DegradedBegan => "degraded_began",
            Self::DegradedEnded => "degraded_ended",
        }
    }

    /// What has this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trigger| trigger.word() == word)
    }
}
