//! The status line of the service, as `systemctl status` shows it. Pure.
//!
//! Where the figures come from, it does not know.

use std::collections::VecDeque;
use std::time::Duration;

use crate::monitor::snapshot::Tally;
use crate::monitor::time::Mono;

/// The time that the loss is of: long enough that one lost probe of one target is no alarm, short enough to be about the present.
const LOSS_OVER: Duration = Duration::from_secs(300);

/// Longest status, characters: three troubles, shortened, and the figures.
const LONGEST: usize = 600;

/// How many probes were judged, and lost, at some instants of the last five minutes.
#[derive(Debug, Default)]
pub(crate) struct Loss {
    seen: VecDeque<(Mono, u64, u64)>,
    begins_anew: bool,
}

impl Loss {
    /// Other targets are counted from here on: what they had when they are seen next is where it begins.
    pub(crate) fn begin_anew(&mut self) {
        self.begins_anew = true;
    }

    /// Takes note of the counts. Returns the share of the probes judged within the last five minutes, or since the counts began, that was
    /// lost, 0 to 1; `None` where none was judged.
    pub(crate) fn handle(&mut self, tally: &Tally, now: Mono) -> Option<f64> {
        if std::mem::take(&mut self.begins_anew) {
            self.seen.clear();
            self.seen.push_back((now, tally.judged, tally.lost));
        }
        while self.seen.get(1).is_some_and(|(at, ..)| now - *at >= LOSS_OVER) {
            self.seen.pop_front();
        }
        let (_, judged_then, lost_then) = self.seen.front().copied().unwrap_or_default();
        if self.seen.is_empty() {
            self.seen.push_back((now, 0, 0));
        }
        self.seen.push_back((now, tally.judged, tally.lost));
        let judged = tally.judged.saturating_sub(judged_then);
        // A late reply amends a loss that may be older than that.
        let lost = tally.lost.saturating_sub(lost_then).min(judged);
        (judged > 0).then(|| lost as f64 / judged as f64)
    }
}

/// The figures: `212 targets, 3 down, 0.02 % loss, 1 not resolvable`. What is zero is left out.
pub(crate) fn figures(tally: &Tally, loss: Option<f64>) -> String {
    let counted = |count: u64, what: &str| (count > 0).then(|| format!("{count} {what}"));
    let parts = [
        Some(crate::counted::counted(tally.targets, "target")),
        counted(tally.down, "down"),
        counted(tally.never_answered, "never answered"),
        counted(tally.degraded, "degraded"),
        loss.map(percent),
        counted(tally.not_resolvable, "not resolvable"),
        counted(tally.not_sent, "cannot be sent to"),
        counted(tally.paused, "paused"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Some loss is never called none, and not all of it never all.
fn percent(loss: f64) -> String {
    if loss <= 0.0 {
        "no loss".to_owned()
    } else if loss >= 1.0 {
        "100 % loss".to_owned()
    } else {
        format!("{:.2} % loss", (loss * 100.0).clamp(0.01, 99.99))
    }
}

/// What is wrong, and then the figures.
pub(crate) fn with_troubles(troubles: impl Iterator<Item = String>, figures: String) -> String {
    troubles.chain([figures]).collect::<Vec<_>>().join("; ")
}

/// What is said of a reload that came to nothing.
pub(crate) fn reload_failed(problem: &str) -> String {
    format!("reload failed: {}; configuration in force stays", shortened(problem))
}

/// What is said while something that is kept cannot be written.
pub(crate) fn not_written(what: &str, error: &str) -> String {
    format!("the {what} is not written: {}", shortened(error))
}

/// What leaves room for the figures.
fn shortened(problem: &str) -> String {
    const LONGEST: usize = 120;
    problem.chars().take(LONGEST).collect()
}

/// Control characters, above all the end of a line, would end the field and begin another.
pub(crate) fn in_one_line(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    fn counts(judged: u64, lost: u64) -> Tally {
        Tally { judged, lost, ..Tally::default() }
    }

    #[test]
    fn the_figures_name_what_is_not_zero() {
        let all = Tally { targets: 212, down: 3, not_resolvable: 1, ..Tally::default() };
        assert_eq!(figures(&all, Some(0.0002)), "212 targets, 3 down, 0.02 % loss, 1 not resolvable");
        let one = Tally { targets: 1, ..Tally::default() };
        assert_eq!(figures(&one, None), "1 target");
        assert_eq!(figures(&one, Some(0.0)), "1 target, no loss");
        let odd = Tally { targets: 6, never_answered: 1, degraded: 1, not_sent: 2, paused: 2, ..Tally::default() };
        assert_eq!(
            figures(&odd, Some(1.0)),
            "6 targets, 1 never answered, 1 degraded, 100 % loss, 2 cannot be sent to, 2 paused"
        );
    }

    #[test]
    fn a_little_loss_is_not_none_and_nearly_all_is_not_all() {
        assert_eq!(percent(1e-9), "0.01 % loss");
        assert_eq!(percent(0.999_999), "99.99 % loss");
        assert_eq!(percent(1.0 / 3.0), "33.33 % loss");
    }

    #[test]
    fn the_loss_is_that_of_the_last_five_minutes() {
        let mut loss = Loss::default();
        assert_eq!(loss.handle(&counts(0, 0), at(0)), None);
        assert_eq!(loss.handle(&counts(100, 50), at(60)), Some(0.5));
        assert_eq!(loss.handle(&counts(200, 50), at(120)), Some(0.25));
        assert_eq!(loss.handle(&counts(300, 51), at(420)), Some(0.01), "what was lost in the first two minutes is old");
    }

    #[test]
    fn the_loss_counts_from_the_start_where_that_is_shorter() {
        assert_eq!(Loss::default().handle(&counts(10, 1), at(3)), Some(0.1));
    }

    #[test]
    fn late_replies_to_old_losses_make_no_loss_below_none() {
        let mut loss = Loss::default();
        loss.handle(&counts(100, 50), at(0));
        loss.handle(&counts(100, 50), at(400));
        assert_eq!(loss.handle(&counts(110, 40), at(800)), Some(0.0));
    }

    #[test]
    fn other_targets_begin_with_what_they_have() {
        let mut loss = Loss::default();
        loss.handle(&counts(1000, 900), at(0));
        loss.begin_anew();
        assert_eq!(loss.handle(&counts(10, 0), at(5)), None);
        assert_eq!(loss.handle(&counts(20, 1), at(10)), Some(0.1));
    }

    #[test]
    fn a_problem_however_long_leaves_room_for_the_figures() {
        let long = "ä".repeat(1000);
        let failed = reload_failed(&long);
        assert!(failed.starts_with("reload failed: ä") && failed.ends_with("ä; configuration in force stays"));
        let troubles = [failed, not_written("log", &long), not_written("ledger", &long)];
        let status = in_one_line(&with_troubles(troubles.into_iter(), "212 targets, 3 down".to_owned()));
        assert!(status.ends_with("ä; 212 targets, 3 down"), "{status}");
    }

    #[test]
    fn a_status_is_one_line_of_bounded_length() {
        assert_eq!(in_one_line("bad\nREADY=1\u{1b}!\n"), "bad READY=1 !");
        assert_eq!(in_one_line(&"ä".repeat(1000)).chars().count(), LONGEST);
    }
}
