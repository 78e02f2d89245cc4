//! `@gateway`: the default route's next hop, found, followed and told.

use crate::support::line::assert_every_slot_has_one_outcome;
use crate::support::net::{Chain, Pair};
use crate::support::program::{self, Daemon, Rights, with_either_socket};

with_either_socket! {
    the_gateway_is_found_over_both_families
    a_link_local_next_hop_is_pinged_through_its_interface
}

const CONFIG: &str = r#"
    [defaults]
    interval = "100ms"
    timeout = "200ms"
    [[target]]
    host = "@gateway"
"#;
const BOTH: &str = r#"    family = "both""#;

fn the_gateway_is_found_over_both_families(rights: Rights) {
    let Some(chain) = Chain::new() else { return };
    let mut daemon = Daemon::start(&chain.near, rights, &format!("{CONFIG}{BOTH}"));
    for (target, addr) in [("gateway.ipv4", "10.99.1.254"), ("gateway.ipv6", "fd99:1::fe")] {
        assert_eq!(daemon.expect_outcome(target, "reply").addr.as_deref(), Some(addr));
        daemon.rewind();
    }
}

fn a_link_local_next_hop_is_pinged_through_its_interface(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    // A second interface on which the address might be as well.
    pair.near.ip("link add v8 up type veth peer name v9\naddr add fe80::8/64 dev v8 nodad");
    pair.far.ip("addr add fe80::fe/64 dev v1 nodad");
    pair.near.ip("route add ::/0 via fe80::fe dev v0");
    let mut daemon = Daemon::start(&pair.near, rights, CONFIG);
    assert_eq!(daemon.expect_outcome("gateway", "reply").addr.as_deref(), Some("fe80::fe%v0"));
}

#[test]
fn another_default_route_moves_the_probes_without_a_loss() {
    moves_without_a_loss("addr add 10.99.0.7/24 dev v1", "10.99.0.2", "10.99.0.7");
    moves_without_a_loss("addr add fd99::7/64 dev v1 nodad", "fd99::2", "fd99::7");
}

/// The default route goes by way of one address, and then of another one, which `addr` gives the other side as well.
fn moves_without_a_loss(addr: &str, one: &str, other: &str) {
    let Some(pair) = Pair::new() else { return };
    pair.far.ip(addr);
    pair.near.ip(&format!("route add default via {one} metric 20"));
    let mut daemon = Daemon::start(&pair.near, Rights::Root, CONFIG);
    assert_eq!(daemon.expect_outcome("gateway", "reply").addr.as_deref(), Some(one));
    pair.near.ip(&format!("route add default via {other} metric 10"));
    let changed = daemon.expect_outcome("gateway", "address_changed");
    assert_eq!((changed.addr.as_deref(), changed.error()), (Some(other), format!("was {one}").as_str()));
    assert_eq!(daemon.expect_outcome("gateway", "reply").addr.as_deref(), Some(other));
    let lines = daemon.stop();
    assert!(lines.iter().all(|line| line.outcome != "lost" && line.outcome != "not_sent"), "{lines:?}");
    assert_every_slot_has_one_outcome(&lines, "gateway");
}

#[test]
fn a_gateway_that_falls_silent_is_left_for_the_next_within_a_few_probes() {
    let Some(pair) = Pair::new() else { return };
    pair.far.ip("addr add 10.99.0.7/24 dev v1");
    pair.near.ip("route add default via 10.99.0.2");
    let config = format!("{CONFIG}    resolve_every = \"1h\"\n");
    let mut daemon = Daemon::start(&pair.near, Rights::Root, &config);
    daemon.expect_outcome("gateway", "reply");
    pair.near.ip("route replace default via 10.99.0.7");
    pair.far.ip("addr del 10.99.0.2/24 dev v1\naddr replace 10.99.0.7/24 dev v1");
    let lost = daemon.expect("a loss", |line| line.is("gateway", "lost"));
    daemon.expect_outcome("gateway", "address_changed");
    let back = daemon.expect_outcome("gateway", "reply");
    assert_eq!(back.addr.as_deref(), Some("10.99.0.7"));
    assert!(back.seq() - lost.seq() <= 10, "lost from {} to {}", lost.seq(), back.seq());
}

#[test]
fn without_a_default_route_nothing_is_measured_until_there_is_one() {
    let Some(pair) = Pair::new() else { return };
    let mut daemon = Daemon::start(&pair.near, Rights::Root, CONFIG);
    let told = "gateway: @gateway: there is no default route";
    daemon.program.wait_for("stderr", "word of it", |text| text.contains(told));
    pair.near.ip("route add default via 10.99.0.2");
    assert_eq!(daemon.expect_outcome("gateway", "reply").addr.as_deref(), Some("10.99.0.2"));
    assert!(daemon.stop().iter().all(|line| line.outcome != "lost"));
}

#[test]
fn an_interface_says_which_default_route_is_meant() {
    let Some(pair) = Pair::new() else { return };
    pair.near.ip("link add v8 up type veth peer name v9\naddr add 10.98.0.1/24 dev v8");
    pair.near.ip("route add default via 10.98.0.2 dev v8 metric 10\nroute add default via 10.99.0.2 dev v0 metric 20");
    for args in [&["ping", "-c", "2", "-i", "0.1", "@gateway%v0"][..], &["ping", "-c", "2", "-I", "v0", "@gateway"]] {
        let pinged = program::run_in(&pair.near, Rights::Root, args);
        assert_eq!(pinged.code, Some(0), "{pinged:?}");
        assert!(pinged.stdout.contains("64 bytes from @gateway%v0 (10.99.0.2): icmp_seq=2 "), "{pinged:?}");
    }
    let pinged = program::run_in(&pair.near, Rights::Root, &["ping", "-c", "1", "-w", "2", "@gateway%v9"]);
    assert_eq!(pinged.code, Some(1), "{pinged:?}");
    assert!(pinged.stderr.contains("there is no default route through v9"), "{pinged:?}");
}
