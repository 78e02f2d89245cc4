//! Clocks that are set, slewed and suspended as a script says, for tests: the machine's own are never touched.
//!
//! All that the program knows of time goes through `super`, so it is enough to add here what the kernel's clocks would have gained by
//! then, its receive stamps among them. Builds without debug assertions do not contain this: what ships has no such switch.
//!
//! It knows nothing of what a step or a suspend means.

use std::env;
use std::sync::{LazyLock, OnceLock};

use crate::monitor::time::{Boot, Mono, Now, Wall};

/// The script: what happens to the clocks, and when, counted from the first reading. For instance
/// `2s wall +1h, 4s wall -100ms, 6s suspend 41s, 8s slew 500 2s`.
const VARIABLE: &str = "PINGTEST_CLOCKS";

/// What the script says; nothing without one.
static SCRIPT: LazyLock<Vec<Change>> = LazyLock::new(|| match env::var(VARIABLE) {
    Ok(script) => parse(&script).unwrap_or_else(|problem| panic!("{VARIABLE}: {problem}")),
    Err(_) => Vec::new(),
});

/// The machine's clocks at the first reading, nanoseconds.
static FIRST: OnceLock<(i64, i64)> = OnceLock::new();

/// What a reading of the machine's clocks is by the script.
pub(super) fn reading(machine: Now) -> Now {
    let (mono, wall) = (signed(machine.mono.as_nanos()), machine.wall.as_nanos());
    let (first, _) = *FIRST.get_or_init(|| (mono, wall));
    let gained = gained(&SCRIPT, mono - first);
    Now {
        mono: Mono::from_nanos(unsigned(mono + gained.mono)),
        wall: Wall::from_nanos(wall + gained.wall),
        boot: Boot::from_nanos(unsigned(signed(machine.boot.as_nanos()) + gained.boot)),
    }
}

/// What CLOCK_MONOTONIC is by the script.
pub(super) fn monotonic(machine: Mono) -> Mono {
    let mono = signed(machine.as_nanos());
    Mono::from_nanos(unsigned(mono + FIRST.get().map_or(0, |(first, _)| gained(&SCRIPT, mono - first).mono)))
}

/// What the kernel's stamp of a packet is by the script.
pub(super) fn stamp(machine: Wall) -> Wall {
    let wall = machine.as_nanos();
    Wall::from_nanos(wall + FIRST.get().map_or(0, |(_, first)| gained(&SCRIPT, wall - first).wall))
}

/// When an alarm must go off by the machine's clock: at its time, or when the sleep in which its time passes begins.
pub(super) fn alarm(at: Boot, now: Now) -> Boot {
    let Some((first, _)) = FIRST.get() else { return at };
    let elapsed = signed(now.mono.as_nanos()) - first;
    let at = signed(at.as_nanos()) - gained(&SCRIPT, elapsed).boot;
    let sleep = next_suspend(&SCRIPT, elapsed).map(|sleep| {
        let boot = signed(now.boot.as_nanos()) - gained(&SCRIPT, elapsed).boot;
        boot + sleep
    });
    Boot::from_nanos(unsigned(sleep.map_or(at, |sleep| at.min(sleep))))
}

/// Something that happens to the clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    /// Nanoseconds after the first reading.
    at: i64,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// The wall clock is set by this much (clock_settime(2)), nanoseconds.
    Wall(i64),
    /// The system sleeps this long, nanoseconds: all but CLOCK_MONOTONIC goes on.
    Suspend(i64),
    /// All clocks run faster by so many millionths for so long (adjtimex(2)), nanoseconds.
    Slew { millionths: i64, lasting: i64 },
}

/// What the clocks have gained on those of the machine, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Gained {
    mono: i64,
    wall: i64,
    boot: i64,
}

fn gained(script: &[Change], elapsed: i64) -> Gained {
    let mut gained = Gained::default();
    for change in script.iter().filter(|change| change.at <= elapsed) {
        match change.what {
            What::Wall(by) => gained.wall += by,
            What::Suspend(by) => {
                gained.wall += by;
                gained.boot += by;
            }
            What::Slew { millionths, lasting } => {
                let by = (elapsed - change.at).min(lasting) / 1_000_000 * millionths;
                gained = Gained { mono: gained.mono + by, wall: gained.wall + by, boot: gained.boot + by };
            }
        }
    }
    gained
}

/// How long after `elapsed` the system sleeps next.
fn next_suspend(script: &[Change], elapsed: i64) -> Option<i64> {
    let sleeps = script.iter().filter(|change| matches!(change.what, What::Suspend(_)) && change.at > elapsed);
    sleeps.map(|change| change.at - elapsed).min()
}

fn parse(script: &str) -> Result<Vec<Change>, String> {
    let changes = script.split(',').map(|change| {
        let words: Vec<_> = change.split_whitespace().collect();
        parse_change(&words)
            .ok_or_else(|| format!("{change:?} is none of: AT wall BY, AT suspend TIME, AT slew MILLIONTHS TIME"))
    });
    changes.collect()
}

fn parse_change(words: &[&str]) -> Option<Change> {
    let what = match *words.get(1..)? {
        ["wall", by] => What::Wall(nanos(by)?),
        ["suspend", by] => What::Suspend(nanos(by)?),
        ["slew", millionths, lasting] => What::Slew { millionths: millionths.parse().ok()?, lasting: nanos(lasting)? },
        _ => return None,
    };
    Some(Change { at: nanos(words[0])?, what })
}

/// `1h`, `-100ms`, `+3s` in nanoseconds.
fn nanos(text: &str) -> Option<i64> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let unit = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit)
}

fn signed(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

fn unsigned(nanos: i64) -> u64 {
    u64::try_from(nanos).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn after(script: &str, elapsed: i64) -> Gained {
        gained(&parse(script).expect("a good script"), elapsed)
    }

    #[test]
    fn setting_the_clock_moves_the_wall_clock_alone() {
        assert_eq!(after("2s wall -1h", 2 * SECOND - 1), Gained::default());
        assert_eq!(after("2s wall -1h", 2 * SECOND), Gained { wall: -3600 * SECOND, ..Gained::default() });
    }

    #[test]
    fn a_suspend_stops_the_monotonic_clock_alone() {
        let slept = Gained { mono: 0, wall: 41 * SECOND, boot: 41 * SECOND };
        assert_eq!(after("1s suspend 41s", 5 * SECOND), slept);
    }

    #[test]
    fn slewing_moves_all_clocks_little_by_little_and_ends() {
        let by = |nanos| Gained { mono: nanos, wall: nanos, boot: nanos };
        assert_eq!(after("1s slew 500 2s", 2 * SECOND), by(500_000));
        assert_eq!(after("1s slew 500 2s", 9 * SECOND), by(1_000_000));
    }

    #[test]
    fn changes_add_up() {
        let gained = after("1s wall +100ms, 2s suspend 3s, 3s wall -1h", 4 * SECOND);
        assert_eq!(gained, Gained { mono: 0, wall: SECOND / 10 + 3 * SECOND - 3600 * SECOND, boot: 3 * SECOND });
    }

    #[test]
    fn a_script_with_a_mistake_is_refused() {
        for script in ["", "1s", "1s wall", "1s wall 5", "soon wall 1h", "1s slew 500", "1s doze 3s"] {
            assert!(parse(script).is_err(), "{script:?}");
        }
    }
}
