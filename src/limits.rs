//! The limits that the process was started with, remembered for those it starts in its turn.
//!
//! The daemon raises its soft limit on descriptors, and what it runs would inherit that. A program that uses select(2) fails where a
//! descriptor is beyond 1023, which is why systemd.exec(5) has the soft limit at 1024 for whoever does not know better.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

static AT_START: OnceLock<Rlimit> = OnceLock::new();

/// Has the present limits be those of the start. To be called before anything is changed; later calls change nothing.
pub fn remember() {
    let _ = AT_START.set(getrlimit(Resource::Nofile));
}

/// Gives a process of ours the soft limit on descriptors back that this one was started with.
///
/// The limit belongs to a process as a whole, and between fork(2) and exec(2) only unsafe code could lower it. So this is done to the
/// running program. It may be under way by then, and what it has started before keeps the higher limit; but nobody has a thousand
/// descriptors open so early.
pub(crate) fn give_back(process: Pid) {
    let Some(at_start) = AT_START.get() else { return };
    let present = getrlimit(Resource::Nofile);
    if present != *at_start {
        // Beyond reach is only what runs with rights of its own, and has its own limits to see to.
        let _ = prlimit(Some(process), Resource::Nofile, Rlimit { current: at_start.current, ..present });
    }
}
