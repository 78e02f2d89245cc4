//! Routing: whose packet it is, by tag, by address and number, or nobody's.

use std::net::Ipv4Addr;

use super::*;
use record::AnswerKind;
use sample::Arrival;
use target::Family;
use time::{Boot, Wall};

const MS: Duration = Duration::from_millis(1);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn at(millis: u32) -> Now {
    let mono = Mono::from_nanos(1_000_000_000_000) + MS * millis;
    Now { mono, wall: Wall::from_nanos(0) + MS * millis, boot: Boot::from_nanos(mono.as_nanos()) }
}

fn target(name: &str, host: Ipv4Addr, size: u16) -> Arc<Target> {
    Arc::new(Target {
        name: Name::new(name).expect("a name"),
        host: Host::Address(host.into()),
        family: Family::Any,
        interval: Duration::from_secs(1),
        phase: Duration::ZERO,
        timeout: Duration::from_secs(2),
        size,
        options: SocketOptions::default(),
        resolve_every: Duration::from_secs(60),
        count: None,
        rules: Arc::default(),
    })
}

/// A monitor of these targets, each of which has sent its first probe.
fn monitor(targets: &[Arc<Target>]) -> (Monitor, Vec<(Probe, Vec<u8>)>) {
    let mut monitor = Monitor::new(Identity::new(*b"sixteen byte key"), Start::Spread, at(0));
    monitor.handle_targets(targets, at(0));
    let mut sent = Vec::new();
    while let Some(probe) = monitor.poll_probe(at(0)) {
        let mut payload = vec![0; probe.size];
        monitor.write_payload(&probe, &mut payload);
        monitor.handle_sent(&probe, at(0).stamp(), Duration::ZERO, Ok(()));
        sent.push((probe, payload));
    }
    assert_eq!(sent.len(), targets.len());
    (monitor, sent)
}

fn arrival() -> Arrival {
    Arrival { stamped: Some(at(10).wall), seen: at(10).stamp(), earliest: at(10).stamp() }
}

fn echo(monitor: &mut Monitor, from: Ipv4Addr, sequence: u16, payload: &[u8], checksum: Checksum) {
    let message = Message::EchoReply { sequence, payload, checksum };
    monitor.handle_sample(&Sample { from: from.into(), arrival: arrival(), ttl: Some(64), message });
}

fn unreachable(monitor: &mut Monitor, destination: Ipv4Addr, sequence: u16, payload: &[u8]) {
    let error = IcmpError::V4 { kind: 3, code: 1, info: 0 };
    let message = Message::Error { error, destination: destination.into(), sequence, payload };
    monitor.handle_sample(&Sample { from: ROUTER.into(), arrival: arrival(), ttl: Some(64), message });
}

/// Whose probes were answered, and as what.
fn answers(monitor: &mut Monitor) -> Vec<(String, AnswerKind)> {
    let mut records = Vec::new();
    monitor.poll_records(&mut records);
    let answer = |record: &Record| match &record.event {
        Event::Answer(answer) => (record.target.name.to_string(), answer.kind),
        Event::Lost { .. }
        | Event::Unreachable { .. }
        | Event::NotSent { .. }
        | Event::NotMeasured { .. }
        | Event::NotRunning { .. }
        | Event::AddressChanged { .. }
        | Event::OutageBegan { .. }
        | Event::OutageEnded { .. }
        | Event::FirstReply(_) => panic!("{record:?}"),
    };
    records.iter().map(answer).collect()
}

/// Whose probes a router spoke of.
fn unreached(monitor: &mut Monitor) -> Vec<String> {
    let mut records = Vec::new();
    monitor.poll_records(&mut records);
    assert!(records.iter().all(|record| matches!(record.event, Event::Unreachable { .. })), "{records:?}");
    records.iter().map(|record| record.target.name.to_string()).collect()
}

#[test]
fn a_tag_names_its_target_whoever_sends_it() {
    let (mut monitor, sent) = monitor(&[target("a", HOST, 56), target("b", HOST, 56)]);
    for (probe, payload) in sent.iter().rev() {
        assert_eq!(probe.sequence, 1, "the number alone does not tell them apart");
        echo(&mut monitor, HOST, probe.sequence, payload, Checksum::Good);
    }
    let both = [("b".to_owned(), AnswerKind::Reply), ("a".to_owned(), AnswerKind::Reply)];
    assert_eq!(answers(&mut monitor), both);
    echo(&mut monitor, ELSEWHERE, 1, &sent[0].1, Checksum::Good);
    assert_eq!(monitor.legs[0].as_ref().expect("there").window.ignored.redundant, 1);
}

#[test]
fn a_tag_under_another_number_is_forged() {
    let (mut monitor, sent) = monitor(&[target("a", HOST, 56)]);
    echo(&mut monitor, HOST, sent[0].0.sequence.wrapping_add(7), &sent[0].1, Checksum::Good);
    assert_eq!(answers(&mut monitor), []);
    assert_eq!(monitor.legs[0].as_ref().expect("there").window.ignored.forged, 1);
}

#[test]
fn somebody_elses_whole_reply_is_marked() {
    let (mut monitor, sent) = monitor(&[target("a", HOST, 56)]);
    echo(&mut monitor, ELSEWHERE, 1, &sent[0].1, Checksum::Good);
    assert_eq!(answers(&mut monitor), [("a".to_owned(), AnswerKind::DifferentAddress)]);
}

#[test]
fn short_payloads_of_one_address_find_their_targets() {
    for size in [0, 7, 8, 15, 16] {
        let (mut monitor, sent) = monitor(&[target("a", HOST, size), target("b", HOST, size)]);
        for (probe, payload) in sent.iter().rev() {
            echo(&mut monitor, HOST, probe.sequence, payload, Checksum::Good);
        }
        let both = [("b".to_owned(), AnswerKind::Reply), ("a".to_owned(), AnswerKind::Reply)];
        assert_eq!(answers(&mut monitor), both, "size {size}");
    }
}

#[test]
fn a_damaged_tag_is_found_by_address_and_number() {
    let (mut monitor, sent) = monitor(&[target("a", HOST, 56), target("b", ELSEWHERE, 56)]);
    let mut payload = sent[1].1.clone();
    payload[3] ^= 0xff;
    echo(&mut monitor, ELSEWHERE, sent[1].0.sequence, &payload, Checksum::Good);
    assert_eq!(answers(&mut monitor), [("b".to_owned(), AnswerKind::Damaged)]);
}

#[test]
fn a_wrong_checksum_is_damage_though_the_payload_be_whole() {
    let (mut monitor, sent) = monitor(&[target("a", HOST, 56)]);
    echo(&mut monitor, HOST, 1, &sent[0].1, Checksum::Bad);
    assert_eq!(answers(&mut monitor), [("a".to_owned(), AnswerKind::Damaged)]);
}

#[test]
fn a_forged_reply_is_counted_and_leaves_the_probe_open() {
    let (mut monitor, sent) = monitor(&[target("a", HOST, 56)]);
    echo(&mut monitor, HOST, 1, &[0x5a; 56], Checksum::Good);
    echo(&mut monitor, ELSEWHERE, 1, &[0x5a; 56], Checksum::Good);
    echo(&mut monitor, HOST, 2, &[0x5a; 56], Checksum::Good);
    assert_eq!(monitor.legs[0].as_ref().expect("there").window.ignored.forged, 1);
    assert_eq!(monitor.strays(), Strays { foreign: 2, ..Strays::default() });
    echo(&mut monitor, HOST, 1, &sent[0].1, Checksum::Good);
    assert_eq!(answers(&mut monitor), [("a".to_owned(), AnswerKind::Reply)]);
}

#[test]
fn an_error_is_believed_by_its_tag_or_by_what_little_it_quotes() {
    for quoted in [0, 4, 15, 16, 56] {
        let (mut monitor, sent) = monitor(&[target("a", HOST, 56), target("b", ELSEWHERE, 56)]);
        unreachable(&mut monitor, ELSEWHERE, sent[1].0.sequence, &sent[1].1[..quoted]);
        assert_eq!(unreached(&mut monitor), ["b"], "{quoted} bytes quoted");
    }
}

#[test]
fn an_error_that_quotes_no_probe_of_ours_is_not_believed() {
    let (mut monitor, _) = monitor(&[target("a", HOST, 56)]);
    unreachable(&mut monitor, HOST, 1, &[0x5a; 56]);
    unreachable(&mut monitor, HOST, 1, &[0x5a; 4]);
    unreachable(&mut monitor, HOST, 2, &[]);
    unreachable(&mut monitor, ELSEWHERE, 1, &[]);
    assert_eq!(unreached(&mut monitor), [""; 0]);
    assert_eq!(monitor.strays(), Strays { forged: 4, ..Strays::default() });
}

#[test]
fn packets_to_a_target_that_has_gone_are_stale() {
    let (mut monitor, sent) = monitor(&[target("a", HOST, 56)]);
    monitor.handle_targets(&[], at(5));
    monitor.poll_records(&mut Vec::new());
    echo(&mut monitor, HOST, 1, &sent[0].1, Checksum::Good);
    unreachable(&mut monitor, HOST, 1, &sent[0].1);
    assert_eq!(monitor.strays(), Strays { stale: 2, ..Strays::default() });
    assert_eq!(answers(&mut monitor), []);
}

#[test]
fn targets_with_equal_options_share_a_socket() {
    let marked = Target {
        options: SocketOptions { mark: Some(7), ..SocketOptions::default() },
        ..(*target("c", HOST, 56)).clone()
    };
    let (monitor, sent) = monitor(&[target("a", HOST, 56), target("b", ELSEWHERE, 56), Arc::new(marked)]);
    let sockets: Vec<_> = sent.iter().map(|(probe, _)| probe.socket).collect();
    assert_eq!(sockets, [SocketId(0), SocketId(0), SocketId(1)]);
    assert_eq!(monitor.socket_key(SocketId(1)).expect("known").to_string(), "IPv4 mark=7");
}
