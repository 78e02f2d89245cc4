//! What `[ledger]`, `[control]` and `[[hook]]` settle: what is remembered, who may ask, and who is told.

use std::path::PathBuf;
use std::time::Duration;

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
}
