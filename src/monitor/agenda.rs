//! What is due when, soonest first.
//!
//! A queue for the way probes are due: most have the same interval or timeout, so what is put in is due after all that was put in
//! before. Such entries form sorted runs, where putting in and taking out cost a step each and touch memory in order; what fits
//! into no run goes to a heap. It knows nothing of what the entries are.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::time::Mono;

/// How many different intervals or timeouts can be in use before entries go to the heap.
const RUNS: usize = 4;

/// Entries by the time when they are due.
#[derive(Debug)]
pub struct Agenda<T> {
    runs: [VecDeque<(Mono, T)>; RUNS],
    rest: BinaryHeap<Reverse<(Mono, T)>>,
}

impl<T: Ord> Default for Agenda<T> {
    /// An agenda without entries.
    fn default() -> Self {
        Self { runs: std::array::from_fn(|_| VecDeque::new()), rest: BinaryHeap::new() }
    }
}

impl<T: Copy + Ord> Agenda<T> {
    /// Puts an entry in.
    pub fn push(&mut self, due: Mono, entry: T) {
        let end = |run: &VecDeque<(Mono, T)>| run.back().map(|&(due, _)| due);
        let fitting = self.runs.iter_mut().filter(|run| end(run).is_none_or(|end| end <= due));
        match fitting.max_by_key(|run| end(run)) {
            Some(run) => run.push_back((due, entry)),
            None => self.rest.push(Reverse((due, entry))),
        }
    }

    /// The entry due first, if there is one.
    pub fn peek(&self) -> Option<(Mono, T)> {
        let first = self.runs.iter().filter_map(|run| run.front().copied()).min();
        first.into_iter().chain(self.rest.peek().map(|top| top.0)).min()
    }

    /// Takes out the entry due first, if it is due by `now`.
    pub fn pop_due(&mut self, now: Mono) -> Option<(Mono, T)> {
        let first = self.peek().filter(|&(due, _)| due <= now)?;
        match self.runs.iter_mut().find(|run| run.front() == Some(&first)) {
            Some(run) => run.pop_front(),
            None => self.rest.pop().map(|top| top.0),
        }
    }

    /// The entries in the sorted runs that are due by `now`, in no certain order.
    pub fn due(&self, now: Mono) -> impl Iterator<Item = T> {
        self.runs
            .iter()
            .flat_map(move |run| run.iter().take_while(move |(due, _)| *due <= now).map(|&(_, entry)| entry))
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.peek().is_none()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_come_out_in_the_order_in_which_they_are_due(
            steps in proptest::collection::vec((0..1000_u64, any::<bool>()), 0..200),
        ) {
            let (mut agenda, mut model) = (Agenda::default(), Vec::new());
            for (number, (due, take)) in steps.into_iter().enumerate() {
                let due = Mono::from_nanos(due);
                if take {
                    model.sort();
                    let first = model.first().copied().filter(|&(at, _)| at <= due);
                    prop_assert_eq!(agenda.pop_due(due).map(|(at, _)| at), first.map(|(at, _)| at));
                    model.drain(..usize::from(first.is_some()));
                } else {
                    agenda.push(due, number);
                    model.push((due, number));
                }
                prop_assert_eq!(agenda.is_empty(), model.is_empty());
            }
        }
    }

    #[test]
    fn a_few_intervals_never_touch_the_heap() {
        let mut agenda = Agenda::default();
        let intervals = [1, 10, 60, 7];
        (0..400).for_each(|n| agenda.push(Mono::from_nanos(0), n));
        for now in 0..200 {
            while let Some((due, entry)) = agenda.pop_due(Mono::from_nanos(now)) {
                agenda.push(Mono::from_nanos(due.as_nanos() + intervals[entry % intervals.len()]), entry);
            }
        }
        assert!(agenda.rest.is_empty());
    }
}
