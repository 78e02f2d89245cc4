//! What the service manager hears of the daemon: that it is ready, reloads, stops, and how its targets are.
//!
//! How messages are sent, `systemd` knows; the figures come from the loop. Without a service manager, nothing is asked of the loop.

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot::{self, Receiver};

use super::Error;
use super::asking::Condition;
use super::parts::Told;
use crate::clock;
use crate::driver::Command;
use crate::monitor::snapshot::Tally;
use crate::systemd::Notifier;
use crate::systemd::words::{self, Loss};

/// Looks, one a second, after which the figures are asked for though nothing is known to have changed.
const ASK_EVERY: u32 = 5;

/// Keeps the service manager informed.
pub(super) struct Service {
    notifier: Notifier,
    commands: UnboundedSender<Command>,
    condition: Condition,
    loss: Loss,
    /// What went wrong with the last reload.
    trouble: Option<String>,
    /// What the manager is to hear next.
    next: Next,
    /// The figures asked for.
    asked: Option<Receiver<Tally>>,
    /// Looks since they were told, or as many as it takes where something has changed.
    looks: u32,
    told: String,
}

/// What the manager hears together with the next figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The start or a reload is over.
    Ready,
    /// Nothing else.
    Figures,
}

impl Service {
    /// A service whose start is over as soon as the loop has answered: by then it has opened the sockets that it can.
    pub(super) fn new(notifier: Notifier, commands: UnboundedSender<Command>, condition: Condition) -> Self {
        let mut service = Self {
            notifier,
            commands,
            condition,
            loss: Loss::default(),
            trouble: None,
            next: Next::Ready,
            asked: None,
            looks: 0,
            told: String::new(),
        };
        service.ask();
        service
    }

    /// Takes note of something that may change the figures.
    pub(super) fn hear(&mut self, told: &Told) {
        match told {
            Told::Driver(_) | Told::Found(_) | Told::Log(_) | Told::Ledger(_) => {
                self.looks = self.looks.max(ASK_EVERY - 1);
            }
            Told::Hook(_) => {}
        }
    }

    /// Asks for the figures where it is time; called once a second.
    pub(super) fn look(&mut self) {
        self.looks += 1;
        if self.looks >= ASK_EVERY && self.asked.is_none() {
            self.ask();
        }
    }

    /// Waits for the figures that were asked for. Cancel safe.
    pub(super) async fn figures(&mut self) -> Tally {
        loop {
            let Some(asked) = &mut self.asked else { return std::future::pending().await };
            let figures = asked.await;
            self.asked = None;
            if let Ok(tally) = figures {
                return tally;
            }
        }
    }

    /// Passes the figures on.
    pub(super) fn handle_figures(&mut self, tally: &Tally) {
        let loss = self.loss.handle(tally, clock::monotonic());
        let (log, ledger) = self.condition.told();
        let troubles = [
            self.trouble.clone(),
            log.failing.map(|error| words::not_written("log", &error)),
            ledger.failing.map(|error| words::not_written("ledger", &error)),
        ];
        let status = words::with_troubles(troubles.into_iter().flatten(), words::figures(tally, loss));
        match self.next {
            Next::Ready => self.notifier.ready(&status),
            Next::Figures if status != self.told => self.notifier.status(&status),
            Next::Figures => {}
        }
        (self.next, self.told) = (Next::Figures, status);
    }

    /// A reload has begun.
    pub(super) fn handle_reload(&mut self) {
        // Where the one before has just ended, or the start has, its end is this one's.
        (self.next, self.asked) = (Next::Figures, None);
        self.notifier.reloading("reloading the configuration");
    }

    /// A reload has ended; the loop has its orders.
    pub(super) fn handle_reloaded(&mut self, ended: Result<(), &Error>) {
        if ended.is_ok() {
            self.loss.begin_anew();
        }
        self.trouble = ended.err().map(|error| {
            let error = error.to_string();
            words::reload_failed(error.lines().next().unwrap_or_default())
        });
        self.next = Next::Ready;
        self.ask();
    }

    /// The end begins.
    pub(super) fn handle_stop(&self, why: &str) {
        self.notifier.stopping(&super::stopping_on(why));
    }

    /// The watchdog may be fed.
    pub(super) fn feed_watchdog(&self) {
        self.notifier.feed_watchdog();
    }

    fn ask(&mut self) {
        self.looks = 0;
        if self.notifier.is_heard() {
            let (answer, asked) = oneshot::channel();
            // A loop that has ended answers nobody.
            let _ = self.commands.send(Command::Tally(answer));
            self.asked = Some(asked);
        }
    }
}
