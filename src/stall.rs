//! Parts of the program that hang by order, for tests of what happens then.
//!
//! `PINGTEST_STALL` names a file. As soon as it holds the name of a part, that part does nothing any more, for ever; with `slow` in it, each
//! write to the log takes its time. Builds without debug assertions do not contain this: what ships has no such switch.

#[cfg(debug_assertions)]
pub(crate) use ordered::{begin, here, is_ordered, slow_down};
#[cfg(not(debug_assertions))]
pub(crate) use shipped::{begin, here, is_ordered, slow_down};

/// What may be made to hang.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The loop.
    Driver,
    /// Reading from the sockets.
    Receive,
    /// The log's thread.
    Writer,
    /// The main thread.
    Main,
    /// The log's disk, which does not hang, but takes its time.
    #[cfg(debug_assertions)]
    Slow,
}

/// What ships never hangs by order.
#[cfg(not(debug_assertions))]
mod shipped {
    use crate::stall::Part;

    pub(crate) fn begin() {}

    pub(crate) fn here(_: Part) {}

    pub(crate) fn slow_down() {}

    pub(crate) fn is_ordered(_: Part) -> bool {
        false
    }
}

#[cfg(debug_assertions)]
mod ordered {
    use std::sync::atomic::{AtomicU8, Ordering};
    use std::time::Duration;
    use std::{env, fs, thread};

    use crate::stall::Part;

    /// How often the file is looked for.
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    /// What a write takes on a slow disk.
    const SLOW: Duration = Duration::from_millis(20);

    /// The part that is to hang, from 1.
    static ORDERED: AtomicU8 = AtomicU8::new(0);

    /// Looks out for the file from here on.
    pub(crate) fn begin() {
        let Some(path) = env::var_os("PINGTEST_STALL") else { return };
        let watch = move || {
            while ORDERED.load(Ordering::Relaxed) == 0 {
                let word = fs::read_to_string(&path).unwrap_or_default();
                let named = [Part::Driver, Part::Receive, Part::Writer, Part::Main, Part::Slow].into_iter();
                let part =
                    named.zip(["driver", "receive", "writer", "main", "slow"]).find(|(_, name)| word.trim() == *name);
                ORDERED.store(part.map_or(0, |(part, _)| number(part)), Ordering::Relaxed);
                thread::park_timeout(LOOK_EVERY);
            }
        };
        // Without it nothing hangs, and the test that wanted it fails.
        let _ = thread::Builder::new().name("stall".into()).spawn(watch);
    }

    /// Hangs for ever where this part is to.
    pub(crate) fn here(part: Part) {
        while is_ordered(part) {
            thread::park();
        }
    }

    /// Takes the time that a write takes on a slow disk, where there is to be one.
    pub(crate) fn slow_down() {
        if is_ordered(Part::Slow) {
            thread::park_timeout(SLOW);
        }
    }

    /// Whether this part is to hang.
    pub(crate) fn is_ordered(part: Part) -> bool {
        ORDERED.load(Ordering::Relaxed) == number(part)
    }

    fn number(part: Part) -> u8 {
        match part {
            Part::Driver => 1,
            Part::Receive => 2,
            Part::Writer => 3,
            Part::Main => 4,
            Part::Slow => 5,
        }
    }
}
