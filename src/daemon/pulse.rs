//! The pulse: has the loop prove at intervals that it gets on, and says whether systemd's watchdog is to be fed.
//!
//! Which progress counts, `systemd::watchdog` decides. Where nobody asks for a watchdog, there is no pulse.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Interval, MissedTickBehavior};
use tracing::{error, info, warn};

use super::tell::microseconds;
use crate::clock;
use crate::driver::{Command, Progress, Proof};
use crate::logging::event;
use crate::sink::file::Control;
use crate::systemd::watchdog::{Feed, Feeder, Finding, Part, Reading};

/// How often it looks for a proof that was asked for. The watchdog is fed as soon as it is there, and not a beat later: what hangs in
/// between would have been fed for after it hung, and be restarted that much too late.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The proofs that are asked for, and what has come of them.
pub(super) struct Pulse {
    feeder: Feeder,
    /// When to ask for another proof.
    every: Interval,
    /// When to look for the one that was asked for.
    looks: Interval,
    /// Whether that has not come yet.
    is_awaited: bool,
    /// Whether it is time to ask.
    is_time: bool,
    commands: UnboundedSender<Command>,
    log: Control,
    progress: Arc<Progress>,
    /// The proof asked for last.
    number: u64,
    /// What the log's disk had answered when it was.
    steps: u64,
}

impl Pulse {
    /// `time` is that within which the watchdog must be fed.
    pub(super) fn new(time: Duration, commands: UnboundedSender<Command>, log: Control) -> Self {
        let feeder = Feeder::new(time, clock::monotonic());
        let [every, looks] = [feeder.every(), LOOK_EVERY].map(|time| {
            let mut interval = tokio::time::interval(time);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        let progress = Arc::default();
        Self { feeder, every, looks, is_awaited: false, is_time: false, commands, log, progress, number: 0, steps: 0 }
    }

    /// Waits for the next beat of the pulse, or look for a proof; for ever where there is none. Cancel safe.
    pub(super) async fn due(pulse: &mut Option<Self>) {
        let Some(pulse) = pulse else { return std::future::pending().await };
        tokio::select! {
            _ = pulse.every.tick() => pulse.is_time = true,
            _ = pulse.looks.tick(), if pulse.is_awaited => {}
        }
    }

    /// Looks at what came of the last proof, and asks for another where it is time.
    pub(super) fn beat(&mut self) -> Feed {
        let reading = Reading {
            turned: self.progress.turned(),
            received: self.progress.received(),
            answered: self.progress.answered(),
            refused: self.progress.refused(),
            silent: self.progress.silent(),
            written: self.log.marked(),
            // A disk may need longer for a batch of lines than the watchdog has time.
            writing: if self.log.steps() == self.steps { 0 } else { self.number },
        };
        let (feed, found) = self.feeder.handle_reading(&reading, clock::monotonic());
        found.iter().for_each(tell);
        self.is_awaited &= feed == Feed::NotYet;
        // A loop that hangs is not to find a heap of orders.
        if std::mem::take(&mut self.is_time) && reading.turned == self.number {
            self.number += 1;
            self.steps = self.log.steps();
            self.is_awaited = true;
            self.looks.reset();
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
            PINGTEST_PART = word(*part),
            PINGTEST_LASTED_USEC = microseconds(*time),
            "{part} has made no progress for {:.1} s; systemd's watchdog is not fed",
            time.as_secs_f64()
        ),
        Finding::GoesOn(part) => {
            info!(PINGTEST_EVENT = event::GOES_ON, PINGTEST_PART = word(*part), "{part} makes progress again")
        }
        Finding::Unprovable => warn!(
            PINGTEST_EVENT = event::UNPROVABLE,
            "this host does not answer itself over loopback: that packets are received cannot be proved, and systemd's watchdog is fed \
             without that proof"
        ),
    }
}

/// What a part is called in a field, to query by.
fn word(part: Part) -> &'static str {
    match part {
        Part::Driver => "driver",
        Part::Receive => "receive",
        Part::Writer => "writer",
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::sync::Mutex;

    use tracing::field::Field;
    use tracing::{Event, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    /// Keeps the fields of what is told.
    struct Fields(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Fields {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut fields = self.0.lock().expect("no other thread has it");
            event.record(&mut |field: &Field, value: &dyn Debug| fields.push(format!("{}={value:?}", field.name())));
        }
    }

    fn told(finding: &Finding) -> String {
        let fields = Arc::default();
        let told = Fields(Arc::clone(&fields));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(told), || tell(finding));
        let fields = fields.lock().expect("no other thread has it");
        fields.join(" ")
    }

    #[test]
    fn of_a_part_that_stalls_its_word_and_the_time_can_be_queried() {
        let stalled = told(&Finding::Stalled(Part::Receive, Duration::from_millis(20_500)));
        assert!(stalled.contains("PINGTEST_PART=\"receive\" PINGTEST_LASTED_USEC=20500000"), "{stalled}");
        let goes_on = told(&Finding::GoesOn(Part::Writer));
        assert!(goes_on.contains("PINGTEST_PART=\"writer\""), "{goes_on}");
    }
}
