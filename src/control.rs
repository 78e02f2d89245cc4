//! The control socket: whoever may write to it asks the running daemon, and gives it orders.
//!
//! A request is one line of JSON, and so is the answer ([`protocol`]). The server knows of the daemon what [`Handler`] says; it starts
//! and ends nothing. The client is for programs that have nothing else to wait for: it blocks.

pub mod client;
pub mod protocol;
mod render;
mod server;
mod socket;

use std::sync::Arc;

use crate::monitor::Strays;
use crate::monitor::snapshot::TargetStatus;
use crate::monitor::target::Name;
use crate::monitor::time::Wall;

pub use self::protocol::Health;
pub use self::server::Server;
pub use self::socket::{Error, GroupError};

/// What the server asks of the daemon. Neither may block: the answers are awaited.
pub trait Handler: Send + Sync + 'static {
    /// What is known of every target; `None` where there is nobody left to ask.
    fn status(&self) -> impl Future<Output = Option<Snapshot>> + Send;

    /// Carries out an order on the target of this name.
    fn order(&self, order: Order, target: Name) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// What can be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Probe the target no more.
    Pause,
    /// Probe it again.
    Resume,
}

/// Why an order was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no target of this name.
    UnknownTarget,
    /// There is nobody left to carry it out.
    Stopping,
}

/// What the daemon knows.
#[derive(Debug)]
pub struct Snapshot {
    /// When it was asked.
    pub now: Wall,
    /// When it was started.
    pub started: Wall,
    /// The targets, in the order of the configuration.
    pub targets: Vec<TargetStatus>,
    /// Replies put down to no target.
    pub strays: Strays,
    /// How the log is, where that is known.
    pub log: Option<Health>,
    /// How the ledger is, where there is one and that is known.
    pub ledger: Option<Health>,
    /// The name of the interface of this index: the zone of a link-local address.
    pub zone_name: fn(u32) -> Option<Arc<str>>,
}
