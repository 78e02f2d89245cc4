//! The pulse: has the loop prove at intervals that it gets on, and says whether systemd's watchdog is to be fed.
//!
//! Which progress counts, `systemd::watchdog` decides. Where nobody asks for a watchdog, there is no pulse.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Interval, MissedTickBehavior};
use tracing::{error, info, warn};

use crate::clock;
use crate::driver::{Command, Progress, Proof};
use crate::logging::event;
use crate::sink::file::Control;
use crate::systemd::watchdog::{Feed, Feeder, Finding, Reading};

/// The proofs that are asked for, and what has come of them.
pub(super) struct Pulse {
    feeder: Feeder,
    every: Interval,
    commands: UnboundedSender<Command>,
    log: Control,
    progress: Arc<Progress>,
    /// The proof asked for last.
    number: u64,
}

impl Pulse {
    /// `time` is that within which the watchdog must be fed.
    pub(super) fn new(time: Duration, commands: UnboundedSender<Command>, log: Control) -> Self {
        let feeder = Feeder::new(time, clock::monotonic());
        let mut every = tokio::time::interval(feeder.every());
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { feeder, every, commands, log, progress: Arc::default(), number: 0 }
    }

    /// Waits for the next beat of the pulse; for ever where there is none. Cancel safe.
    pub(super) async fn due(pulse: &mut Option<Self>) {
        match pulse {
            Some(pulse) => drop(pulse.every.tick().await),
            None => std::future::pending().await,
        }
    }

    /// Looks at what came of the last proof, and asks for another: a beat later it is there, unless something hangs.
    pub(super) fn beat(&mut self) -> Feed {
        let reading = Reading {
            turned: self.progress.turned(),
            received: self.progress.received(),
            answered: self.progress.answered(),
            refused: self.progress.refused(),
            written: self.log.marked(),
        };
        let (feed, found) = self.feeder.handle_reading(&reading, clock::monotonic());
        found.iter().for_each(tell);
        // A loop that hangs is not to find a heap of orders.
        if reading.turned == self.number {
            self.number += 1;
            let proof = Proof { number: self.number, progress: Arc::clone(&self.progress) };
            // A loop that has ended is noticed in the next turn.
            let _ = self.commands.send(Command::Prove(proof));
        }
        feed
    }
}

fn tell(finding: &Finding) {
    match finding {
        Finding::Stalled(part, time) => error!(
            PINGTEST_EVENT = event::STALLED,
            "{part} has made no progress for {:.1} s; systemd's watchdog is not fed",
            time.as_secs_f64()
        ),
        Finding::GoesOn(part) => info!(PINGTEST_EVENT = event::GOES_ON, "{part} makes progress again"),
        Finding::Unprovable => warn!(
            PINGTEST_EVENT = event::UNPROVABLE,
            "this host does not answer itself over loopback: that packets are received cannot be proved, and systemd's watchdog is fed \
             without that proof"
        ),
    }
}
