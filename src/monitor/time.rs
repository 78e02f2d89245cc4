//! Time as the rules see it: three kinds of instant and the reading that ties them together.
//!
//! Nothing here reads a clock: instants come in from `crate::clock` (or from a test's virtual clock). The kinds are types of
//! their own, so that a duration can never be computed across two clocks by accident.

use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant of CLOCK_MONOTONIC, in nanoseconds (clock_gettime(2)). Never steps; stands still while the system is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(u64);

/// An instant of CLOCK_BOOTTIME, in nanoseconds: CLOCK_MONOTONIC plus the time spent in suspend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Boot(u64);

/// An instant of CLOCK_REALTIME, in nanoseconds since 1970-01-01T00:00:00Z. It labels lines; it steps whenever the clock is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(i64);

/// One reading of all three clocks, taken together once per event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For durations and the schedule.
    pub mono: Mono,
    /// For labels.
    pub wall: Wall,
    /// For noticing a suspend.
    pub boot: Boot,
}

/// The two labels of one event: when it happened on the clock that measures and on the clock that names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// For durations.
    pub mono: Mono,
    /// For labels.
    pub wall: Wall,
}

impl Stamp {
    /// The monotonic clock when the wall clock stood at `wall`, unless that was set in between.
    pub fn mono_at(self, wall: Wall) -> Mono {
        if wall >= self.wall { self.mono + (wall - self.wall) } else { self.mono - (self.wall - wall) }
    }
}

impl Now {
    /// The labels of this very reading.
    pub fn stamp(self) -> Stamp {
        Stamp { mono: self.mono, wall: self.wall }
    }

    /// The wall clock at `mono`, as this reading's pair of clocks tells it.
    pub fn wall_at(self, mono: Mono) -> Wall {
        if mono >= self.mono { self.wall + (mono - self.mono) } else { self.wall - (self.mono - mono) }
    }

    /// CLOCK_BOOTTIME at `mono`, if there is no suspend in between. In a time namespace either clock may be ahead of the other
    /// (time_namespaces(7)).
    pub fn boot_at(self, mono: Mono) -> Boot {
        if mono >= self.mono { self.boot + (mono - self.mono) } else { self.boot - (self.mono - mono) }
    }
}

/// The clocks' shared arithmetic: instants move by durations and never leave their range.
macro_rules! instant {
    ($name:ident, $repr:ty) => {
        impl $name {
            /// The instant `nanos` nanoseconds after the clock's origin.
            pub const fn from_nanos(nanos: $repr) -> Self {
                Self(nanos)
            }

            /// Nanoseconds since the clock's origin.
            pub const fn as_nanos(self) -> $repr {
                self.0
            }
        }

        impl Add<Duration> for $name {
            type Output = Self;

            fn add(self, by: Duration) -> Self {
                Self(self.0.saturating_add(<$repr>::try_from(by.as_nanos()).unwrap_or(<$repr>::MAX)))
            }
        }

        impl Sub<Duration> for $name {
            type Output = Self;

            fn sub(self, by: Duration) -> Self {
                Self(self.0.saturating_sub(<$repr>::try_from(by.as_nanos()).unwrap_or(<$repr>::MAX)))
            }
        }

        impl Sub for $name {
            type Output = Duration;

            /// The time from `earlier` to `self`; zero where `earlier` is the later one.
            fn sub(self, earlier: Self) -> Duration {
                Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
            }
        }
    };
}

instant!(Mono, u64);
instant!(Boot, u64);
instant!(Wall, i64);
