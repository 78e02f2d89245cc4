//! The targets the thread has heard of, each by a number, and how each stands as far as it is in the file.

use std::collections::HashMap;

use super::carry::Known;
use super::counts::{Count, Losses, Tally};
use super::store::has_been_up;
use crate::monitor::finding::{Finding, Gap, What};
use crate::monitor::outage::{Outage, State};
use crate::monitor::target::{Label, Name};
use crate::monitor::time::Wall;

/// All of them. Names are few and stay.
#[derive(Debug, Default)]
pub(super) struct Roster {
    entries: Vec<Entry>,
    /// Whose a name is: of several targets of a name the last one watched.
    by_name: HashMap<Name, usize>,
    by_label: HashMap<(Name, String), usize>,
    /// With whom the next writing of losses begins.
    turn: usize,
}

/// One target.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) label: Label,
    pub(super) host: String,
    /// Its key in the file, once it is there.
    pub(super) key: Option<i64>,
    losses: Losses,
    standing: Standing,
    /// The outage that lasts, as heard of, with what was lost in it since.
    lasting: Option<Lasting>,
}

/// An outage that lasts, and its losses.
#[derive(Debug, Clone, Copy)]
struct Lasting {
    began: Wall,
    lost: u64,
    is_written: bool,
}

/// How many probes an outage that lasts has lost so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    number: usize,
    pub(super) target: i64,
    pub(super) began: Wall,
    pub(super) lost: u64,
}

/// How a target stands, as the file has it.
#[derive(Debug, Default)]
struct Standing {
    watched: Option<Wall>,
    state: Option<State>,
    /// Since when at the latest it has been up, in an outage or not.
    known: Option<Wall>,
    outage: Option<Outage>,
    gap: Option<(Wall, Gap)>,
}

impl Roster {
    /// The number of a target that was heard of.
    pub(super) fn number(&self, label: &Label) -> Option<usize> {
        let host = label.host.to_string();
        match self.by_name.get(&label.name) {
            Some(&number) if self.entries[number].host == host => Some(number),
            Some(_) | None => self.by_label.get(&(label.name.clone(), host)).copied(),
        }
    }

    /// The number of a target, which has its name from here on.
    fn enter(&mut self, label: &Label) -> usize {
        if let Some(number) = self.number(label) {
            self.by_name.insert(label.name.clone(), number);
            return number;
        }
        let host = label.host.to_string();
        let next = self.entries.len();
        self.by_label.insert((label.name.clone(), host.clone()), next);
        self.by_name.insert(label.name.clone(), next);
        let (losses, standing) = (Losses::default(), Standing::default());
        self.entries.push(Entry { label: label.clone(), host, key: None, losses, standing, lasting: None });
        next
    }

    /// What a verdict adds, and to which target; [`Unknown`] where nobody has heard of the target.
    pub(super) fn count(&mut self, tally: &Tally, mut add: impl FnMut(usize, Count)) -> Result<(), Unknown> {
        let &number = self.by_name.get(&tally.name).ok_or(Unknown)?;
        let Entry { losses, lasting, .. } = &mut self.entries[number];
        losses.count(tally, |count| {
            if let (Count::Lost(_), Some(lasting)) = (count, &mut *lasting) {
                lasting.lost += 1;
                lasting.is_written = false;
            }
            add(number, count);
        });
        Ok(())
    }

    /// Losses of outages that last, as far as they are not in the file: at most so many.
    pub(super) fn unwritten(&self, at_most: usize) -> Vec<Lost> {
        let (before, from) = self.entries.split_at(self.turn.min(self.entries.len()));
        let numbered = (self.turn..).zip(from).chain((0..).zip(before));
        let unwritten = numbered.filter_map(|(number, entry)| {
            let Lasting { began, lost, .. } = entry.lasting.filter(|lasting| !lasting.is_written)?;
            Some(Lost { number, target: entry.key?, began, lost })
        });
        unwritten.take(at_most).collect()
    }

    /// These are in the file.
    pub(super) fn note_written(&mut self, written: &[Lost]) {
        for lost in written {
            if let Some(lasting) = &mut self.entries[lost.number].lasting {
                lasting.is_written = true;
            }
            self.turn = lost.number + 1;
        }
    }

    /// Hears of a finding as it comes, before it is in the file; what is known of its target's losses then is all there will be.
    pub(super) fn hear(&mut self, finding: &Finding, mut add: impl FnMut(usize, Count)) {
        let number = self.enter(&finding.target);
        match &finding.what {
            What::OutageBegan(outage) | What::OutageAmended(outage) if outage.ended.is_none() => {
                self.entries[number].lasting =
                    Some(Lasting { began: outage.began.at, lost: outage.lost, is_written: true });
            }
            What::OutageEnded(_) | What::Unwatched => self.entries[number].lasting = None,
            What::OutageBegan(_)
            | What::OutageAmended(_)
            | What::Watched
            | What::StateChanged { .. }
            | What::FirstReply(_)
            | What::AddressChanged { .. }
            | What::GapBegan { .. }
            | What::GapEnded { .. } => {}
        }
        if finding.what == What::Watched {
            // The numbers of its probes begin with 1 again.
            self.entries[number].losses.forget(|count| add(number, count));
        }
    }

    /// There are no further verdicts.
    pub(super) fn end(&mut self, mut add: impl FnMut(usize, Count)) {
        for (number, entry) in self.entries.iter_mut().enumerate() {
            entry.losses.forget(|count| add(number, count));
        }
    }

    /// What an earlier process knew of its targets is how they stand.
    pub(super) fn carry(&mut self, configured: &[Label], carried: &[Known]) {
        for label in configured {
            self.enter(label);
        }
        for Known { carried, has_been_up } in carried.iter().filter(|known| known.carried.state != State::Unknown) {
            if let Some(&number) = self.by_label.get(&(carried.name.clone(), carried.host.clone())) {
                let began = carried.outage.as_ref().map(|outage| (outage.began.at, outage.lost));
                self.entries[number].lasting = began.map(|(began, lost)| Lasting { began, lost, is_written: true });
                let standing = &mut self.entries[number].standing;
                (standing.state, standing.outage) = (Some(carried.state), carried.outage.clone());
                standing.known = has_been_up.then_some(carried.until);
            }
        }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn set_key(&mut self, number: usize, key: i64) {
        self.entries[number].key = Some(key);
    }

    /// Another file may have other keys.
    pub(super) fn forget_keys(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.key = None);
    }

    /// The state that a target has before this process has found out one.
    pub(super) fn state(&self, number: usize) -> Option<State> {
        self.entries[number].standing.state
    }

    /// Since when at the latest it has been up, as far as that is in the file.
    pub(super) fn known(&self, number: usize) -> Option<Wall> {
        self.entries[number].standing.known
    }

    /// A finding is in the file.
    pub(super) fn settle(&mut self, finding: &Finding) {
        if let Some(number) = self.number(&finding.target) {
            self.entries[number].standing.settle(finding);
        }
    }

    /// What a fresh file has to be told first.
    pub(super) fn standings(&self, now: Wall) -> Vec<Finding> {
        self.entries.iter().flat_map(|entry| entry.standings(now)).collect()
    }
}

/// A target nobody has heard of.
#[derive(Debug)]
pub(super) struct Unknown;

impl Entry {
    fn standings(&self, now: Wall) -> impl Iterator<Item = Finding> {
        let standing = &self.standing;
        let watched = standing.watched.map(|at| (at, What::Watched));
        let outage = standing.outage.clone().map(|outage| (now, What::OutageAmended(outage)));
        let gap = standing.gap.map(|(from, why)| (now, What::GapBegan { from, why }));
        let of = |(at, what)| Finding { at, target: self.label.clone(), addr: None, what };
        watched.into_iter().chain(outage).chain(gap).map(of)
    }
}

impl Standing {
    fn settle(&mut self, finding: &Finding) {
        match &finding.what {
            What::Watched => self.watched = Some(finding.at),
            What::Unwatched => *self = Self::default(),
            What::StateChanged { to, .. } => {
                self.state = Some(*to);
                self.known = self.known.or(self.watched.filter(|_| has_been_up(*to)));
            }
            What::OutageBegan(outage) | What::OutageAmended(outage) | What::OutageEnded(outage) => {
                let is_last = self.outage.as_ref().is_none_or(|last| last.began.at <= outage.began.at);
                if is_last {
                    self.outage = outage.ended.is_none().then(|| outage.clone());
                }
            }
            What::GapBegan { from, why } => self.gap = Some((*from, *why)),
            What::GapEnded { .. } => self.gap = None,
            What::FirstReply(_) if self.known < self.watched && self.known.is_some() => {}
            What::FirstReply(_) => self.known = Some(finding.at),
            What::AddressChanged { .. } => {}
        }
    }
}
