//! The only reader of clocks, and the alarm that wakes the loop.
//!
//! It reads and converts; what a step or a suspend means, `monitor` decides.

pub mod discipline;
#[cfg(debug_assertions)]
mod rehearsal;
/// What ships tells the time of the machine, and nothing else.
#[cfg(not(debug_assertions))]
mod rehearsal {
    use crate::monitor::time::{Boot, Mono, Now, Wall};

    pub(super) fn reading(machine: Now) -> Now {
        machine
    }

    pub(super) fn monotonic(machine: Mono) -> Mono {
        machine
    }

    pub(super) fn stamp(machine: Wall) -> Wall {
        machine
    }

    pub(super) fn alarm(at: Boot, _: Now) -> Boot {
        at
    }
}

use std::io;
use std::time::Duration;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};

use crate::monitor::time::{Boot, Mono, Now, Wall};
use crate::watch::Watched;

/// Two readings of the monotonic clock around the others lie this close unless the thread was interrupted between them.
const UNDISTURBED: Duration = Duration::from_micros(5);

/// How often an interrupted reading is taken again before the best one so far must do.
const ATTEMPTS: u32 = 4;

/// Reads CLOCK_MONOTONIC, CLOCK_REALTIME and CLOCK_BOOTTIME (clock_gettime(2)) as one. They cannot be read at one instant, so a
/// reading during which the thread was interrupted is taken again.
pub fn now() -> Now {
    let mut best: Option<(Duration, Now)> = None;
    for _ in 0..ATTEMPTS {
        let before = machine_monotonic();
        let wall = Wall::from_nanos(nanos(ClockId::Realtime));
        let boot = Boot::from_nanos(unsigned(nanos(ClockId::Boottime)));
        let mono = machine_monotonic();
        let spread = mono - before;
        if best.is_none_or(|(least, _)| spread < least) {
            best = Some((spread, Now { mono, wall, boot }));
        }
        if spread <= UNDISTURBED {
            break;
        }
    }
    rehearsal::reading(best.map(|(_, now)| now).unwrap_or_default())
}

/// Reads CLOCK_MONOTONIC alone: for the stamp just before a packet is sent.
pub fn monotonic() -> Mono {
    rehearsal::monotonic(machine_monotonic())
}

fn machine_monotonic() -> Mono {
    Mono::from_nanos(unsigned(nanos(ClockId::Monotonic)))
}

/// A stamp of the kernel, which is a reading of CLOCK_REALTIME, as this program is to see it.
pub fn stamp(machine: Wall) -> Wall {
    rehearsal::stamp(machine)
}

fn nanos(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

fn unsigned(nanos: i64) -> u64 {
    u64::try_from(nanos).unwrap_or(0)
}

/// A timer of nanosecond precision for an asynchronous loop (timerfd_create(2)); tokio's own wakes up to 2 ms late. It runs on
/// CLOCK_BOOTTIME, so that it goes off at once after a suspend in which its time has passed.
#[derive(Debug)]
pub struct Alarm {
    timer: Watched,
    set: Option<Boot>,
}

impl Alarm {
    /// A timer that is not set. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Those of timerfd_create(2) and epoll_ctl(2): out of descriptors or memory.
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Self { timer: Watched::new(timer)?, set: None })
    }

    /// Sets the timer to go off at `at`, at once if that has passed; `None` never. `now` tells how the clocks stand to each other.
    ///
    /// # Errors
    /// Those of timerfd_settime(2), none of which a valid time can cause.
    pub fn set(&mut self, at: Option<Mono>, now: Now) -> io::Result<()> {
        let at = at.map(|at| now.boot_at(at));
        if self.set == at {
            return Ok(());
        }
        self.set = at;
        // A time of zero unsets the timer.
        let nanos = at.map_or(0, |at| i64::try_from(rehearsal::alarm(at, now).as_nanos().max(1)).unwrap_or(i64::MAX));
        let it_value = Timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(self.timer.fd(), TimerfdTimerFlags::ABSTIME, &once)?;
        Ok(())
    }

    /// Waits until the timer has gone off. Cancel safe.
    ///
    /// # Errors
    /// Only if the runtime is shutting down.
    pub async fn wait(&mut self) -> io::Result<()> {
        self.timer.readable().await?;
        self.set = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_read_together_agree_with_themselves() {
        let (first, second) = (now(), now());
        assert!(first.mono <= second.mono && first.boot <= second.boot);
        assert!((second.boot - first.boot).abs_diff(second.mono - first.mono) < Duration::from_secs(1));
    }

    #[tokio::test]
    async fn the_alarm_goes_off_and_not_before_its_time() {
        let mut alarm = Alarm::new().expect("a timer");
        let at = monotonic() + Duration::from_millis(3);
        alarm.set(Some(at), now()).expect("set");
        alarm.wait().await.expect("goes off");
        assert!(monotonic() >= at);
        alarm.set(Some(Mono::from_nanos(0)), now()).expect("set to the past");
        alarm.wait().await.expect("goes off at once");
    }
}
