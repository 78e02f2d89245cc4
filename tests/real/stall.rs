//! A process that is stopped and goes on later, or seldom has a processor: what it missed is not measured, what arrived meanwhile is
//! as old as it is.

use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::line::{Line, assert_every_slot_has_one_outcome};
use crate::support::load::BusyMachine;
use crate::support::net::Pair;
use crate::support::program::{Daemon, Rights, with_either_socket};
use crate::support::responder::{Answer, Responder};
use crate::support::wait::{self, PATIENCE};

with_either_socket! {
    a_stopped_process_calls_nothing_lost
    a_reply_that_may_have_found_the_buffer_full_is_not_measured
    a_machine_with_too_much_to_do_calls_nothing_lost
}

const STOPPED: Duration = Duration::from_secs(5);
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
    assert_every_slot_has_one_outcome(&lines, "10.99.0.2");
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
    daemon.program.wait_for("stderr", "warning", |text| text.contains(" dropped here, most likely"));
    let lines = daemon.stop();
    assert!(lines.iter().all(|line| line.outcome != "lost"), "{lines:?}");
}

/// Two threads for each processor want it all the time and go before the program, which has a hundred targets to probe every 10 to
/// 100 ms.
fn a_machine_with_too_much_to_do_calls_nothing_lost(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    let mut daemon = Daemon::start_behind_others(&pair.near, rights, &hundred_targets());
    daemon.expect_outcome("t0", "reply");
    let busy = BusyMachine::start();
    wait::pause(STOPPED);
    drop(busy);
    let newest = daemon.lines().iter().rfind(|line| line.target == "t0").map_or(0, Line::seq);
    daemon.expect("a reply after the strain", |line| line.is("t0", "reply") && line.seq() > newest);
    let lines = daemon.stop();
    for line in &lines {
        match line.outcome.as_str() {
            "reply" => assert!(line.rtt_ms.is_some_and(|rtt| rtt > 0.0 && rtt <= TIMEOUT_MS.into()), "{line:?}"),
            _ => assert_eq!(line.outcome, "not_measured", "{line:?}"),
        }
    }
    let stalled: u64 =
        lines.iter().filter(|line| line.error().starts_with("stalled")).filter_map(|line| line.count).sum();
    assert!(stalled > 0, "the machine had time for all");
    (0..100).for_each(|n| assert_every_slot_has_one_outcome(&lines, &format!("t{n}")));
}

const TIMEOUT_MS: u32 = 50;

fn hundred_targets() -> String {
    let target = |n: usize| {
        let interval = [10, 20, 50, 100][n % 4];
        format!(
            "[[target]]\nhost = \"10.99.0.2\"\nname = \"t{n}\"\ninterval = \"{interval}ms\"\ntimeout = \"{TIMEOUT_MS}ms\"\n"
        )
    };
    (0..100).map(target).collect()
}
