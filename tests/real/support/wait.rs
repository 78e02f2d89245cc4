//! Waiting for something to come true, with a deadline.

use std::time::{Duration, Instant, SystemTime};

/// More than anything here takes on a machine that is busy with other things as well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

const POLL: Duration = Duration::from_millis(5);

/// The first `Some` that `look` finds; `None` where the deadline passes before.
pub(crate) fn until<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let watch = Stopwatch::start();
    loop {
        let passed = watch.elapsed() > within;
        if let Some(found) = look() {
            return Some(found);
        }
        if passed {
            return None;
        }
        pause(POLL);
    }
}

/// Lets time pass where its passing is what is tested: never in place of waiting for something to happen.
#[expect(clippy::disallowed_methods, reason = "a test waits for another process, and has nothing else to do meanwhile")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Nanoseconds of CLOCK_REALTIME, as the simulated network's journal has them.
#[allow(dead_code, reason = "for the proofs")]
#[expect(clippy::disallowed_methods, reason = "it is held against another process's reading of the clock")]
pub(crate) fn wall_nanos() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is not 1970");
    u64::try_from(since_epoch.as_nanos()).expect("this century")
}

/// Measures how long something took.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a test of another process has real time only")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
