//! `pingtest ping`: its letters, its exit codes, its summary.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::line;
use crate::support::net::{self, Namespace, Pair};
use crate::support::program::{self, Program, Rights, run_in};
use crate::support::wait::{self, PATIENCE, Stopwatch};

/// A host whose address 127.0.0.9 never answers.
fn host() -> Option<Namespace> {
    let host = Namespace::new()?;
    host.nft(&["input ip daddr 127.0.0.9 drop"]);
    Some(host)
}

#[test]
fn a_count_ends_it_and_the_summary_adds_up() {
    let Some(host) = host() else { return };
    let ended = run_in(&host, Rights::Root, &["ping", "127.0.0.1", "::1", "-c", "3", "-i", "0.1", "-D"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    for addr in ["127.0.0.1", "::1"] {
        for seq in 1..=3 {
            let wanted = format!(" 64 bytes from {addr}: icmp_seq={seq} ttl=64 time=0.");
            assert!(ended.stdout.contains(&wanted), "{wanted}\n{}", ended.stdout);
        }
        let summary = format!(
            "--- {addr} ping statistics ---\n3 sent, 3 received, 0 lost, 0 duplicates, 0 % loss\nrtt min/mean/median/p95/p99/max = 0."
        );
        assert!(ended.stdout.contains(&summary), "{summary}\n{}", ended.stdout);
    }
}

#[test]
fn a_host_that_never_answers_makes_exit_code_1() {
    let Some(host) = host() else { return };
    let args = ["ping", "127.0.0.9", "127.0.0.1", "-c", "2", "-i", "0.1", "-W", "0.2"];
    let ended = run_in(&host, Rights::Root, &args);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for seq in 1..=2 {
        let wanted = format!(" no answer from 127.0.0.9: icmp_seq={seq} timeout=200 ms\n");
        assert!(ended.stdout.contains(&wanted), "{wanted}\n{}", ended.stdout);
    }
    let summary =
        "--- 127.0.0.9 ping statistics ---\n2 sent, 0 received, 2 lost (2 unanswered), 0 duplicates, 100 % loss\n---";
    assert!(ended.stdout.contains(summary), "{}", ended.stdout);
    assert!(ended.stdout.contains("\n2 sent, 2 received, 0 lost, 0 duplicates, 0 % loss\n"), "{}", ended.stdout);
}

#[test]
fn a_deadline_ends_it_whatever_is_in_flight() {
    let Some(host) = host() else { return };
    let watch = Stopwatch::start();
    let ended = run_in(&host, Rights::Root, &["ping", "127.0.0.9", "-i", "0.1", "-W", "60", "-w", "0.55"]);
    assert!(watch.elapsed() >= Duration::from_millis(550), "{:?}", watch.elapsed());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains(" not measured: ") && ended.stdout.contains("(stopped)\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("0 lost, 0 duplicates, "), "{}", ended.stdout);
}

#[test]
fn size_is_of_the_payload_and_the_line_tells_the_whole_message() {
    let Some(host) = host() else { return };
    let ended = run_in(&host, Rights::Root, &["ping", "127.0.0.1", "-c", "1", "-s", "100"]);
    assert!(ended.stdout.contains(" 108 bytes from 127.0.0.1: icmp_seq=1 "), "{ended:?}");
}

#[test]
fn the_family_of_a_name_can_be_chosen() {
    let Some(host) = host() else { return };
    host.etc("hosts", "127.0.0.1 twofold\n::1 twofold\n");
    for (family, addr) in [("-4", "127.0.0.1"), ("-6", "::1")] {
        let ended = run_in(&host, Rights::Root, &["ping", family, "twofold", "-c", "1"]);
        let wanted = format!(" 64 bytes from twofold ({addr}): icmp_seq=1 ttl=64 ");
        assert!(ended.code == Some(0) && ended.stdout.contains(&wanted), "{ended:?}");
    }
}

#[test]
fn the_source_is_an_address_or_an_interface() {
    let Some(pair) = Pair::new() else { return };
    pair.near.ip("addr add 10.99.0.5/24 dev v0\naddr add fd99::5/64 dev v0 nodad");
    pair.far.nft(&["input ip saddr 10.99.0.1 drop", "input icmpv6 type echo-request ip6 saddr fd99::1 drop"]);
    for (source, addr) in [("10.99.0.5", "10.99.0.2"), ("fd99::5", "fd99::2")] {
        let ended = run_in(&pair.near, Rights::Root, &["ping", addr, "-c", "1", "-I", source]);
        assert_eq!(ended.code, Some(0), "from {source}: {ended:?}");
    }
    let ended = run_in(&pair.near, Rights::Root, &["ping", "127.0.0.1", "-c", "1", "-W", "0.2", "-I", "v0"]);
    assert_eq!(ended.code, Some(1), "loopback is not behind v0: {ended:?}");
    let ended = run_in(&pair.near, Rights::Root, &["ping", "127.0.0.1", "-c", "1", "-I", "lo"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn time_to_live_is_what_the_packets_leave_with() {
    let Some(pair) = Pair::new() else { return };
    pair.far.nft(&["input ip ttl != 7 drop", "input icmpv6 type echo-request ip6 hoplimit != 7 drop"]);
    for addr in ["10.99.0.2", "fd99::2"] {
        let ended = run_in(&pair.near, Rights::Root, &["ping", addr, "-c", "1", "-t", "7"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.contains(" ttl=64 "), "the reply's is its sender's: {ended:?}");
    }
}

#[test]
fn quiet_leaves_the_summary_only() {
    let Some(host) = host() else { return };
    let ended = run_in(&host, Rights::Root, &["ping", "127.0.0.1", "-c", "2", "-i", "0.1", "-q"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with("--- 127.0.0.1 ping statistics ---\n2 sent, 2 received, "), "{ended:?}");
    assert_eq!(ended.stdout.lines().count(), 3, "{ended:?}");
}

#[test]
fn json_has_standard_output_for_itself() {
    let Some(host) = host() else { return };
    let args = ["ping", "127.0.0.1", "127.0.0.9", "-c", "2", "-i", "0.1", "-W", "0.2", "--json"];
    let ended = run_in(&host, Rights::Root, &args);
    let lines = line::parse(&ended.stdout);
    let (replies, lost): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.outcome == "reply");
    assert_eq!((replies.len(), lost.len()), (2, 2), "{ended:?}");
    for reply in replies {
        assert_eq!((reply.target.as_str(), reply.addr.as_deref()), ("127.0.0.1", Some("127.0.0.1")));
        assert_eq!((reply.ttl, reply.bytes, reply.from.as_deref(), reply.count), (Some(64), Some(64), None, None));
        assert!(reply.rtt_ms.is_some_and(|rtt| rtt < 200.0) && reply.sent.as_ref() < Some(&reply.ts), "{reply:?}");
    }
    assert!(lost.iter().all(|line| line.is("127.0.0.9", "lost") && line.rtt_ms.is_none()), "{lost:?}");
    assert!(ended.stderr.contains("--- 127.0.0.1 ping statistics ---\n2 sent, 2 received, "), "{ended:?}");
}

#[test]
fn lines_are_appended_to_a_file_as_well() {
    let Some(host) = host() else { return };
    let dir = program::directory();
    fs::write(dir.path().join("out"), "what was there stays\n").expect("the directory is ours");
    let args = ["ping", "127.0.0.1", "-c", "2", "-i", "0.1", "-o", "out"];
    let mut ping = Program::start_in(dir, &host, Rights::Root, &args);
    let ended = ping.ended(PATIENCE);
    let (lines, _) = ended.stdout.split_once("---").unwrap_or_else(|| panic!("no summary: {ended:?}"));
    assert_eq!(lines.lines().count(), 2, "{ended:?}");
    assert_eq!(ping.text("out"), format!("what was there stays\n{lines}"));
}

#[test]
fn an_interrupt_brings_the_summary() {
    let Some(host) = host() else { return };
    let mut ping = Program::start(&host, Rights::Root, &["ping", "127.0.0.1", "-i", "0.1"]);
    ping.wait_for("stdout", "second line", |text| text.lines().count() >= 2);
    ping.signal(Signal::SIGINT);
    let ended = ping.ended(PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("\n--- 127.0.0.1 ping statistics ---\n"), "{ended:?}");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let Some(host) = host() else { return };
    let dir = program::directory();
    let mut command = program::command(&host, Rights::Root, dir.path());
    command.args(["ping", "127.0.0.1", "-i", "0.1"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program can be started");
    let mut first = String::new();
    let stdout = child.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut first).expect("a line");
    assert!(first.contains(" 64 bytes from 127.0.0.1: icmp_seq=1 "), "{first}");
    let ended = wait::until(PATIENCE, || child.try_wait().expect("it is ours to wait for"));
    if ended.is_none() {
        child.kill().expect("it is ours");
    }
    let output = child.wait_with_output().expect("it is ours");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
}

#[test]
fn wrong_usage_is_exit_code_64_and_says_what_is_wrong() {
    let cases: &[(&[&str], &str)] = &[
        (&["ping"], "<HOST>"),
        (&["pong"], "pong"),
        (&["ping", "127.0.0.1", "--flood"], "--flood"),
        (&["ping", "127.0.0.1", "-c", "0"], "-c"),
        (&["ping", "127.0.0.1", "-i", "0"], "-i"),
        (&["ping", "127.0.0.1", "-W", "soon"], "-W"),
        (&["ping", "127.0.0.1", "-s", "65501"], "-s"),
        (&["ping", "127.0.0.1", "-t", "0"], "-t"),
        (&["ping", "127.0.0.1", "-4", "-6"], "-6"),
        (&["ping", "::1", "-4"], "::1"),
        (&["ping", "127.0.0.1", "-I", "::1"], "127.0.0.1"),
        (&["ping", "127.0.0.1", "127.0.0.1"], "127.0.0.1"),
        (&["ping", "not a host"], "not a host"),
        (&["run", "stray"], "stray"),
    ];
    for (args, named) in cases {
        let ended = program::run(args);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(named), "{args:?} does not name {named}: {}", ended.stderr);
    }
    assert_eq!(program::run(&["--help"]).code, Some(0));
    assert_eq!(program::run(&["ping", "--help"]).code, Some(0));
}

#[test]
fn without_any_right_both_cures_are_named() {
    let Some(host) = host() else { return };
    let ended = run_in(&host, Rights::None, &["ping", "127.0.0.1", "-c", "1"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(77), ""), "{ended:?}");
    for cure in ["CAP_NET_RAW", "net.ipv4.ping_group_range=\"0 2147483647\""] {
        assert!(ended.stderr.contains(cure), "{}", ended.stderr);
    }
}

#[test]
fn the_group_is_right_enough() {
    let Some(host) = host() else { return };
    let ended = run_in(&host, Rights::Group, &["ping", "127.0.0.1", "::1", "-c", "2", "-i", "0.1"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    for addr in ["127.0.0.1", "::1"] {
        assert!(ended.stdout.contains(&format!(" 64 bytes from {addr}: icmp_seq=2 ttl=64 ")), "{ended:?}");
    }
}

/// A time namespace may put the clock that goes on in suspension behind the one that does not.
#[test]
fn clocks_that_a_time_namespace_shifts_delay_nothing() {
    let Some(host) = host() else { return };
    let shifted = |args: &[&str]| {
        let mut command = host.command("unshare");
        command.args(["--time", "--kill-child", "--monotonic", "1000", "--boottime", "0"]);
        Program::spawn(program::directory(), command, args).ended(PATIENCE / 3)
    };
    let possible = shifted(&["true"]);
    if possible.code != Some(0) {
        return net::skip(&format!("time namespaces cannot be used here ({})", possible.stderr.trim()));
    }
    let ended = shifted(&[env!("CARGO_BIN_EXE_pingtest"), "ping", "-c", "3", "-i", "0.2", "127.0.0.1"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("\n3 sent, 3 received, 0 lost, 0 duplicates, 0 % loss\n"), "{ended:?}");
}
