//! What the daemon writes is what the network did: each probe held against the journal of a network that lies on command.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::support::journal::{Answer, Journal, Kind, Request};
use crate::support::line::Line;
use crate::support::program::{Daemon, Rights, with_either_socket};
use crate::support::simnet::Simnet;

with_either_socket! {
    every_probe_is_told_as_the_network_dealt_with_it
}

const TIMEOUT_NS: u64 = 300_000_000;
/// By now every answer to a probe has come, the latest after 600 ms.
const SETTLED_NS: u64 = 1_000_000_000;
const PROBES: u64 = 60;
/// The way through the kernel, and a network that is put to sleep between reading the clock and answering.
const ON_THE_WAY_MS: f64 = 50.0;

/// One kind of weather for each address, of IPv4 and of IPv6 alike. No answer is due near the timeout.
const WEATHER: [&str; 14] = [
    "",
    "delay = \"20ms\"",
    "delay = { normal = { mean = \"50ms\", deviation = \"10ms\" } }\nreorder = { probability = 0.3, by = \"120ms\" }",
    "loss = 0.3",
    "loss = { gilbert_elliott = { p = 0.1, r = 0.3, good = 0.0, bad = 1.0 } }",
    "delay = { list = [\"10ms\", \"600ms\", \"600ms\"], then = \"repeat\" }",
    "delay = \"1ms\"\nduplicate = { probability = 0.5, copies = 2, after = \"2ms\" }",
    "damage = { probability = 0.5, kind = \"flip\" }",
    "damage = { probability = 0.5, kind = \"truncate\" }",
    "from = { address = \"OTHER\", probability = 0.5 }",
    "error = { type = \"admin_prohibited\", router = \"ROUTER\", probability = 0.5 }",
    "error = { type = \"port_unreachable\", quote = \"minimal\", probability = 0.5 }\ndelay = \"3ms\"",
    "forge = { probability = 0.5, kind = \"tag\" }",
    "[[net.change]]\nevery = \"2s\"\nfor = \"700ms\"\ndown = true",
];

fn hosts() -> impl Iterator<Item = (IpAddr, &'static str)> {
    WEATHER.iter().zip(1_u8..).flat_map(|(&keys, host)| {
        let v6 = [0xfd00, 0, 0, 0, 0, 0, 0, host.into()];
        [(IpAddr::from([10, 1, 0, host]), keys), (IpAddr::from(v6), keys)]
    })
}

fn script() -> String {
    let net = |(host, keys): (IpAddr, &str)| {
        let [other, router] = if host.is_ipv6() { ["fd09::9", "fd0e::1"] } else { ["10.9.9.9", "10.254.0.1"] };
        let keys = keys.replace("OTHER", other).replace("ROUTER", router);
        format!("[[net]]\nprefix = \"{host}\"\n{keys}\n")
    };
    "seed = 7\n".to_owned() + &hosts().map(net).collect::<String>()
}

fn config() -> String {
    let targets: String = hosts().map(|(host, _)| format!("[[target]]\nhost = \"{host}\"\n")).collect();
    "[defaults]\ninterval = \"100ms\"\ntimeout = \"300ms\"\n".to_owned() + &targets
}

fn every_probe_is_told_as_the_network_dealt_with_it(rights: Rights) {
    let Some(namespace) = Simnet::namespace() else { return };
    let simnet = Simnet::start(&namespace, &script());
    let mut daemon = Daemon::start(&namespace, rights, &config());
    daemon.expect("the last probe", |line| line.is("10.1.0.1", "reply") && line.seq() >= PROBES);
    let lines = daemon.stop();
    let journal = simnet.stop();
    assert_nothing_is_made_up(&journal, &lines);

    let told = by_probe(&lines);
    let until = journal.requests().map(|(_, request)| request.at).max().unwrap_or(0) - SETTLED_NS;
    let (mut compared, mut seen) = (0, BTreeSet::new());
    for (host, request) in journal.requests().filter(|(_, request)| request.at < until) {
        let lines = told.get(&(host, request.sequence.into())).map_or(&[][..], Vec::as_slice);
        // A machine busy with other things may keep the daemon from measuring, which it then says.
        if lines.iter().any(|line| line.outcome == "not_measured") {
            continue;
        }
        compare(host, request, lines);
        compared += 1;
        seen.extend(lines.iter().map(|line| (host.is_ipv6(), line.outcome.clone())));
    }
    assert!(compared > PROBES as usize * hosts().count() / 2, "only {compared} probes were measured");
    for outcome in ["reply", "lost", "late", "duplicate", "damaged", "different_address", "unreachable"] {
        let of_both = [false, true].iter().all(|&v6| seen.contains(&(v6, outcome.to_owned())));
        assert!(of_both, "no {outcome}: {seen:?}");
    }
}

#[test]
fn a_network_that_cannot_be_had_says_why() {
    let Some(namespace) = Simnet::namespace() else { return };
    namespace.ip("tuntap add mode tun name sim7");
    let device = |name: &str| format!("[device]\nname = \"{name}\"\n[[net]]\nprefix = \"10.1.0.0/16\"\n");
    let with_script = ["--script", "script.toml"];
    for (args, name, code, expected) in [
        (&[][..], "sim7", 64, "--script"),
        (&with_script, "sim 7", 78, "simnet: script.toml:2: \"sim 7\" is no device's name: "),
        (&with_script, "sim7", 71, "simnet: device \"sim7\": entity already exists\n"),
        (&with_script, "lo", 71, "simnet: device \"lo\": entity already exists\n"),
    ] {
        let ended = Simnet::refused(&namespace, &device(name), args);
        assert!(ended.code == Some(code) && ended.stderr.contains(expected), "{expected}: {ended:?}");
    }
}

/// Whatever the daemon says of a probe that it sent, the network has seen that.
fn assert_nothing_is_made_up(journal: &Journal, lines: &[Line]) {
    let seen: BTreeSet<_> = journal.requests().map(|(host, request)| (host, u64::from(request.sequence))).collect();
    for line in lines.iter().filter(|line| !line.is_finding() && line.outcome != "not_measured") {
        let target = line.target.parse().expect("targets are addresses");
        assert!(line.seqs().all(|seq| seen.contains(&(target, seq))), "{line:?}");
    }
}

fn compare(host: IpAddr, request: &Request, lines: &[&Line]) {
    let story = format!("{host}: {request:?}\n{lines:?}");
    let outcomes: Vec<_> = lines.iter().map(|line| line.outcome.as_str()).collect();
    assert_eq!(outcomes, expected(request), "\n{story}");
    for (line, answer) in lines.iter().filter(|line| line.outcome != "lost").zip(true_answers(request)) {
        let from = line.from.as_ref().map(|from| from.parse().expect("an address"));
        assert_eq!(from, answer.from, "{story}");
        let Some(rtt_ms) = line.rtt_ms else { continue };
        let sent =
            line.sent_at().and_then(|sent| u64::try_from(sent.timestamp_nanos_opt()?).ok()).expect("it has left");
        assert!(sent <= request.at, "sent after it was seen: {story}");
        // From the sending and not from the request's stamp: on a busy machine, a probe may wait long for the network to take it.
        let spent_ms = (answer.at - sent) as f64 / 1e6;
        // Lines have whole microseconds.
        assert!((-0.002..ON_THE_WAY_MS).contains(&(rtt_ms - spent_ms)), "{spent_ms} ms: {story}");
    }
}

/// The outcomes that a probe must be told to have had.
fn expected(request: &Request) -> Vec<&'static str> {
    let mut answers = true_answers(request);
    let Some(first) = answers.next() else { return vec!["lost"] };
    let in_time = first.at - request.at < TIMEOUT_NS;
    let mut outcomes = match (first.kind, in_time) {
        (Kind::Reply, true) => vec!["reply"],
        (Kind::Reply, false) => vec!["lost", "late"],
        (Kind::DamagedFlip | Kind::Truncated, true) => vec!["damaged"],
        (Kind::OtherAddress, true) => vec!["different_address"],
        (Kind::Error, true) => vec!["unreachable"],
        (kind, _) => panic!("this test has no {kind:?} after the timeout, or none at all: {first:?}"),
    };
    outcomes.extend(answers.map(|_| "duplicate"));
    outcomes
}

/// The answers that are not made up, in the order in which they were sent.
fn true_answers(request: &Request) -> impl Iterator<Item = &Answer> {
    request.answers.iter().filter(|answer| answer.kind != Kind::ForgedTag)
}

/// All lines of each probe, in their order.
fn by_probe(lines: &[Line]) -> BTreeMap<(IpAddr, u64), Vec<&Line>> {
    let mut probes = BTreeMap::<_, Vec<_>>::new();
    for line in lines.iter().filter(|line| !line.is_finding()) {
        let address = line.target.parse().expect("targets are addresses");
        for seq in line.seqs() {
            probes.entry((address, seq)).or_default().push(line);
        }
    }
    probes
}
