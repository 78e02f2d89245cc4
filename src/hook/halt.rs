//! The order to come to an end, as a hook's thread hears it in whatever it waits for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::now;

/// Before everything is to have ended a command is asked to end, so that it can.
const FINAL_GRACE: Duration = Duration::from_millis(300);

/// Given once, and heard from then on.
#[derive(Debug)]
pub(super) struct Halt {
    by: OnceLock<Instant>,
    /// Readable once the order is given, for ever: nobody reads it.
    bell: OwnedFd,
}

impl Halt {
    pub(super) fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { by: OnceLock::new(), bell })
    }

    /// Everything is to have ended by then. Only the first order counts.
    pub(super) fn order(&self, by: Instant) {
        if self.by.set(by).is_ok() {
            // A counter at zero has room for one.
            let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
    }

    /// When everything is to have ended, if that was ordered.
    pub(super) fn by(&self) -> Option<Instant> {
        self.by.get().copied()
    }

    /// From when on nothing is to be begun, and what is under way is to be asked to end; if the order was given.
    pub(super) fn last_call(&self) -> Option<Instant> {
        self.by().map(|by| by.checked_sub(FINAL_GRACE).unwrap_or(by))
    }

    /// Waits for `time`, or until the order is given. Says whether it was.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let until = now() + time;
        while self.by().is_none() && now() < until {
            wait_for(&mut [PollFd::new(&self.bell, PollFlags::IN)], until);
        }
        self.by().is_some()
    }

    /// What becomes readable with the order.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// Waits until there is something to do with one of `fds`, or time is up.
pub(super) fn wait_for(fds: &mut [PollFd<'_>], until: Instant) {
    let left = until.saturating_duration_since(now());
    let left = Timespec { tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
    match poll(fds, Some(&left)) {
        // Whoever waits looks at what there is, in any case.
        Ok(_) | Err(Errno::INTR) => {}
        // Out of memory: then the wait is short of what was asked for, and whoever waits asks again.
        Err(_) => std::thread::yield_now(),
    }
}
