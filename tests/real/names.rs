//! Names: followed to their new address, and no burden to others where nobody can resolve them.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::dns::{NameServer, Reply};
use crate::support::line::{Line, assert_every_slot_has_one_outcome};
use crate::support::net::Pair;
use crate::support::program::{Daemon, Rights};

const CONFIG: &str = r#"
    [defaults]
    interval = "100ms"
    timeout = "200ms"
    [[target]]
    host = "10.99.0.2"
    name = "live"
    [[target]]
    host = "web001.example"
"#;
const NAME: &str = "web001.example";

/// What the help promises, whatever is under way.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

/// As long as glibc can be told to wait for an answer.
const HANG: Duration = Duration::from_secs(30);

const INTERVAL: Duration = Duration::from_millis(100);
const LIVE: u32 = 20;

#[test]
fn a_name_is_followed_to_its_new_address_within_a_few_probes() {
    let Some(pair) = Pair::new() else { return };
    pair.far.ip("addr add 10.99.0.7/24 dev v1");
    pair.near.etc("hosts", "10.99.0.7 web001.example\n");
    let mut daemon = Daemon::start(&pair.near, Rights::Root, CONFIG);
    assert_eq!(daemon.expect_outcome(NAME, "reply").addr.as_deref(), Some("10.99.0.7"));
    pair.near.etc("hosts", "10.99.0.8 web001.example\n");
    pair.far.ip("addr add 10.99.0.8/24 dev v1\naddr del 10.99.0.7/24 dev v1");
    let lost = daemon.expect_outcome(NAME, "lost");
    assert_eq!(lost.addr.as_deref(), Some("10.99.0.7"));
    let changed = daemon.expect_outcome(NAME, "address_changed");
    assert_eq!((changed.addr.as_deref(), changed.error()), (Some("10.99.0.8"), "was 10.99.0.7"));
    let back = daemon.expect_outcome(NAME, "reply");
    assert_eq!(back.addr.as_deref(), Some("10.99.0.8"));
    assert!(back.seq() - lost.seq() <= 10, "lost from {} to {}", lost.seq(), back.seq());
    let lines = daemon.stop();
    assert_eq!(lines.iter().filter(|line| line.outcome == "address_changed").count(), 1, "{lines:?}");
}

#[test]
fn both_families_of_a_name_are_probed_and_logged_apart() {
    let Some(pair) = Pair::new() else { return };
    pair.near.etc("hosts", "10.99.0.2 web001.example\nfd99::2 web001.example\n");
    let mut daemon = Daemon::start(&pair.near, Rights::Root, &format!("{CONFIG}\n    family = \"both\"\n"));
    for (target, addr) in [("web001.example.ipv4", "10.99.0.2"), ("web001.example.ipv6", "fd99::2")] {
        assert_eq!(daemon.expect_outcome(target, "reply").addr.as_deref(), Some(addr));
        daemon.rewind();
    }
}

#[test]
fn a_name_server_that_gives_another_address_moves_the_probes_without_a_loss() {
    let Some(pair) = Pair::new() else { return };
    pair.far.ip("addr add 10.99.0.7/24 dev v1\naddr add 10.99.0.8/24 dev v1");
    let server = name_server(&pair, Reply::addr("10.99.0.7"));
    let mut daemon = Daemon::start(&pair.near, Rights::Root, &format!("{CONFIG}\n    resolve_every = \"1s\"\n"));
    let first = daemon.expect_outcome(NAME, "reply");
    assert_eq!((first.seq(), first.addr.as_deref()), (1, Some("10.99.0.7")));
    let mut old = "10.99.0.7";
    // The last one is of the other family, whose probes leave through another socket.
    for new in ["10.99.0.8", "fd99::2"] {
        server.set(NAME, Reply::addr(new));
        let changed = daemon.expect_outcome(NAME, "address_changed");
        assert_eq!((changed.addr.as_deref(), changed.error()), (Some(new), format!("was {old}").as_str()));
        let reply = daemon.expect_outcome(NAME, "reply");
        assert_eq!(reply.addr.as_deref(), Some(new));
        old = new;
    }
    let lines = assert_undisturbed(daemon);
    let changes = lines.iter().filter(|line| line.is(NAME, "address_changed")).count();
    assert_eq!(changes, 2, "{lines:?}");
    let odd = lines.iter().find(|line| line.is(NAME, "lost") || line.is(NAME, "late") || line.is(NAME, "not_sent"));
    assert!(odd.is_none(), "{odd:?}");
    assert_every_slot_has_one_outcome(&lines, NAME);
}

#[test]
fn a_name_is_not_measured_until_somebody_listens_at_the_name_server() {
    let Some(pair) = Pair::new() else { return };
    asks_at_the_far_end(&pair);
    not_measured_until(&pair, "Temporary failure in name resolution", || name_server(&pair, Reply::addr("10.99.0.2")));
}

#[test]
fn a_name_is_not_measured_until_there_is_a_route_to_the_name_server() {
    let Some(pair) = Pair::new() else { return };
    pair.near.etc("hosts", "");
    pair.near.etc("resolv.conf", "nameserver 192.0.2.1\n");
    pair.far.ip("addr add 192.0.2.1/32 dev v1");
    let server = NameServer::start(&pair.far, "192.0.2.1", Reply::addr("10.99.0.2"));
    not_measured_until(&pair, "Temporary failure in name resolution", || {
        pair.near.ip("route add 192.0.2.1/32 dev v0");
        server
    });
}

#[test]
fn a_name_is_not_measured_until_the_name_server_has_no_failure_any_more() {
    let Some(pair) = Pair::new() else { return };
    let server = name_server(&pair, Reply::Failure);
    not_measured_until(&pair, "Temporary failure in name resolution", || {
        server.set(NAME, Reply::addr("10.99.0.2"));
        server
    });
}

#[test]
fn a_name_is_not_measured_until_the_name_server_knows_it() {
    let Some(pair) = Pair::new() else { return };
    let server = name_server(&pair, Reply::NoSuchName);
    not_measured_until(&pair, "Name or service not known", || {
        server.set(NAME, Reply::addr("10.99.0.2"));
        server
    });
}

/// Not one slot of the name is left out or told twice, and the neighbour with an address notices nothing.
fn not_measured_until(pair: &Pair, words: &str, revive: impl FnOnce() -> NameServer) {
    let mut daemon = Daemon::start(&pair.near, Rights::Root, CONFIG);
    let line = daemon.expect_outcome(NAME, "not_measured");
    assert_eq!((line.error(), line.seq()), (format!("not resolved: {words}").as_str(), 1), "{line:?}");
    assert!(line.addr.is_none(), "{line:?}");
    daemon.program.wait_for("stderr", "warning", |text| text.contains(NAME) && text.contains(words));
    let _server = revive();
    let first = daemon.expect_outcome(NAME, "reply");
    let before: u64 =
        daemon.lines().iter().filter(|line| line.is(NAME, "not_measured")).filter_map(|line| line.count).sum();
    assert_eq!(before, first.seq() - 1, "every slot before is accounted for");
    let lines = assert_undisturbed(daemon);
    assert_every_slot_has_one_outcome(&lines, NAME);
    assert!(lines.iter().all(|line| line.outcome != "lost"), "{lines:?}");
}

/// The name server answers after half a minute, and that long the resolver waits: look-ups hang as long as this runs, more of them
/// than there are threads. Beside it, a daemon without names probes the like: the two are late by the same.
#[test]
fn hundreds_of_look_ups_that_hang_delay_neither_probes_nor_the_end() {
    const PROBES: u64 = 40;
    let (Some(pair), Some(control)) = (Pair::new(), Pair::new()) else { return };
    let server = name_server(&pair, Reply::After(HANG, vec![]));
    let live: String = (0..LIVE).map(|n| format!("[[target]]\nhost = \"10.99.0.2\"\nname = \"live{n}\"\n")).collect();
    let live = format!("[defaults]\ninterval = \"100ms\"\n{live}");
    let hanging: String = (0..300).map(|n| format!("[[target]]\nhost = \"h{n}.example\"\n")).collect();
    let mut daemons =
        [(&pair, live.clone() + &hanging), (&control, live)].map(|(p, c)| Daemon::start(&p.near, Rights::Root, &c));
    for daemon in &mut daemons {
        daemon.expect("the last reply wanted", |line| line.is("live0", "reply") && line.seq() >= PROBES);
    }
    assert!(server.asked().len() > 100, "look-ups hang at the same time: {:?}", server.asked());
    let [hindered, free] = daemons.map(|mut daemon| {
        daemon.program.signal(Signal::SIGTERM);
        let ended = daemon.program.ended(STOPS_WITHIN);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        lateness(&daemon.lines())
    });
    for (what, late) in [("hindered", &hindered), ("free", &free)] {
        let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
        eprintln!("{what}: {} probes, median {:?}, p90 {:?}, p99 {:?}, max {:?}", late.len(), at(0.5), at(0.9), at(0.99), at(1.0));
    }
}

/// How much later than planned each probe of a target with an address left, sorted. The plan is the earliest that the probes of a
/// target admit.
fn lateness(lines: &[Line]) -> Vec<Duration> {
    let mut late = Vec::new();
    for n in 0..LIVE {
        let name = format!("live{n}");
        let probes = lines.iter().filter(|line| line.target == name);
        let origins: Vec<_> = probes.filter_map(|line| Some(line.sent()? - INTERVAL * line.seq() as u32)).collect();
        let planned = *origins.iter().min().expect("it was probed");
        late.extend(origins.iter().map(|&origin| (origin - planned).to_std().expect("none is earlier")));
    }
    late.sort_unstable();
    late
}

/// The name server of a pair at its far end, and a near end that asks there and nowhere else.
fn name_server(pair: &Pair, otherwise: Reply) -> NameServer {
    asks_at_the_far_end(pair);
    NameServer::start(&pair.far, "10.99.0.2", otherwise)
}

fn asks_at_the_far_end(pair: &Pair) {
    pair.near.etc("hosts", "");
    pair.near.etc("resolv.conf", "nameserver 10.99.0.2\noptions timeout:30 attempts:1\n");
}

/// The target with an address was answered each time. Returns all lines.
fn assert_undisturbed(daemon: Daemon) -> Vec<Line> {
    let lines = daemon.stop();
    let odd = lines.iter().find(|line| line.target == "live" && line.outcome != "reply" && line.error() != "stopped");
    assert!(odd.is_none(), "{odd:?}");
    lines
}
