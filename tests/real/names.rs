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

/// The name server answers after half a minute, and that long the resolver waits: more look-ups hang than there are threads, for as
/// long as this runs. Beside it, a daemon without names has the same to probe, and no less trouble with a busy machine.
#[test]
fn look_ups_that_hang_delay_neither_probes_nor_the_end() {
    const HANG: Duration = Duration::from_secs(30);
    const PROBES: u64 = 40;
    let (Some(pair), Some(control)) = (Pair::new(), Pair::new()) else { return };
    let server = name_server(&pair, Reply::After(HANG, vec![]));
    let others = others();
    let all = hanging_names() + &others;
    let mut daemons =
        [(&pair, all), (&control, others)].map(|(pair, config)| Daemon::start(&pair.near, Rights::Root, &config));
    for daemon in &mut daemons {
        daemon.expect("the last reply wanted", |line| line.is("other0", "reply") && line.seq() >= PROBES);
    }
    assert!(server.asked().len() >= 100, "look-ups hang at the same time: {:?}", server.asked());
    let late = daemons.map(|mut daemon| {
        daemon.program.signal(Signal::SIGTERM);
        let ended = daemon.program.ended(STOPS_WITHIN);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        lateness(&daemon.lines())
    });
    let told = late.each_ref().map(|late| [50, 90, 99, 100].map(|percent| percentile(late, percent)));
    let [hindered, free] = late.map(|late| percentile(&late, 50));
    #[expect(clippy::disallowed_macros, reason = "the harness takes it, and shows it to who asks")]
    {
        println!("p50, p90, p99 and maximum of the lateness beside hanging look-ups and without: {told:?}");
    }
    assert!(hindered < free + Duration::from_millis(1), "{told:?}");
}

/// The look-ups that hang come first, and each ends after a second; there are more than can be under way together.
#[test]
fn a_name_waits_once_for_hundreds_that_hang_and_not_for_their_second_try() {
    let Some(pair) = Pair::new() else { return };
    let server = name_server(&pair, Reply::Silence);
    pair.near.etc("resolv.conf", "nameserver 10.99.0.2\noptions timeout:1 attempts:1\n");
    pair.near.etc("hosts", "10.99.0.2 web001.example\n");
    let mut daemon = Daemon::start(&pair.near, Rights::Root, &(hanging_names() + CONFIG));
    daemon.expect_outcome(NAME, "reply");
    let asked = server.asked();
    assert!(asked.len() > 200, "it waited: {asked:?}");
    assert!(asked.values().all(|&questions| questions <= 2 * 2), "two look-ups at most: {asked:?}");
    assert_every_slot_has_one_outcome(&assert_undisturbed(daemon), NAME);
}

fn hanging_names() -> String {
    (0..300).map(|n| format!("[[target]]\nhost = \"h{n}.example\"\n")).collect()
}

const OTHERS: u32 = 20;
const INTERVAL: Duration = Duration::from_millis(100);

/// Targets with an address.
fn others() -> String {
    let target = |n| format!("[[target]]\nhost = \"10.99.0.2\"\nname = \"other{n}\"\ninterval = \"{INTERVAL:?}\"\n");
    (0..OTHERS).map(target).collect()
}

/// How much later than planned each probe to the others left, sorted; each was answered. The plan of a target is the earliest that
/// its probes admit.
fn lateness(lines: &[Line]) -> Vec<Duration> {
    let mut late = Vec::new();
    for n in 0..OTHERS {
        let name = format!("other{n}");
        let origin = |line: &Line| Some(line.sent_at()? - INTERVAL * u32::try_from(line.seq()).expect("few"));
        let probes = lines.iter().filter(|line| line.target == name && line.error() != "stopped");
        let origins: Vec<_> = probes.inspect(|line| assert_eq!(line.outcome, "reply")).filter_map(origin).collect();
        let planned = *origins.iter().min().expect("it was probed");
        late.extend(origins.iter().map(|&origin| (origin - planned).to_std().expect("none is earlier")));
    }
    late.sort_unstable();
    late
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
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
