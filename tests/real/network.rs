//! Two hosts on one wire: what becomes of the probes when the far host, the wire or our own end of it fails.

use crate::support::net::Pair;
use crate::support::program::{Daemon, Rights, with_either_socket};

with_either_socket! {
    a_host_that_falls_silent_is_lost_until_it_answers_again
    a_host_that_refuses_is_unreachable_in_its_own_words
    what_our_own_firewall_drops_is_not_sent
    a_link_that_is_down_sends_nothing_and_goes_on_when_it_is_up
    an_interface_that_is_made_anew_is_found_again
    a_source_address_that_comes_back_is_used_again
    a_target_without_a_route_costs_its_neighbours_on_a_bound_socket_nothing
    a_dead_neighbour_is_unreachable_or_lost_by_the_timeout
    a_link_local_host_is_found_again_behind_a_device_made_anew
    probes_bear_the_class_of_service_that_is_asked_for
}

/// The far host over both families.
const BOTH: &str = r#"
    [defaults]
    interval = "100ms"
    timeout = "300ms"
    [[target]]
    name = "four"
    host = "10.99.0.2"
    [[target]]
    name = "six"
    host = "fd99::2"
"#;
const NAMES: [&str; 2] = ["four", "six"];

fn a_host_that_falls_silent_is_lost_until_it_answers_again(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    let mut daemon = Daemon::start(&pair.near, rights, BOTH);
    for reply in daemon.expect_of_all(&NAMES, "reply") {
        assert_eq!((reply.ttl, reply.bytes, reply.from), (Some(64), Some(64), None));
    }
    pair.far.nft(&["input icmp type echo-request drop", "input icmpv6 type echo-request drop"]);
    daemon.expect_of_all(&NAMES, "lost");
    pair.far.nft(&[]);
    daemon.expect_of_all(&NAMES, "reply");
    let lines = daemon.stop();
    let outcomes = ["reply", "lost", "not_measured"];
    assert!(lines.iter().all(|line| outcomes.contains(&line.outcome.as_str())), "{lines:?}");
}

fn a_host_that_refuses_is_unreachable_in_its_own_words(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    let mut daemon = Daemon::start(&pair.near, rights, BOTH);
    daemon.expect_of_all(&NAMES, "reply");
    let refusals = [
        ("host-unreachable", "Destination Host Unreachable", "addr-unreachable", "Address unreachable"),
        ("admin-prohibited", "Packet filtered", "admin-prohibited", "Administratively prohibited"),
    ];
    for (four, four_words, six, six_words) in refusals {
        pair.far.nft(&[
            &format!("input icmp type echo-request reject with icmp {four}"),
            &format!("input icmpv6 type echo-request reject with icmpv6 {six}"),
        ]);
        for (name, words) in [("four", four_words), ("six", &format!("Destination unreachable: {six_words}"))] {
            let line = daemon.expect(words, |line| line.is(name, "unreachable") && line.error() == words);
            assert_eq!(line.from, None, "the host itself says so");
        }
    }
    pair.far.nft(&[]);
    daemon.expect_of_all(&NAMES, "reply");
    let lines = daemon.stop();
    assert!(lines.iter().all(|line| line.outcome != "lost" && line.outcome != "not_sent"), "{lines:?}");
}

fn what_our_own_firewall_drops_is_not_sent(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    let mut daemon = Daemon::start(&pair.near, rights, BOTH);
    daemon.expect_of_all(&NAMES, "reply");
    pair.near.nft(&["output icmp type echo-request drop", "output icmpv6 type echo-request drop"]);
    // On datagram sockets of IPv6 the kernel takes the drop for a success (ping_v6_sendmsg forgets the result of its last step).
    let told = if rights == Rights::Root { &NAMES[..] } else { &["four"] };
    for line in daemon.expect_of_all(told, "not_sent") {
        assert_eq!(line.error(), "Operation not permitted");
    }
    pair.near.nft(&[]);
    daemon.expect_of_all(&NAMES, "reply");
    let lines = daemon.stop();
    assert!(!lines.iter().any(|line| told.contains(&line.target.as_str()) && line.outcome == "lost"), "{lines:?}");
}

fn a_link_that_is_down_sends_nothing_and_goes_on_when_it_is_up(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    pair.near.set("ipv6/conf/v0/keep_addr_on_down", "1");
    let mut daemon = Daemon::start(&pair.near, rights, BOTH);
    daemon.expect_of_all(&NAMES, "reply");
    pair.near.ip("link set v0 down");
    for line in daemon.expect_of_all(&NAMES, "not_sent") {
        assert!(!line.error().is_empty(), "{line:?}");
    }
    pair.near.ip("link set v0 up");
    daemon.expect_of_all(&NAMES, "reply");
}

fn an_interface_that_is_made_anew_is_found_again(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    let config = BOTH.replace("[defaults]", "[defaults]\ninterface = \"v0\"");
    let mut daemon = Daemon::start(&pair.near, rights, &config);
    daemon.expect_of_all(&NAMES, "reply");
    pair.unplug();
    daemon.expect_of_all(&NAMES, "not_sent");
    let keys = ["IPv4 interface=v0", "IPv6 interface=v0"];
    for told in keys.map(|key| format!("no socket for {key}: ")) {
        daemon.program.wait_for("stderr", &told, |text| text.contains(&told));
    }
    pair.plug();
    let back = daemon.expect_of_all(&NAMES, "reply");
    // The device gets a new index, so the old sockets are of no more use; they are replaced once a second at most.
    let lines = daemon.lines();
    for line in back {
        let silent = lines.iter().filter(|other| other.is(&line.target, "not_sent")).count();
        assert!(silent < 50, "{} was not sent {silent} times", line.target);
    }
    for told in keys.map(|key| format!("socket for {key} opened anew")) {
        daemon.program.wait_for("stderr", &told, |text| text.contains(&told));
    }
}

fn a_source_address_that_comes_back_is_used_again(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    pair.near.ip("addr add 10.99.0.5/24 dev v0\naddr add fd99::5/64 dev v0 nodad");
    pair.far.nft(&["input ip saddr 10.99.0.1 drop", "input icmpv6 type echo-request ip6 saddr fd99::1 drop"]);
    let config = BOTH
        .replace("host = \"10.99.0.2\"", "host = \"10.99.0.2\"\nsource = \"10.99.0.5\"")
        .replace("host = \"fd99::2\"", "host = \"fd99::2\"\nsource = \"fd99::5\"");
    let mut daemon = Daemon::start(&pair.near, rights, &config);
    daemon.expect_of_all(&NAMES, "reply");
    pair.near.ip("addr del 10.99.0.5/24 dev v0\naddr del fd99::5/64 dev v0");
    daemon.expect_of_all(&NAMES, "not_sent");
    pair.near.ip("addr add 10.99.0.5/24 dev v0\naddr add fd99::5/64 dev v0 nodad");
    daemon.expect_of_all(&NAMES, "reply");
}

/// That its probes fail is no reason for another socket, which would not see the replies that are under way.
fn a_target_without_a_route_costs_its_neighbours_on_a_bound_socket_nothing(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    let mut config = "[defaults]\ninterval = \"100ms\"\ntimeout = \"500ms\"\n".to_owned();
    for (source, live, dead) in [("10.99.0.1", "10.99.0.2", "10.77.0.1"), ("fd99::1", "fd99::2", "fd77::1")] {
        for index in 0..=50 {
            let (kind, host) = if index == 0 { ("dead", dead) } else { ("live", live) };
            config +=
                &format!("[[target]]\nname = \"{kind}-{index}-{source}\"\nhost = \"{host}\"\nsource = \"{source}\"\n");
        }
    }
    let mut daemon = Daemon::start(&pair.near, rights, &config);
    for dead in ["dead-0-10.99.0.1", "dead-0-fd99::1"] {
        let line = daemon.expect("the fiftieth failure", |line| line.is(dead, "not_sent") && line.seq() >= 50);
        assert_eq!(line.error(), "Network is unreachable");
        daemon.rewind();
    }
    daemon.expect_of_all(&["live-50-10.99.0.1", "live-50-fd99::1"], "reply");
    let told = daemon.program.text("stderr");
    assert!(!told.contains("opened anew"), "{told}");
    let lines = daemon.stop();
    let mut live = lines.iter().filter(|line| line.target.starts_with("live"));
    let odd = live.find(|line| !matches!(line.outcome.as_str(), "reply" | "not_measured"));
    assert!(odd.is_none(), "{odd:?}");
}

/// Our own system gives up looking for a neighbour after three seconds and says so then.
fn a_dead_neighbour_is_unreachable_or_lost_by_the_timeout(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    let mut daemon = Daemon::start(
        &pair.near,
        rights,
        r#"
        [defaults]
        timeout = "10s"
        [[target]]
        name = "patient-four"
        host = "10.99.0.77"
        [[target]]
        name = "patient-six"
        host = "fd99::77"
        [[target]]
        name = "hasty-four"
        host = "10.99.0.78"
        timeout = "1s"
        [[target]]
        name = "hasty-six"
        host = "fd99::78"
        timeout = "1s"
        "#,
    );
    let words = |target: &str| match target.ends_with("four") {
        true => ("10.99.0.1", "Destination Host Unreachable"),
        false => ("fd99::1", "Destination unreachable: Address unreachable"),
    };
    let hasty = ["hasty-four", "hasty-six"];
    let lost: Vec<_> = daemon.expect_of_all(&hasty, "lost");
    let unreachable = daemon.expect_of_all(&["patient-four", "patient-six", "hasty-four", "hasty-six"], "unreachable");
    for line in &unreachable {
        assert_eq!((line.from.as_deref().unwrap_or_default(), line.error()), words(&line.target));
    }
    for lost in lost {
        let seq = lost.seq();
        assert!(
            daemon.lines().iter().any(|line| line.is(&lost.target, "unreachable") && line.seq() == seq),
            "the loss of probe {seq} is explained later\n{}",
            daemon.story()
        );
    }
    let lines = daemon.stop();
    assert!(!lines.iter().any(|line| line.target.starts_with("patient") && line.outcome == "lost"), "{lines:?}");
}

fn a_link_local_host_is_found_again_behind_a_device_made_anew(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    pair.far.ip("addr add fe80::99/64 dev v1 nodad");
    let config = "[[target]]\nname = \"near\"\nhost = \"fe80::99%v0\"\ninterval = \"100ms\"\n";
    let mut daemon = Daemon::start(&pair.near, rights, config);
    assert_eq!(daemon.expect_outcome("near", "reply").addr.as_deref(), Some("fe80::99%v0"));
    pair.unplug();
    daemon.expect_outcome("near", "not_sent");
    pair.plug();
    pair.far.ip("addr add fe80::99/64 dev v1 nodad");
    daemon.expect_outcome("near", "reply");
}

fn probes_bear_the_class_of_service_that_is_asked_for(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    pair.far.nft(&["input ip dscp != ef drop", "input icmpv6 type echo-request ip6 dscp != ef drop"]);
    let mut daemon = Daemon::start(&pair.near, rights, &BOTH.replace("[defaults]", "[defaults]\ndscp = 46"));
    daemon.expect_of_all(&NAMES, "reply");
    daemon.reload(&BOTH.replace("[defaults]", "[defaults]\ndscp = 0"));
    daemon.expect_of_all(&NAMES, "lost");
}

#[test]
fn probes_bear_the_firewall_mark_that_is_asked_for() {
    let Some(pair) = Pair::new() else { return };
    pair.near.nft(&["output icmp type echo-request mark != 7 drop", "output icmpv6 type echo-request mark != 7 drop"]);
    let mut daemon = Daemon::start(&pair.near, Rights::Root, &BOTH.replace("[defaults]", "[defaults]\nmark = 7"));
    daemon.expect_of_all(&NAMES, "reply");
    let lines = daemon.stop();
    assert!(lines.iter().all(|line| line.outcome != "not_sent"), "{lines:?}");
}
