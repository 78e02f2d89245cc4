//! What comes in through the control socket, put to the loop.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tracing::warn;

use super::parts::{Told, zone_name};
use crate::config;
use crate::control::{self, Health, Order, Refusal, Server, Snapshot};
use crate::driver::{self, Command, Pause};
use crate::ledger;
use crate::logging::event;
use crate::monitor;
use crate::monitor::target::Name;
use crate::monitor::time::Wall;
use crate::sink::file;

/// What comes in through the control socket, put to the loop.
pub(super) struct Asking {
    pub(super) commands: UnboundedSender<Command>,
    pub(super) started: Wall,
    pub(super) condition: Condition,
}

/// How what is written is, by what its writers told last.
#[derive(Debug, Clone, Default)]
pub(super) struct Condition(Arc<Mutex<Conditions>>);

#[derive(Debug, Default)]
struct Conditions {
    log: Health,
    ledger: Health,
}

impl Condition {
    /// Takes note of what a writer tells.
    pub(super) fn hear(&self, told: &Told) {
        let Conditions { log, ledger } = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match told {
            Told::Log(notice) => hear_of_log(notice, log),
            Told::Ledger(notice) => hear_of_ledger(notice, ledger),
            Told::Driver(_) | Told::Found(_) | Told::Hook(_) => {}
        }
    }

    /// How the log is, and the ledger.
    pub(super) fn told(&self) -> (Health, Health) {
        let conditions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (conditions.log.clone(), conditions.ledger.clone())
    }
}

fn hear_of_log(notice: &file::Notice, health: &mut Health) {
    use file::Notice;
    match notice {
        Notice::Failed { path, error } => health.failing = Some(format!("cannot write {}: {error}", path.display())),
        Notice::Recovered { not_written, .. } | Notice::Abandoned { not_written, .. } => {
            health.failing = None;
            add(&mut health.not_written, *not_written);
        }
        Notice::Replaced { .. }
        | Notice::NotRotated { .. }
        | Notice::NotPacked { .. }
        | Notice::NotDeleted { .. }
        | Notice::NotSynced { .. }
        | Notice::Unlisted { .. }
        | Notice::Deleted { .. }
        | Notice::StdoutClosed => {}
    }
}

fn hear_of_ledger(notice: &ledger::Notice, health: &mut Health) {
    use ledger::Notice;
    match notice {
        Notice::Failed { error } => health.failing = Some(error.to_string()),
        Notice::Recovered { given_up: dropped, .. } | Notice::Abandoned { given_up: dropped, .. } => {
            health.failing = None;
            add(&mut health.not_written, dropped.findings);
        }
        Notice::Behind { dropped, .. } => add(&mut health.not_written, dropped.findings),
        Notice::SetAside { .. } | Notice::TakenAway { .. } => {}
    }
}

fn add(sum: &mut Option<u64>, more: u64) {
    if more > 0 {
        *sum = Some(sum.unwrap_or(0).saturating_add(more));
    }
}

impl Asking {
    /// Probing and writing go on without a socket.
    pub(super) fn listen(self, wanted: &config::Control) -> Option<Server> {
        let path = wanted.socket.as_deref()?;
        let server = Server::start(path, wanted.group.as_deref(), self)
            .inspect_err(|error| {
                warn!(
                    PINGTEST_EVENT = event::CONTROL_FAILED,
                    "no control socket, so that nobody can ask for the status: {error}"
                );
            })
            .ok()?;
        if let Some(problem) = server.group_problem() {
            warn!("{problem}");
        }
        Some(server)
    }
}

impl control::Handler for Asking {
    async fn status(&self) -> Option<Snapshot> {
        let (answer, told) = oneshot::channel();
        self.commands.send(Command::Status(answer)).ok()?;
        let driver::Status { now, targets, strays } = told.await.ok()?;
        let (now, started) = (now.wall, self.started);
        let (log, ledger) = self.condition.told();
        Some(Snapshot { now, started, targets, strays, log: Some(log), ledger: Some(ledger), zone_name })
    }

    async fn order(&self, order: Order, target: Name) -> Result<(), Refusal> {
        let (answer, told) = oneshot::channel();
        let pause = match order {
            Order::Pause => Pause::Begin,
            Order::Resume => Pause::End,
        };
        self.commands.send(Command::Pause(target, pause, answer)).map_err(|_| Refusal::Stopping)?;
        let done = told.await.map_err(|_| Refusal::Stopping)?;
        done.map_err(|monitor::UnknownTarget| Refusal::UnknownTarget)
    }
}
