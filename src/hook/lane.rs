//! One hook: its queue, and the thread behind it that tells one event after the other.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use chrono::Local;
use rustix::thread::clear_ambient_capability_set;

use super::command;
use super::event::{self, Event, Told};
use super::halt::Halt;
use super::health::Health;
use super::notice::{Failure, Notice, Verdict};
use super::webhook::{self, Poster};
use super::{World, now};
use crate::config::{Action, Hook, Trigger};
use crate::monitor::target::Name;

/// No telling takes longer, whatever was asked for: a day can be added to any instant.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The near end of a hook's queue.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    settings: Arc<Hook>,
    /// Its targets; empty for all.
    targets: Arc<HashSet<Name>>,
    events: SyncSender<Event>,
    missed: Arc<AtomicU64>,
}

impl Lane {
    /// Whether the hook is to tell of this.
    pub(super) fn wants(&self, trigger: Trigger, target: &Name) -> bool {
        self.settings.on.contains(&trigger) && (self.targets.is_empty() || self.targets.contains(target))
    }

    /// Leaves an event, or counts it where there is no room.
    pub(super) fn push(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A hook with its thread. The thread ends when this is gone, and every near end of the queue.
#[derive(Debug)]
pub(super) struct Running {
    lane: Lane,
    halt: Arc<Halt>,
}

impl Running {
    pub(super) fn settings(&self) -> &Hook {
        &self.lane.settings
    }

    pub(super) fn lane(&self) -> Lane {
        self.lane.clone()
    }

    /// Has it come to an end.
    pub(super) fn stop(&self, by: Instant) {
        self.halt.order(by);
    }
}

pub(super) fn spawn(hook: &Hook, world: &World) -> io::Result<Running> {
    let settings = Arc::new(hook.clone());
    let (events, inbox) = mpsc::sync_channel(world.patience.waiting);
    let missed = Arc::new(AtomicU64::new(0));
    let halt = Arc::new(Halt::new()?);
    let teller = Teller {
        label: label(&hook.action),
        missed: Arc::clone(&missed),
        halt: Arc::clone(&halt),
        health: Health::new(world.patience.told_every),
        untold: 0,
        abandoned: 0,
        world: world.clone(),
        settings: Arc::clone(&settings),
    };
    thread::Builder::new().name("hook".into()).spawn(move || teller.run(&inbox))?;
    let targets = Arc::new(hook.targets.iter().cloned().collect());
    Ok(Running { lane: Lane { settings, targets, events, missed }, halt })
}

/// How the operator is told which hook it is.
fn label(action: &Action) -> String {
    match action {
        Action::Command(words) => words.first().cloned().unwrap_or_default(),
        Action::Webhook(address) => webhook::public_part(address),
    }
}

/// What a hook's thread works with.
struct Teller {
    settings: Arc<Hook>,
    label: String,
    world: World,
    halt: Arc<Halt>,
    missed: Arc<AtomicU64>,
    health: Health,
    /// Events that the hook has not been told of and will not be, since it was last told of any.
    untold: u64,
    /// Events left when the time to stop was up.
    abandoned: u64,
}

impl Teller {
    fn run(mut self, inbox: &Receiver<Event>) {
        // Probing may need a capability that is none of a hook's business, and an ambient one would be inherited. The set is this
        // thread's own (capabilities(7)), and where the kernel knows none there is none to clear.
        let _ = clear_ambient_capability_set();
        let mut poster = match &self.settings.action {
            Action::Command(_) => None,
            Action::Webhook(address) => Some(Poster::new(address)),
        };
        for event in inbox {
            if self.halt.last_call().is_some_and(|last_call| last_call <= now()) {
                self.abandoned += 1;
                continue;
            }
            self.count_missed();
            match &mut poster {
                None => self.run_command(&event),
                Some(poster) => self.post(poster, &event),
            }
        }
        self.count_missed();
        self.take_leave();
    }

    fn count_missed(&mut self) {
        let missed = self.missed.swap(0, Ordering::Relaxed);
        self.untold += missed;
        if let Some(count) = self.health.missed(missed, now()) {
            self.notify(Notice::Missed { hook: self.label.clone(), count });
        }
    }

    fn take_leave(&mut self) {
        if let Some(count) = self.health.rest() {
            self.notify(Notice::Missed { hook: self.label.clone(), count });
        }
        if self.abandoned > 0 {
            self.notify(Notice::Abandoned { hook: self.label.clone(), count: self.abandoned });
        }
    }

    fn told(&self, event: &Event) -> Told {
        event::told(event, self.untold, &Local, self.world.zone_name)
    }

    fn run_command(&mut self, event: &Event) {
        let Action::Command(words) = &self.settings.action else { return };
        let limits = command::Limits { timeout: self.timeout(), term_grace: self.world.patience.term_grace };
        let ended = command::run(words, &self.told(event), limits, &self.halt);
        match ended {
            Ok(()) => self.succeeded(),
            Err(failure) => {
                // A command that was run has been told, whatever became of it.
                self.untold = if let Failure::NotRun(_) = failure { self.untold + 1 } else { 0 };
                self.failed(event, failure, Verdict::GivenUp);
            }
        }
    }

    /// Tries until the event is told, refused or old.
    fn post(&mut self, poster: &mut Poster, event: &Event) {
        let Told { json, .. } = self.told(event);
        let give_up = event.since + self.world.patience.give_up_after;
        let mut pause = self.world.patience.first_retry;
        loop {
            let failure = match poster.post(&json, self.time_for_a_try()) {
                Ok(()) => return self.succeeded(),
                Err(failure) => failure,
            };
            if self.halt.by().is_some() || !webhook::is_worth_another_try(&failure) || now() + pause > give_up {
                self.untold += 1;
                return self.failed(event, failure, Verdict::GivenUp);
            }
            self.failed(event, failure, Verdict::TriedAgain);
            if self.halt.wait(pause) {
                self.abandoned += 1;
                return;
            }
            pause = (pause * 2).min(self.world.patience.longest_retry);
        }
    }

    fn time_for_a_try(&self) -> Duration {
        let left = self.halt.by().map(|by| by.saturating_duration_since(now()));
        left.map_or(self.timeout(), |left| left.min(self.timeout()))
    }

    fn timeout(&self) -> Duration {
        self.settings.timeout.min(LONGEST)
    }

    fn succeeded(&mut self) {
        self.untold = 0;
        if let Some(untold) = self.health.well() {
            self.notify(Notice::Recovered { hook: self.label.clone(), untold });
        }
    }

    fn failed(&mut self, event: &Event, failure: Failure, verdict: Verdict) {
        if let Some(untold) = self.health.failed(now()) {
            let target = event.finding.target.name.clone();
            self.notify(Notice::Failed {
                hook: self.label.clone(),
                event: event.trigger,
                target,
                failure,
                verdict,
                untold,
            });
        }
    }

    fn notify(&self, notice: Notice) {
        (self.world.notify)(notice);
    }
}
