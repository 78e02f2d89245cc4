//! What one target's verdicts mean elsewhere: parents and their children, orders to pause, other identifiers.
//!
//! While a parent is down, nothing can be said of what lies behind it. So a child's losses become an outage of its own only when the
//! parent has answered a probe that was sent after the last of as many losses as make one, or has nothing to tell.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::finding::Gap;
use super::health::Parent;
use super::identity::TargetId;
use super::leg::{Calls, Pausing, Route};
use super::outage::{Carried, State};
use super::record::Reason;
use super::target::Name;
use super::time::{Now, Stamp};
use super::{Monitor, SocketKey, UnknownTarget, intern, leg_mut};

/// So many ICMP identifiers are used in turn by the targets of one set of options: one socket each, and an old one has been out of use
/// for long when its turn comes again.
const VARIANTS: u8 = 4;

/// Who is whose parent.
#[derive(Debug, Default)]
pub(super) struct Kin {
    children: HashMap<TargetId, Vec<TargetId>>,
    /// Children that await their parent's word, by parent.
    waiting: BTreeMap<TargetId, BTreeSet<TargetId>>,
    /// Targets that are or were behind one that is down, by that one.
    behind: BTreeMap<TargetId, BTreeSet<TargetId>>,
    /// Children whose parents have something new to tell.
    to_ask: VecDeque<TargetId>,
    is_asking: bool,
}

impl Monitor {
    /// What an earlier process knew of the targets at work. To be called before the first probe.
    pub fn handle_carried(&mut self, carried: &[Carried], now: Now) {
        for carried in carried {
            let Some(&id) = self.by_name.get(&carried.name) else { continue };
            let Some(leg) = leg_mut(&mut self.legs, id) else { continue };
            if leg.target.host.to_string() != carried.host {
                continue;
            }
            leg.restore(carried, now);
            leg.note_absence(carried, now.wall, &mut self.out);
            if carried.state == State::Paused {
                // It is at work, so its name is known.
                let _ = self.handle_pause(&carried.name, now);
            }
        }
    }

    /// The target of this name is not probed until [`Self::handle_resume`].
    ///
    /// # Errors
    /// There is no target of this name.
    pub fn handle_pause(&mut self, name: &Name, now: Now) -> Result<(), UnknownTarget> {
        let id = *self.by_name.get(name).ok_or(UnknownTarget)?;
        let Some(leg) = leg_mut(&mut self.legs, id).filter(|leg| leg.paused.is_none()) else { return Ok(()) };
        leg.report_unresolved(now, &mut self.out);
        leg.void(None, Reason::Paused(Duration::ZERO), now.wall, &mut self.out);
        leg.end_gap(Gap::BehindParent, now.wall, &mut self.out);
        leg.handle_void(now.mono);
        leg.health.handle_pause(now.stamp());
        leg.paused = Some(Box::new(Pausing { since: now.stamp() }));
        leg.leave_unmeasured(Gap::Paused, (now.wall, None), now.wall, &mut self.out);
        leg.review(now.wall, &mut self.out);
        self.follow_up(id, now.stamp());
        Ok(())
    }

    /// The target of this name is probed again.
    ///
    /// # Errors
    /// There is no target of this name.
    pub fn handle_resume(&mut self, name: &Name, now: Now) -> Result<(), UnknownTarget> {
        let id = *self.by_name.get(name).ok_or(UnknownTarget)?;
        let Some(leg) = leg_mut(&mut self.legs, id) else { return Ok(()) };
        let Some(Pausing { since }) = leg.paused.take().map(|pausing| *pausing) else { return Ok(()) };
        if let Some(missed) = leg.schedule.skip(now.mono) {
            leg.note_missed(missed, Reason::Paused(now.mono - since.mono), now.wall, &mut self.out);
        }
        leg.end_gap(Gap::Paused, now.wall, &mut self.out);
        leg.handle_void(now.mono);
        leg.review(now.wall, &mut self.out);
        self.note_slot(id);
        self.follow_up(id, now.stamp());
        Ok(())
    }

    /// Who is whose parent has to be found out anew.
    pub(super) fn find_kin(&mut self, at: Stamp) {
        self.kin = Kin::default();
        for index in 0..self.legs.len() {
            let Some(id) = TargetId::new(index) else { continue };
            let Some(leg) = leg_mut(&mut self.legs, id) else { continue };
            leg.is_parent = false;
            let parent = leg.target.rules.parent.as_ref().and_then(|name| self.by_name.get(name));
            leg.parent = parent.copied().filter(|parent| *parent != id);
            if let Some(parent) = leg.parent {
                self.kin.children.entry(parent).or_default().push(id);
            }
        }
        for index in 0..self.legs.len() {
            let Some(id) = TargetId::new(index) else { continue };
            let is_parent = self.kin.children.contains_key(&id);
            let Some(leg) = leg_mut(&mut self.legs, id) else { continue };
            leg.is_parent = is_parent;
            if leg.parent.is_some() || leg.state() == State::Behind {
                self.ask_parent(id, at);
            }
        }
    }

    /// Does what the target's verdicts call for beyond itself.
    pub(super) fn follow_up(&mut self, id: TargetId, at: Stamp) {
        self.note_lookup(id);
        let Some(leg) = leg_mut(&mut self.legs, id) else { return };
        let is_heard = leg.is_parent && !self.kin.waiting.is_empty();
        if leg.calls == Calls::default() && !is_heard {
            return;
        }
        let calls = std::mem::take(&mut leg.calls);
        if calls.slot
            && let Some(pace) = leg.pace.take()
        {
            leg.schedule.set_pace(*pace, at.mono);
            self.note_slot(id);
        }
        if calls.new_id {
            self.renew(id);
        }
        if calls.old_id {
            self.try_old_id(id);
        }
        self.kin.to_ask.extend(calls.parent.then_some(id));
        if calls.children {
            if self.leg(id).is_none_or(|leg| leg.state() != State::Down) {
                self.kin.behind.remove(&id);
            }
            self.kin.to_ask.extend(self.kin.children.get(&id).into_iter().flatten());
        } else if is_heard {
            self.kin.to_ask.extend(self.kin.waiting.remove(&id).into_iter().flatten());
        }
        self.ask_parents(at);
    }

    /// Has those asked that have something new to tell: one after the other, for a child may be a parent as well.
    fn ask_parents(&mut self, at: Stamp) {
        if std::mem::replace(&mut self.kin.is_asking, true) {
            return;
        }
        while let Some(child) = self.kin.to_ask.pop_front() {
            self.ask_parent(child, at);
        }
        self.kin.is_asking = false;
    }

    /// The name of the parent whose fault it is that this target cannot be reached.
    pub(super) fn culprit(&self, id: TargetId) -> Option<Name> {
        self.leg(id).filter(|leg| leg.state() == State::Behind)?;
        self.culprit_of(id).and_then(|id| self.leg(id)).map(|leg| leg.target.name.clone())
    }

    /// The nearest parent that is down itself, and not behind another.
    fn culprit_of(&self, id: TargetId) -> Option<TargetId> {
        self.parents(id).find(|id| self.leg(*id).is_some_and(|leg| leg.state() == State::Down))
    }

    /// The parent, its parent, and so on.
    fn parents(&self, id: TargetId) -> impl Iterator<Item = TargetId> {
        // Circles are refused by the configuration; this ends in any case.
        std::iter::successors(Some(id), |id| self.leg(*id)?.parent).skip(1).take(self.legs.len())
    }

    /// What is known of the way to a target: its parent's word, or where that has none the word of the parent's parent.
    fn parents_word(&self, id: TargetId) -> Parent {
        let words = self.parents(id).filter_map(|id| self.leg(id)).map(|leg| leg.as_parent());
        words.into_iter().find(|word| *word != Parent::None).unwrap_or(Parent::None)
    }

    /// Has the target's parent tell what it knows, and the target draw its conclusions.
    fn ask_parent(&mut self, id: TargetId, at: Stamp) {
        let Some(leg) = self.leg(id) else { return };
        let (parent, is_paused) = (leg.parent, leg.paused.is_some());
        if leg.as_parent() == Parent::None {
            // It has no word of its own, so that the one it was told is its children's as well.
            self.kin.to_ask.extend(self.kin.children.get(&id).into_iter().flatten());
        }
        if is_paused {
            return;
        }
        let told = self.parents_word(id);
        let Some(leg) = leg_mut(&mut self.legs, id) else { return };
        leg.handle_parent(told, at, &mut self.out);
        let (is_behind, waits) = (leg.state() == State::Behind, std::mem::take(&mut leg.calls.parent));
        if let Some(parent) = parent.filter(|_| waits) {
            self.kin.waiting.entry(parent).or_default().insert(id);
        }
        if let Some(culprit) = self.culprit_of(id).filter(|_| is_behind) {
            let behind = self.kin.behind.entry(culprit).or_default();
            behind.insert(id);
            let count = behind.len();
            if let Some(leg) = leg_mut(&mut self.legs, culprit) {
                leg.health.handle_behind(count);
            }
        }
        // What it draws may call for more.
        self.follow_up(id, at);
    }

    /// Gives the target's probes another ICMP identifier: that of another socket with the same options.
    fn renew(&mut self, id: TargetId) {
        let Some(leg) = leg_mut(&mut self.legs, id) else { return };
        leg.variant = (leg.variant + 1) % VARIANTS;
        let variant = leg.variant;
        leg.health.handle_new_id(leg.schedule.newest());
        self.route_through(id, variant);
    }

    /// Gives the target's next probe the identifier that its probes had before the one they have.
    fn try_old_id(&mut self, id: TargetId) {
        let Some(leg) = leg_mut(&mut self.legs, id) else { return };
        let variant = (leg.variant + VARIANTS - 1) % VARIANTS;
        leg.health.handle_trial(leg.schedule.newest() + 1);
        leg.back = leg.route().map(Box::new);
        self.route_through(id, variant);
    }

    /// Has the target's probes go through the socket of this variant.
    fn route_through(&mut self, id: TargetId, variant: u8) {
        let Some(leg) = leg_mut(&mut self.legs, id) else { return };
        let Some(Route { addr, .. }) = leg.route() else { return };
        let key = SocketKey { version: addr.version(), options: leg.target.options.clone(), variant };
        let socket = intern(&mut self.sockets, &mut self.dropped, key);
        leg.set_route(Route { addr, socket });
    }
}
