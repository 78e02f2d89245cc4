//! Hooks: programs that are run and addresses that are posted to when something happens to a target.
//!
//! The loop hands findings over and never waits: each hook has a queue of its own, with an end, and a thread of its own behind it,
//! which tells one event after the other. So a hook that hangs delays its own events and nobody else's, and there is never more than
//! one of it. What its queue has no room for is counted, and both the hook and the operator are told how much it was.
//!
//! What is worth telling the rules have found out; here nothing is judged.

mod command;
mod event;
mod halt;
mod health;
mod lane;
mod notice;
mod webhook;

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::event::Event;
use self::lane::{Lane, Running};
use crate::config::Hook;
use crate::monitor::finding::Finding;

pub use self::notice::{Failure, Notice, Verdict};

/// How patient hooks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Events that may wait for one hook; those beyond are counted and not told.
    pub waiting: usize,
    /// Until a webhook is tried for the second time; each further time twice as long.
    pub first_retry: Duration,
    /// The longest time between two tries.
    pub longest_retry: Duration,
    /// An event that a webhook could not be told of in this time is given up.
    pub give_up_after: Duration,
    /// Between the request to a command that takes too long to end (SIGTERM) and its end (SIGKILL).
    pub term_grace: Duration,
    /// The operator is told of the same hook's failures this often at most.
    pub told_every: Duration,
    /// How long a hook that was taken out of the configuration may go on with what waits for it.
    pub farewell: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            // Ten thousand targets may fail at once, and a receiver that is told of four thousand has understood.
            waiting: 4096,
            first_retry: Duration::from_secs(1),
            longest_retry: Duration::from_secs(60),
            // Later, who is to be told knows already, or the news is none.
            give_up_after: Duration::from_secs(600),
            term_grace: Duration::from_secs(2),
            told_every: Duration::from_secs(60),
            farewell: Duration::from_secs(10),
        }
    }
}

type Notify = Arc<dyn Fn(Notice) + Send + Sync>;

/// The hooks of the configuration, each with its thread.
pub struct Hooks {
    lanes: Lanes,
    running: Vec<Running>,
    world: World,
    /// Disconnected when the last thread has ended.
    ended: Receiver<()>,
}

/// What every hook's thread is given.
#[derive(Clone)]
struct World {
    patience: Patience,
    notify: Notify,
    zone_name: fn(u32) -> Option<Arc<str>>,
    /// Dropped when the thread ends.
    _alive: Sender<()>,
}

/// The near ends of the hooks' queues. Who locks it looks or exchanges, and does nothing that could take time.
#[derive(Debug, Clone, Default)]
struct Lanes(Arc<Mutex<Vec<Lane>>>);

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange(&self, lanes: Vec<Lane>) -> Vec<Lane> {
        std::mem::replace(&mut *self.lock(), lanes)
    }
}

/// Takes findings, on the loop's thread.
#[derive(Debug)]
pub struct Queue(Lanes);

impl Queue {
    /// Leaves what was found to the hooks that are to tell of it. Never waits.
    pub fn finding(&mut self, finding: &Finding) {
        // Nearly every finding of a quiet day ends here, before anything is copied.
        let Some(trigger) = event::trigger(&finding.what) else { return };
        let mut event = None;
        for lane in self.0.lock().iter().filter(|lane| lane.wants(trigger, &finding.target.name)) {
            let event =
                event.get_or_insert_with(|| Event { trigger, finding: Arc::new(finding.clone()), since: now() });
            lane.push(event.clone());
        }
    }
}

/// Whether every hook has ended when time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// No thread is left.
    All,
    /// Some hang, in a look-up of a name for instance; the process may end over them.
    SomeHang,
}

impl Hooks {
    /// Starts a thread for each hook. `zone_name` names a network interface, for link-local addresses; `notify` is told what the
    /// operator should know, on the threads of the hooks.
    ///
    /// # Errors
    /// Where no thread or descriptor can be had.
    pub fn spawn(
        settings: &[Hook],
        patience: Patience,
        zone_name: fn(u32) -> Option<Arc<str>>,
        notify: impl Fn(Notice) + Send + Sync + 'static,
    ) -> io::Result<(Self, Queue)> {
        let (alive, ended) = mpsc::channel();
        let world = World { patience, notify: Arc::new(notify), zone_name, _alive: alive };
        let lanes = Lanes::default();
        let mut hooks = Self { lanes: lanes.clone(), running: Vec::new(), world, ended };
        hooks.replace(settings)?;
        Ok((hooks, Queue(lanes)))
    }

    /// Has `settings` hold from here on. A hook that is among them already goes on, with what waits for it; one that is not goes on
    /// for [`Patience::farewell`] at most.
    ///
    /// # Errors
    /// Where no thread or descriptor can be had. Then everything is as it was.
    pub fn replace(&mut self, settings: &[Hook]) -> io::Result<()> {
        let mut old: Vec<Option<&Running>> = self.running.iter().map(Some).collect();
        let mut plan = Vec::new();
        for hook in settings {
            let same = old.iter().position(|old| old.is_some_and(|old| *old.settings() == *hook));
            plan.push(match same {
                Some(index) => {
                    old[index] = None;
                    Next::Kept(index)
                }
                None => Next::New(lane::spawn(hook, &self.world)?),
            });
        }
        let mut running: Vec<Option<Running>> = self.running.drain(..).map(Some).collect();
        let next = plan.into_iter().filter_map(|next| match next {
            Next::Kept(index) => running[index].take(),
            Next::New(new) => Some(new),
        });
        self.running = next.collect();
        let farewell = now() + self.world.patience.farewell;
        running.iter().flatten().for_each(|left| left.stop(farewell));
        // The former near ends are dropped with this, and so the threads that nobody feeds any more end when they are done.
        self.lanes.exchange(self.running.iter().map(Running::lane).collect());
        Ok(())
    }

    /// Has each hook tell what waits for it, within the time; then ends what is under way, commands with all they have started.
    pub fn stop(self, within: Duration) -> Stopped {
        let Self { lanes, running, world, ended } = self;
        let deadline = now() + within;
        running.iter().for_each(|running| running.stop(deadline));
        drop((lanes.exchange(Vec::new()), running, world));
        match ended.recv_timeout((deadline + LAST_WORDS).saturating_duration_since(now())) {
            Err(RecvTimeoutError::Disconnected) => Stopped::All,
            Ok(()) | Err(RecvTimeoutError::Timeout) => Stopped::SomeHang,
        }
    }
}

/// Beyond the deadline, for a command that was ended at it to be collected.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// A hook's place in the next configuration.
enum Next {
    Kept(usize),
    New(Running),
}

#[expect(clippy::disallowed_methods, reason = "paces what hooks do and labels nothing, so no clock need agree with it")]
fn now() -> Instant {
    Instant::now()
}
