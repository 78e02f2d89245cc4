//! Names: followed to their new address, and no burden to others where nobody can resolve them.

use std::time::Duration;

use nix::sys::signal::Signal;

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
fn a_name_that_does_not_resolve_is_not_measured_until_it_does() {
    let Some(pair) = Pair::new() else { return };
    pair.near.etc("hosts", "");
    pair.near.etc("resolv.conf", "nameserver 192.0.2.1\n");
    let mut daemon = Daemon::start(&pair.near, Rights::Root, CONFIG);
    let line = daemon.expect_outcome(NAME, "not_measured");
    assert!(line.error().starts_with("not resolved: ") && line.addr.is_none(), "{line:?}");
    daemon.program.wait_for("stderr", "warning", |text| text.contains(NAME));
    pair.near.etc("hosts", "10.99.0.2 web001.example\n");
    let first = daemon.expect_outcome(NAME, "reply");
    let before: u64 =
        daemon.lines().iter().filter(|line| line.is(NAME, "not_measured")).filter_map(|line| line.count).sum();
    assert_eq!(before, first.seq() - 1, "every slot before is accounted for");
    assert_undisturbed(daemon);
}

/// The resolver waits five seconds for each answer that does not come.
#[test]
fn a_name_server_that_is_silent_delays_neither_probes_nor_the_end() {
    let Some(pair) = Pair::new() else { return };
    pair.near.etc("hosts", "");
    pair.near.etc("resolv.conf", "nameserver 10.99.0.2\n");
    pair.far.nft(&["input udp dport 53 drop"]);
    let mut daemon = Daemon::start(&pair.near, Rights::Root, CONFIG);
    daemon.expect("the twentieth reply", |line| line.is("live", "reply") && line.seq() >= 20);
    daemon.program.signal(Signal::SIGTERM);
    let ended = daemon.program.ended(Duration::from_secs(2));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(daemon.lines().iter().filter(|line| line.target == "live").all(|line| line.outcome == "reply"));
}

fn assert_undisturbed(daemon: Daemon) {
    let lines = daemon.stop();
    let odd = lines.iter().find(|line| line.target == "live" && line.outcome != "reply" && line.error() != "stopped");
    assert!(odd.is_none(), "{odd:?}");
}
