//! A process that is stopped and goes on later: what it missed is not measured, what arrived meanwhile is as old as it is.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::line::Line;
use crate::support::net::Pair;
use crate::support::program::{Daemon, Rights, with_either_socket};
use crate::support::responder::{Answer, Responder};
use crate::support::wait;

with_either_socket! {
    a_stopped_process_calls_nothing_lost
    a_reply_that_found_the_buffer_full_is_not_measured
}

const STOPPED: Duration = Duration::from_secs(3);
const ROUND_TRIP: Duration = Duration::from_millis(500);

fn a_stopped_process_calls_nothing_lost(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    let _far = Responder::start(&pair, |answer| vec![Answer { after: ROUND_TRIP, ..answer }]);
    let config = "[[target]]\nhost = \"10.99.0.2\"\ninterval = \"100ms\"\ntimeout = \"2s\"\n";
    let mut daemon = Daemon::start(&pair.near, rights, config);
    daemon.expect("the fifth reply", |line| line.outcome == "reply" && line.seq() >= 5);
    daemon.program.signal(Signal::SIGSTOP);
    wait::pause(STOPPED);
    daemon.program.signal(Signal::SIGCONT);
    let missed = daemon.expect("probes not measured", |line| line.outcome == "not_measured");
    assert!(missed.error().starts_with("stalled for "), "{missed:?}");
    assert!(missed.count >= Some(25), "{missed:?}");
    let after = missed.seqs().end;
    daemon.expect("a reply after the stall", |line| line.outcome == "reply" && line.seq() >= after);
    let lines = daemon.stop();
    assert!(lines.iter().all(|line| matches!(line.outcome.as_str(), "reply" | "not_measured")), "{lines:?}");
    for reply in lines.iter().filter(|line| line.outcome == "reply") {
        let rtt = Duration::from_secs_f64(reply.rtt_ms.unwrap_or_default() / 1000.0);
        assert!(rtt >= ROUND_TRIP && rtt < ROUND_TRIP + STOPPED / 3, "{reply:?}");
    }
    let mut seqs: Vec<_> = lines.iter().flat_map(Line::seqs).collect();
    seqs.sort_unstable();
    assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{seqs:?}");
}

/// While the process is stopped, duplicates of an earlier reply fill its receive buffer, and the replies behind them are dropped.
fn a_reply_that_found_the_buffer_full_is_not_measured(rights: Rights) {
    const FLOOD: usize = 4_000;
    let Some(pair) = Pair::new() else { return };
    let mut first = None;
    let _far = Responder::start(&pair, move |answer| {
        let first: &Answer = first.get_or_insert_with(|| answer.clone());
        let duplicates = if answer.sequence == 4 { FLOOD } else { 0 };
        let duplicate = Answer { after: ROUND_TRIP, ..first.clone() };
        let mut answers = vec![duplicate; duplicates];
        answers.push(if answer.sequence < 4 { answer } else { Answer { after: ROUND_TRIP, ..answer } });
        answers
    });
    let config = "[[target]]\nhost = \"10.99.0.2\"\ninterval = \"200ms\"\ntimeout = \"2s\"\nsize = 1400\n";
    let mut daemon = Daemon::start(&pair.near, rights, config);
    daemon.expect("the third reply", |line| line.outcome == "reply" && line.seq() == 3);
    wait::pause(Duration::from_millis(300));
    daemon.program.signal(Signal::SIGSTOP);
    wait::pause(Duration::from_secs(1));
    daemon.program.signal(Signal::SIGCONT);
    let unmeasured = daemon.expect("the fourth probe's verdict", |line| line.seq() == 4);
    let expected = ("not_measured", "local receive buffer overflowed");
    assert_eq!((unmeasured.outcome.as_str(), unmeasured.error()), expected, "{}", daemon.story());
    daemon.program.wait_for("stderr", "warning", |text| text.contains("packets were dropped here"));
    let lines = daemon.stop();
    assert!(lines.iter().all(|line| line.outcome != "lost"), "{lines:?}");
}
