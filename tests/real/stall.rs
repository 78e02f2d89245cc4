//! A process that is stopped and goes on later: what it missed is not measured, what arrived meanwhile is as old as it is.

use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::line::Line;
use crate::support::net::Pair;
use crate::support::program::{Daemon, Rights, with_either_socket};
use crate::support::responder::{Answer, Responder};
use crate::support::wait::{self, PATIENCE};

with_either_socket! {
    a_stopped_process_calls_nothing_lost
    a_reply_that_may_have_found_the_buffer_full_is_not_measured
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

/// While the process is stopped, duplicates of an earlier reply fill its receive buffer: whether an answer was among what did not
/// find room, nobody can tell.
fn a_reply_that_may_have_found_the_buffer_full_is_not_measured(rights: Rights) {
    const FLOOD: usize = 4_000;
    let Some(pair) = Pair::new() else { return };
    let (asked, was_asked) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    let mut first = None;
    let _far = Responder::start(&pair, move |answer| {
        let duplicate: &Answer = first.get_or_insert_with(|| answer.clone());
        if answer.sequence < 4 || asked.send(answer.sequence).is_err() {
            return vec![answer];
        }
        let duplicates = may_go.recv_timeout(PATIENCE).map_or(0, |()| FLOOD);
        vec![duplicate.clone(); duplicates]
    });
    let config = "[[target]]\nhost = \"10.99.0.2\"\ninterval = \"200ms\"\ntimeout = \"3s\"\nsize = 1400\n";
    let mut daemon = Daemon::start(&pair.near, rights, config);
    let unanswered = was_asked.recv_timeout(PATIENCE).expect("probes arrive");
    drop(was_asked);
    daemon.program.signal(Signal::SIGSTOP);
    go.send(()).expect("the far host waits for it");
    wait::until(PATIENCE, || (pair.near.drops() > 0).then_some(())).expect("the buffer overflows");
    daemon.program.signal(Signal::SIGCONT);
    let unmeasured = daemon.expect("the verdict", |line| line.seq == Some(unanswered.into()));
    let expected = ("not_measured", "local receive buffer overflowed");
    assert_eq!((unmeasured.outcome.as_str(), unmeasured.error()), expected, "{}", daemon.story());
    daemon.program.wait_for("stderr", "warning", |text| text.contains("packets were dropped here"));
    let lines = daemon.stop();
    assert!(lines.iter().all(|line| line.outcome != "lost"), "{lines:?}");
}
