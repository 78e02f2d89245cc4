//! Identifiers of sockets: each has one of its own, so that none sees another's replies.
//!
//! They are drawn one after the other, for ever; one that is held is passed over. What it is for, this module does not know.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Where identifiers are drawn from.
#[derive(Debug)]
pub(super) struct Idents {
    next: u16,
    held: Arc<Mutex<BTreeSet<u16>>>,
}

/// An identifier; nobody else is given it while this is held.
#[derive(Debug)]
pub(super) struct Ident {
    number: u16,
    held: Arc<Mutex<BTreeSet<u16>>>,
}

impl Idents {
    /// The first to be drawn is `first`.
    pub(super) fn new(first: u16) -> Self {
        Self { next: first, held: Arc::default() }
    }

    /// The next that nobody holds. Were all of them held, which takes more sockets than a process may have, it is one that is.
    pub(super) fn draw(&mut self) -> Ident {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut number = self.next;
        while held.len() <= usize::from(u16::MAX) && !held.insert(number) {
            number = number.wrapping_add(1);
        }
        self.next = number.wrapping_add(1);
        Ident { number, held: Arc::clone(&self.held) }
    }
}

impl Ident {
    pub(super) fn number(&self) -> u16 {
        self.number
    }
}

impl Drop for Ident {
    fn drop(&mut self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_to_nobody_else_however_often_one_is_drawn() {
        let mut idents = Idents::new(65_000);
        let held: Vec<_> = (0..3).map(|_| idents.draw()).collect();
        for _ in 0..200_000 {
            let number = idents.draw().number();
            assert!(held.iter().all(|held| held.number() != number), "{number}");
        }
    }

    #[test]
    fn what_is_held_no_more_comes_again() {
        let mut idents = Idents::new(7);
        assert_eq!(idents.draw().number(), 7);
        assert!((0..=u16::MAX).any(|_| idents.draw().number() == 7));
    }
}
