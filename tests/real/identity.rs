//! Whose reply it is: between two instances, two targets, and what a strange host may answer.

use std::collections::BTreeMap;

use crate::support::line::{self, Line};
use crate::support::net::{Namespace, Pair};
use crate::support::program::{Daemon, Program, Rights, with_either_socket};
use crate::support::responder::{Answer, Responder};
use crate::support::wait::PATIENCE;

with_either_socket! {
    two_instances_never_see_each_others_replies
    every_size_is_answered
    two_targets_may_have_one_address
    what_a_strange_host_answers_is_called_by_its_name
    a_redirect_is_no_loss
}

fn two_instances_never_see_each_others_replies(rights: Rights) {
    let Some(host) = Namespace::new() else { return };
    for size in ["56", "0"] {
        let args = ["ping", "127.0.0.1", "::1", "-c", "50", "-i", "0.02", "-s", size, "--json"];
        let instances: Vec<_> = (0..2).map(|_| Program::start(&host, rights, &args)).collect();
        for mut instance in instances {
            let ended = instance.ended(PATIENCE);
            assert_eq!(ended.code, Some(0), "{ended:?}");
            assert_all_answered(&line::parse(&ended.stdout), &["127.0.0.1", "::1"], 50);
        }
    }
}

/// Exactly one reply to each probe and nothing else, but for slots that a busy machine made us miss.
fn assert_all_answered(lines: &[Line], targets: &[&str], count: u64) {
    for target in targets {
        let lines: Vec<_> = lines.iter().filter(|line| line.target == *target).collect();
        let seqs: Vec<_> = lines.iter().flat_map(|line| line.seqs()).collect();
        assert!(seqs.iter().copied().eq(1..=count), "{target}: {seqs:?}");
        let odd = lines.iter().find(|line| line.outcome != "reply" && !line.error().starts_with("stalled"));
        assert!(odd.is_none(), "{odd:?}");
    }
}

fn every_size_is_answered(rights: Rights) {
    let Some(host) = Namespace::new() else { return };
    let mut config = String::new();
    let mut sizes = BTreeMap::new();
    for size in [0, 1, 7, 8, 15, 16, 17, 56, 1472, 65_500] {
        for (family, host) in [("four", "127.0.0.1"), ("six", "::1")] {
            let name = format!("{family}-{size}");
            config +=
                &format!("[[target]]\nname = \"{name}\"\nhost = \"{host}\"\nsize = {size}\ninterval = \"200ms\"\n");
            sizes.insert(name, size + 8);
        }
    }
    let mut daemon = Daemon::start(&host, rights, &config);
    for (name, bytes) in &sizes {
        let replies = daemon.expect_of_all(&[name], "reply");
        assert_eq!(replies[0].bytes, Some(*bytes), "{replies:?}");
        daemon.rewind();
    }
    for name in sizes.keys() {
        daemon.expect("the fifth reply", |line| line.is(name, "reply") && line.seq() >= 5);
        daemon.rewind();
    }
    let lines = daemon.stop();
    let odd = lines.iter().find(|line| !matches!(line.outcome.as_str(), "reply" | "not_measured"));
    assert!(odd.is_none(), "{odd:?}");
}

fn two_targets_may_have_one_address(rights: Rights) {
    let Some(host) = Namespace::new() else { return };
    let (mut config, mut names) = ("[defaults]\ninterval = \"20ms\"\n".to_owned(), Vec::new());
    for size in [56, 8, 0] {
        for (family, host) in [("four", "127.0.0.1"), ("six", "::1")] {
            for twin in ["a", "b"] {
                let name = format!("{family}-{size}-{twin}");
                config += &format!("[[target]]\nname = \"{name}\"\nhost = \"{host}\"\nsize = {size}\n");
                names.push(name);
            }
        }
    }
    let mut daemon = Daemon::start(&host, rights, &config);
    for name in &names {
        daemon.expect("the fiftieth reply", |line| line.is(name, "reply") && line.seq() >= 50);
        daemon.rewind();
    }
    let lines = daemon.stop();
    for name in &names {
        let of_it: Vec<_> = lines.iter().filter(|line| line.target == *name).cloned().collect();
        let answered = of_it.iter().take_while(|line| line.error() != "stopped").cloned().collect::<Vec<_>>();
        let count = answered.last().map_or(0, |line| line.seqs().end - 1);
        assert_all_answered(&answered, &[name], count);
    }
}

fn what_a_strange_host_answers_is_called_by_its_name(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    let _far = Responder::start(&pair, strange);
    let config = "[[target]]\nhost = \"10.99.0.2\"\ninterval = \"100ms\"\ntimeout = \"300ms\"\n";
    let mut daemon = Daemon::start(&pair.near, rights, config);
    daemon.expect("the last reply", |line| line.seq() == 9 && line.outcome == "reply");
    daemon.rewind();
    daemon.expect("the late reply", |line| line.outcome == "late");
    daemon.rewind();
    daemon.expect("the loss of a forged reply", |line| line.outcome == "lost" && line.seq() == 6);
    let mut told: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let lines = daemon.stop();
    for line in lines.iter().filter(|line| !line.is_finding()) {
        told.entry(line.seq()).or_default().push(line.outcome.clone());
    }
    // Datagram sockets never see a wrong checksum: the kernel drops the packet.
    let wrong_checksum = if rights == Rights::Root { "damaged" } else { "lost" };
    let expected: [&[&str]; 9] = [
        &["reply"],
        &["reply", "duplicate"],
        &["damaged"],
        &[wrong_checksum],
        &["different_address"],
        &["lost"],
        &["damaged"],
        &["lost", "late"],
        &["reply"],
    ];
    for (seq, expected) in (1..).zip(expected) {
        assert_eq!(told[&seq], expected, "{seq}: {lines:?}");
    }
    let elsewhere = lines.iter().find(|line| line.outcome == "different_address").expect("found above");
    assert_eq!((elsewhere.addr.as_deref(), elsewhere.from.as_deref()), (Some("10.99.0.2"), Some("10.99.0.3")));
}

/// Answers every probe in its own way.
fn strange(proper: Answer) -> Vec<Answer> {
    let mut strange = proper.clone();
    match proper.sequence {
        2 => return vec![proper.clone(), proper],
        3 => strange.payload[40] ^= 1,
        4 => strange.checksum_error = 0x0100,
        5 => strange.from_elsewhere = true,
        6 => strange.payload.fill(0x5a),
        7 => strange.payload.truncate(30),
        8 => strange.after = std::time::Duration::from_millis(500),
        _ => {}
    }
    vec![strange]
}

fn a_redirect_is_no_loss(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    let _far = Responder::start(&pair, |proper| vec![Answer { redirected: true, ..proper }]);
    let mut daemon = Daemon::start(&pair.near, rights, "[[target]]\nhost = \"10.99.0.2\"\ninterval = \"100ms\"\n");
    daemon.expect("the tenth reply", |line| line.outcome == "reply" && line.seq() >= 10);
    let lines = daemon.stop();
    let odd = lines.iter().find(|line| !matches!(line.outcome.as_str(), "reply" | "not_measured"));
    assert!(odd.is_none(), "{lines:?}");
}
