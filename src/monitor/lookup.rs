//! When a name is looked up again: the rule that follows a container to its new address.
//!
//! A name that works is looked up every `resolve_every`. The first probe after an answer that is lost or cannot be sent asks at
//! once, and while nothing answers, or the name does not resolve, the look-ups go on after 1, 2, 4 … seconds, never less often
//! than `resolve_every`.
//! One look-up is under way at a time. Which of the addresses is taken is decided here too; who resolves, and how, is not.

use std::sync::Arc;
use std::time::Duration;

use super::target::{Addr, Family};
use super::time::Mono;

/// The first wait of a back-off: short against an outage, long against a resolver's patience.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The look-ups of one target's name.
#[derive(Debug)]
pub struct Lookups {
    resolve_every: Duration,
    state: State,
    wait: Option<Duration>,
    /// Whether a probe was lost since the last one was answered.
    lost: bool,
    error: Option<Arc<str>>,
    /// The due time that the agenda knows of.
    noted: Option<Mono>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle { due: Mono, finished: Option<Mono> },
    Pending { again: bool },
}

impl Lookups {
    /// Look-ups of a name never looked up so far: due at once.
    pub fn new(resolve_every: Duration, now: Mono) -> Self {
        let state = State::Idle { due: now, finished: None };
        Self { resolve_every, state, wait: None, lost: false, error: None, noted: None }
    }

    /// When the next look-up is due; `None` while one is under way.
    pub fn due(&self) -> Option<Mono> {
        match self.state {
            State::Idle { due, .. } => Some(due),
            State::Pending { .. } => None,
        }
    }

    /// The due time, if it is not the one that this told last: what has to be put on the agenda.
    pub fn due_to_note(&mut self) -> Option<Mono> {
        let due = self.due().filter(|&due| self.noted != Some(due))?;
        self.noted = Some(due);
        Some(due)
    }

    /// Why the last look-up led nowhere.
    pub fn error(&self) -> Option<&Arc<str>> {
        self.error.as_ref()
    }

    /// Whether a look-up is due at `now`; it counts as under way from here on.
    pub fn poll(&mut self, now: Mono) -> bool {
        let is_due = self.due().is_some_and(|due| due <= now);
        if is_due {
            self.state = State::Pending { again: false };
        }
        is_due
    }

    /// A probe was lost or could not be sent: the name may lead elsewhere by now.
    pub fn handle_loss(&mut self, now: Mono) {
        if std::mem::replace(&mut self.lost, true) {
            return;
        }
        self.wait = Some(FIRST_WAIT);
        match &mut self.state {
            State::Idle { due, finished } => {
                let earliest = finished.map_or(now, |finished| finished + FIRST_WAIT);
                *due = (*due).min(now.max(earliest));
            }
            State::Pending { again } => *again = true,
        }
    }

    /// A probe was answered: the address is right. A resolver that fails is asked no more often for that.
    pub fn handle_reply(&mut self) {
        self.lost = false;
        if self.error.is_none() {
            self.wait = None;
        }
    }

    /// The look-up under way has ended.
    pub fn handle_result(&mut self, error: Option<Arc<str>>, now: Mono) {
        if error.is_some() {
            self.wait.get_or_insert(FIRST_WAIT);
        }
        self.error = error;
        let asked_meanwhile = self.state == State::Pending { again: true };
        let wait = match self.wait {
            Some(wait) if !asked_meanwhile => {
                self.wait = Some((wait * 2).min(self.resolve_every));
                wait.min(self.resolve_every)
            }
            Some(_) => FIRST_WAIT,
            None => self.resolve_every,
        };
        self.state = State::Idle { due: now + wait, finished: Some(now) };
    }
}

/// The address to probe, out of what the name leads to: the present one as long as it is among them (a name with several
/// addresses is shuffled at each look-up), else the first in the system's order that the family admits.
pub fn choose(present: Option<Addr>, found: &[Addr], family: Family) -> Option<Addr> {
    let mut admitted = found.iter().copied().filter(|addr| family.admits(addr.version()));
    present.filter(|addr| found.contains(addr) && family.admits(addr.version())).or_else(|| admitted.next())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const T0: Mono = Mono::from_nanos(1_000_000_000_000);

    fn lookups() -> Lookups {
        let mut lookups = Lookups::new(SECOND * 60, T0);
        assert!(lookups.poll(T0), "a name is looked up at once");
        lookups.handle_result(None, T0);
        lookups
    }

    #[test]
    fn a_name_that_works_is_looked_up_every_resolve_every() {
        assert_eq!(lookups().due(), Some(T0 + SECOND * 60));
    }

    #[test]
    fn the_first_loss_looks_up_at_once_and_further_ones_back_off() {
        let mut lookups = lookups();
        let mut now = T0 + SECOND * 10;
        lookups.handle_loss(now);
        assert!(lookups.poll(now), "at once");
        let mut waits = Vec::new();
        for _ in 0..8 {
            lookups.handle_loss(now);
            assert!(!lookups.poll(now), "one at a time");
            lookups.handle_result(None, now);
            let due = lookups.due().expect("idle");
            waits.push((due - now).as_secs());
            now = due;
            assert!(lookups.poll(now));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_loss_during_a_look_up_is_not_forgotten() {
        let mut lookups = lookups();
        assert!(lookups.poll(T0 + SECOND * 60));
        lookups.handle_loss(T0 + SECOND * 61);
        lookups.handle_result(None, T0 + SECOND * 62);
        assert_eq!(lookups.due(), Some(T0 + SECOND * 63));
    }

    #[test]
    fn a_flapping_target_is_looked_up_once_a_second_at_most() {
        let mut lookups = lookups();
        lookups.handle_loss(T0 + SECOND / 2);
        assert_eq!(lookups.due(), Some(T0 + SECOND));
    }

    #[test]
    fn a_dead_resolver_is_asked_again_and_again() {
        let mut lookups = Lookups::new(SECOND * 60, T0);
        assert!(lookups.poll(T0));
        lookups.handle_result(Some("Temporary failure in name resolution".into()), T0 + SECOND * 5);
        assert_eq!(lookups.due(), Some(T0 + SECOND * 6));
        assert!(lookups.error().is_some());
    }

    #[test]
    fn a_dead_resolver_is_asked_ever_less_often_though_the_target_answers() {
        let mut lookups = lookups();
        let mut now = T0 + SECOND * 60;
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert!(lookups.poll(now));
            lookups.handle_result(Some("Temporary failure in name resolution".into()), now);
            lookups.handle_reply();
            let due = lookups.due().expect("idle");
            waits.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        lookups.handle_loss(now - SECOND * 30);
        assert_eq!(lookups.due(), Some(now - SECOND * 30), "the first loss still asks at once");
    }

    #[test]
    fn the_present_address_stays_while_the_name_still_leads_to_it() {
        let [a, b] = [1, 2].map(|n| Addr::from(Ipv4Addr::new(10, 0, 0, n)));
        let six = Addr::from(Ipv6Addr::LOCALHOST);
        assert_eq!(choose(None, &[six, a, b], Family::Any), Some(six));
        assert_eq!(choose(None, &[six, a, b], Family::Ipv4), Some(a));
        assert_eq!(choose(Some(b), &[a, b], Family::Any), Some(b));
        assert_eq!(choose(Some(b), &[a], Family::Any), Some(a));
        assert_eq!(choose(Some(a), &[b], Family::Ipv6), None);
    }
}
