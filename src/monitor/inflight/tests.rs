//! The judgement, case by case.

use super::*;

const T0: Stamp = Stamp { mono: Mono::from_nanos(1_000_000_000_000), wall: Wall::from_nanos(0) };
const MS: Duration = Duration::from_millis(1);
const TIMEOUT: Duration = Duration::from_secs(2);

fn at(millis: u32) -> Stamp {
    Stamp { mono: T0.mono + MS * millis, wall: T0.wall + MS * millis }
}

/// A packet read as soon as it came.
fn prompt(millis: u32) -> Arrival {
    Arrival { stamped: Some(at(millis).wall), seen: at(millis), earliest: at(millis) }
}

/// A packet that came at `stamped` and was read at `seen`, from a socket last empty at `earliest`.
fn waited(stamped: Option<u32>, seen: u32, earliest: u32) -> Arrival {
    Arrival { stamped: stamped.map(|millis| at(millis).wall), seen: at(seen), earliest: at(earliest) }
}

/// Probe 1, sent at 0 ms.
fn one() -> Inflight {
    let mut inflight = Inflight::new(TIMEOUT);
    inflight.handle_sent(1, T0, Duration::ZERO);
    inflight
}

/// Probe 1, lost.
fn lost() -> Inflight {
    let mut inflight = one();
    inflight.handle_expiry(1, at(2005), None).expect("its time is up");
    inflight
}

#[track_caller]
fn judged(effect: Effect) -> (Ruling, u128) {
    match effect {
        Effect::Judged(verdict) => (verdict.ruling, verdict.after.as_millis()),
        Effect::Overdue { .. } | Effect::Stale | Effect::Redundant => panic!("{effect:?}"),
    }
}

#[test]
fn a_reply_at_the_very_deadline_is_in_time() {
    assert_eq!(judged(one().handle_reply(1, prompt(2000))), (Ruling::Reply, 2000));
}

#[test]
fn a_reply_a_millisecond_after_the_deadline_is_lost_and_late_whoever_reads_it_first() {
    let effect = one().handle_reply(1, prompt(2001));
    let Effect::Overdue { lost, late } = effect else { panic!("{effect:?}") };
    assert_eq!((lost.ruling, lost.at, lost.after), (Ruling::Lost(Cause::Unanswered), at(2000).wall, TIMEOUT));
    assert_eq!((late.ruling, late.at, late.after), (Ruling::Late(Cause::Unanswered), at(2001).wall, MS * 2001));
    assert_eq!(judged(self::lost().handle_reply(1, prompt(2001))), (Ruling::Late(Cause::Unanswered), 2001));
}

/// The process was stopped for 3 s at the sending.
fn stopped() -> Inflight {
    sending_took(3000)
}

fn sending_took(millis: u32) -> Inflight {
    let mut inflight = Inflight::new(TIMEOUT);
    inflight.handle_sent(1, T0, MS * millis);
    inflight
}

#[test]
fn a_stop_before_the_probe_left_is_neither_a_round_trip_nor_a_loss() {
    let stalled = Ruling::Unmeasured(Obstacle::Stalled { millis: 3000 });
    assert_eq!(judged(stopped().handle_reply(1, prompt(3001))), (stalled, 3001));
    let verdict = stopped().handle_expiry(1, at(3005), None).expect("its time is up");
    assert_eq!(verdict.ruling, stalled);
    let verdict = stopped().handle_expiry(1, at(3005), Some(at(1).mono)).expect("its time is up");
    assert_eq!(verdict.ruling, Ruling::Unmeasured(Obstacle::LocalDrops));
    let voided = stopped().void();
    assert_eq!(voided, Some(Voided { first: 1, last: 1, count: 1 }), "it is open");
}

#[test]
fn a_stop_after_the_probe_left_does_not_hide_that_its_reply_came_at_once() {
    assert_eq!(judged(stopped().handle_reply(1, waited(Some(4), 3001, 0))), (Ruling::Reply, 4));
    assert_eq!(
        judged(sending_took(4).handle_reply(1, prompt(40))),
        (Ruling::Reply, 40),
        "a sending that took not too long"
    );
}

#[test]
fn the_kernels_stamp_of_the_sending_counts() {
    let mut stamped = sending_took(4);
    assert!(!stamped.handle_left(1, at(3), Certainty::Likely));
    assert_eq!(judged(stamped.handle_reply(1, prompt(40))), (Ruling::Reply, 37));
    let mut lost = lost();
    assert!(!lost.handle_left(1, at(3), Certainty::Certain), "too late");
    assert_eq!(judged(lost.handle_reply(1, prompt(2100))), (Ruling::Late(Cause::Unanswered), 2100));
}

#[test]
fn a_certain_stamp_ends_the_doubt_of_a_long_sending() {
    let mut doubtful = stopped();
    assert!(!doubtful.handle_left(1, at(2999), Certainty::Likely));
    assert!(doubtful.handle_left(1, at(2999), Certainty::Certain));
    assert_eq!(doubtful.handle_expiry(1, at(4998), None), None, "its time is up later");
    assert_eq!(judged(doubtful.handle_reply(1, prompt(3001))), (Ruling::Reply, 2));
}

#[test]
fn the_kernels_stamp_counts_however_late_the_reply_is_read() {
    assert_eq!(judged(one().handle_reply(1, waited(Some(7), 9000, 0))), (Ruling::Reply, 7));
}

#[test]
fn without_a_plausible_stamp_the_reading_counts() {
    assert_eq!(judged(one().handle_reply(1, waited(None, 30, 20))), (Ruling::Reply, 30));
    let future = Arrival { stamped: Some(at(31).wall), ..waited(None, 30, 20) };
    assert_eq!(judged(one().handle_reply(1, future)), (Ruling::Reply, 30));
    let past = Arrival { stamped: Some(T0.wall - MS), ..waited(None, 30, 20) };
    assert_eq!(judged(one().handle_reply(1, past)), (Ruling::Reply, 30));
}

/// A reply that came after 300 ms, read at 310 ms from a socket last empty at 299 ms; the clock was set `by` milliseconds at `set`.
fn while_the_clock_is_set(set: u32, by: i32) -> Arrival {
    let shift = |stamp: Stamp, millis: u32| {
        let by = if millis >= set { by } else { 0 };
        let wall = if by < 0 { stamp.wall - MS * by.unsigned_abs() } else { stamp.wall + MS * by.unsigned_abs() };
        Stamp { wall, ..stamp }
    };
    let [arrived, seen, earliest] = [300, 310, 299].map(|millis| shift(at(millis), millis));
    Arrival { stamped: Some(arrived.wall), seen, earliest }
}

#[test]
fn a_clock_set_while_the_reply_waits_makes_no_wrong_time() {
    for by in [3_600_000, 100, 20, -20, -100, -3_600_000] {
        for set in [300, 305] {
            let judged = judged(one().handle_reply(1, while_the_clock_is_set(set, by)));
            assert_eq!(judged, (Ruling::Reply, 300), "by {by} ms at {set} ms");
        }
    }
}

#[test]
fn a_clock_set_by_less_than_the_reply_waited_leaves_its_time_unclear() {
    // Stamped before: 4 ms earlier by the new clock is before the socket was empty, 4 ms later is not.
    assert_eq!(judged(one().handle_reply(1, while_the_clock_is_set(305, 4))), (Ruling::Reply, 300));
    let unclear = judged(one().handle_reply(1, while_the_clock_is_set(305, -4))).0;
    assert_eq!(unclear, Ruling::Unmeasured(Obstacle::ArrivalUnknown));
}

#[test]
fn a_reply_that_may_have_come_on_either_side_of_the_deadline_is_not_measured() {
    let mut inflight = one();
    let ruling = judged(inflight.handle_reply(1, waited(None, 5000, 1000))).0;
    assert_eq!(ruling, Ruling::Unmeasured(Obstacle::ArrivalUnknown));
    assert_eq!(inflight.handle_reply(1, prompt(5001)), Effect::Stale);
    assert_eq!(inflight.handle_expiry(1, at(6000), None), None);
}

#[test]
fn a_reply_that_surely_came_after_the_deadline_needs_no_stamp() {
    let effect = one().handle_reply(1, waited(None, 2004, 2001));
    assert!(matches!(effect, Effect::Overdue { .. }), "{effect:?}");
}

#[test]
fn nothing_is_lost_before_everything_that_came_in_time_was_read() {
    let mut inflight = one();
    assert_eq!(inflight.handle_expiry(1, at(1999), None), None);
    let verdict = inflight.handle_expiry(1, at(2005), None).expect("its time is up");
    assert_eq!((verdict.ruling, verdict.at), (Ruling::Lost(Cause::Unanswered), at(2005).wall));
    assert_eq!(verdict.after, TIMEOUT);
    assert_eq!(inflight.handle_expiry(1, at(2010), None), None, "lost once");
}

#[test]
fn what_the_socket_may_have_dropped_is_not_measured() {
    let verdict = |dropped: Stamp| one().handle_expiry(1, at(2005), Some(dropped.mono)).map(|verdict| verdict.ruling);
    assert_eq!(verdict(at(0)), Some(Ruling::Unmeasured(Obstacle::LocalDrops)));
    let before = Stamp { mono: T0.mono - MS, ..T0 };
    assert_eq!(verdict(before), Some(Ruling::Lost(Cause::Unanswered)));
}

#[test]
fn a_cause_explains_an_unanswered_loss_once() {
    for cause in [Cause::Unreachable, Cause::Damaged, Cause::DifferentAddress] {
        assert_eq!(judged(one().handle_failure(1, cause, prompt(20))), (Ruling::Lost(cause), 20));
        let mut inflight = lost();
        assert_eq!(judged(inflight.handle_failure(1, cause, prompt(3000))), (Ruling::Explained(cause), 3000));
        assert_eq!(inflight.handle_failure(1, Cause::Unreachable, prompt(3001)), Effect::Redundant);
        assert_eq!(judged(inflight.handle_reply(1, prompt(3002))), (Ruling::Late(cause), 3002));
        assert_eq!(inflight.handle_failure(1, cause, prompt(3003)), Effect::Redundant);
        assert_eq!(judged(inflight.handle_reply(1, prompt(3004))), (Ruling::Duplicate, 3004));
    }
}

#[test]
fn a_probe_never_sent_has_no_verdict() {
    let mut inflight = one();
    assert_eq!(inflight.handle_reply(2, prompt(10)), Effect::Stale);
    assert_eq!(inflight.handle_failure(2, Cause::Damaged, prompt(10)), Effect::Stale);
    assert_eq!(inflight.handle_expiry(2, at(9000), None), None);
}

#[test]
fn voiding_takes_the_open_probes_and_no_others() {
    let mut inflight = Inflight::new(TIMEOUT);
    for seq in 1..=4 {
        inflight.handle_sent(seq, at(0), Duration::ZERO);
    }
    inflight.handle_reply(2, prompt(10));
    inflight.handle_failure(4, Cause::Unreachable, prompt(10));
    assert_eq!(inflight.void(), Some(Voided { first: 1, last: 3, count: 2 }));
    assert_eq!(inflight.void(), None);
    assert_eq!(inflight.handle_reply(1, prompt(20)), Effect::Stale);
    assert_eq!(judged(inflight.handle_reply(2, prompt(20))).0, Ruling::Duplicate);
    assert_eq!(judged(inflight.handle_reply(4, prompt(20))).0, Ruling::Late(Cause::Unreachable));
}

#[test]
fn a_loss_can_be_amended_for_a_minute_and_an_answer_doubled_for_five_seconds() {
    let mut inflight = lost();
    inflight.handle_sent(2, at(61_999), Duration::ZERO);
    assert!(inflight.remembers(1), "its deadline was less than a minute ago");
    inflight.handle_reply(2, prompt(62_000));
    inflight.handle_sent(3, at(62_000), Duration::ZERO);
    assert!(!inflight.remembers(1));
    inflight.handle_sent(4, at(66_998), Duration::ZERO);
    assert!(inflight.remembers(2));
    inflight.handle_sent(5, at(66_999), Duration::ZERO);
    assert!(!inflight.remembers(2));
    assert_eq!(inflight.oldest(), Some(3), "still open");
}

#[test]
fn numbers_may_have_gaps() {
    let mut inflight = one();
    inflight.handle_sent(40_000_000_000, at(1000), Duration::ZERO);
    assert_eq!(judged(inflight.handle_reply(40_000_000_000, prompt(1010))), (Ruling::Reply, 10));
    assert!(inflight.is_open(1));
}
