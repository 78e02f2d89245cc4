//! A router between us and the target: what it says is written down, and does not touch those who are well.

use crate::support::net::Chain;
use crate::support::program::{Daemon, Rights, with_either_socket};

with_either_socket! {
    a_probe_with_too_few_hops_is_unreachable_by_the_routers_word
    a_router_without_a_route_says_so
    a_router_that_refuses_is_named
    a_probe_too_large_for_a_link_is_told_or_split
    an_unreachable_target_costs_its_neighbours_on_the_socket_nothing
    unreachable_networks_cost_their_neighbours_on_a_bound_socket_nothing
}

const ROUTER: [&str; 2] = ["10.99.1.254", "fd99:1::fe"];
const NAMES: [&str; 2] = ["four", "six"];

fn targets(defaults: &str, four: &str, six: &str) -> String {
    format!(
        "[defaults]\ninterval = \"100ms\"\n{defaults}\n[[target]]\nname = \"four\"\nhost = \"{four}\"\n[[target]]\nname = \"six\"\n\
         host = \"{six}\"\n"
    )
}

/// Waits until the router has told of both targets what `words` are.
fn expect_routers_word(daemon: &mut Daemon, words: [&str; 2]) {
    for ((line, router), words) in daemon.expect_of_all(&NAMES, "unreachable").iter().zip(ROUTER).zip(words) {
        assert_eq!((line.from.as_deref(), line.error()), (Some(router), words), "{line:?}");
        assert!(line.sent.is_some() && line.rtt_ms.is_none(), "{line:?}");
    }
}

fn a_probe_with_too_few_hops_is_unreachable_by_the_routers_word(rights: Rights) {
    let Some(chain) = Chain::new() else { return };
    let mut daemon = Daemon::start(&chain.near, rights, &targets("ttl = 1", "10.99.2.2", "fd99:2::2"));
    expect_routers_word(&mut daemon, ["Time to live exceeded", "Time exceeded: Hop limit"]);
    daemon.reload(&targets("ttl = 2", "10.99.2.2", "fd99:2::2"));
    for reply in daemon.expect_of_all(&NAMES, "reply") {
        assert_eq!(reply.ttl, Some(63), "the reply has passed the router as well");
    }
}

fn a_router_without_a_route_says_so(rights: Rights) {
    let Some(chain) = Chain::new() else { return };
    let mut daemon = Daemon::start(&chain.near, rights, &targets("", "10.99.3.1", "fd99:3::1"));
    expect_routers_word(&mut daemon, ["Destination Net Unreachable", "Destination unreachable: No route"]);
    let lines = daemon.stop();
    assert!(lines.iter().all(|line| line.outcome != "lost" && line.outcome != "not_sent"), "{lines:?}");
}

fn a_router_that_refuses_is_named(rights: Rights) {
    let Some(chain) = Chain::new() else { return };
    let mut daemon = Daemon::start(&chain.near, rights, &targets("", "10.99.2.2", "fd99:2::2"));
    daemon.expect_of_all(&NAMES, "reply");
    chain.router.nft(&[
        "forward ip daddr 10.99.2.2 reject with icmp admin-prohibited",
        "forward ip6 daddr fd99:2::2 reject with icmpv6 admin-prohibited",
    ]);
    expect_routers_word(&mut daemon, ["Packet filtered", "Destination unreachable: Administratively prohibited"]);
    chain.router.nft(&[]);
    daemon.expect_of_all(&NAMES, "reply");
}

fn a_probe_too_large_for_a_link_is_told_or_split(rights: Rights) {
    let Some(chain) = Chain::new() else { return };
    chain.router.ip("link set r1 mtu 1300");
    chain.far.ip("link set v1 mtu 1300");
    let large = "size = 1400\n";
    let whole = targets(&format!("{large}dont_fragment = true"), "10.99.2.2", "fd99:2::2");
    let mut daemon = Daemon::start(&chain.near, rights, &whole);
    expect_routers_word(&mut daemon, ["Frag needed and DF set (mtu = 1300)", "Packet too big: mtu=1300"]);
    for line in daemon.expect_of_all(&NAMES, "not_sent") {
        assert_eq!(line.error(), "Message too long", "from here on our own system knows");
    }
    daemon.reload(&targets(large, "10.99.2.2", "fd99:2::2"));
    for reply in daemon.expect_of_all(&NAMES, "reply") {
        assert_eq!(reply.bytes, Some(1408));
    }
}

/// On a datagram socket, an error that came for one target fails the next probe to whichever other one.
fn an_unreachable_target_costs_its_neighbours_on_the_socket_nothing(rights: Rights) {
    let Some(chain) = Chain::new() else { return };
    chain.router.nft(&[
        "forward ip daddr 10.99.2.9 reject with icmp host-unreachable",
        "forward ip6 daddr fd99:2::9 reject with icmpv6 addr-unreachable",
    ]);
    assert_costs_nothing(&chain, rights, &["10.99.2.9", "fd99:2::9"], ["", ""]);
}

/// The same error, ENETUNREACH, is what a socket gives whose own address has gone.
fn unreachable_networks_cost_their_neighbours_on_a_bound_socket_nothing(rights: Rights) {
    let Some(chain) = Chain::new() else { return };
    chain.router.nft(&[
        "forward ip daddr 10.99.2.128/25 ip daddr != 10.99.2.254 reject with icmp net-unreachable",
        "forward ip6 daddr fd99:2::80/121 ip6 daddr != fd99:2::fe reject with icmpv6 no-route",
    ]);
    let dead = ["10.99.2.129", "10.99.2.130", "10.99.2.131", "fd99:2::81", "fd99:2::82", "fd99:2::83"];
    assert_costs_nothing(&chain, rights, &dead, ["source = \"10.99.1.1\"\n", "source = \"fd99:1::1\"\n"]);
}

/// `options` are those of targets of IPv4 and of IPv6.
fn assert_costs_nothing(chain: &Chain, rights: Rights, dead: &[&str], options: [&str; 2]) {
    let mut config = "[defaults]\ninterval = \"20ms\"\ntimeout = \"500ms\"\n".to_owned();
    let live = ["10.99.2.2", "10.99.1.254", "10.99.2.254", "fd99:2::2", "fd99:1::fe", "fd99:2::fe"];
    // The dead first: where several leave in one turn, the error of one meets the next.
    for host in dead.iter().chain(&live) {
        config += &format!("[[target]]\nhost = \"{host}\"\n{}", options[usize::from(host.contains(':'))]);
    }
    let mut daemon = Daemon::start(&chain.near, rights, &config);
    for host in dead {
        daemon.expect("the hundredth refusal", |line| line.is(host, "unreachable") && line.seq() >= 100);
        daemon.rewind();
    }
    let lines = daemon.stop();
    for line in lines.iter().filter(|line| live.contains(&line.target.as_str())) {
        let harmless = matches!((line.outcome.as_str(), line.error()), ("reply", _) | ("not_measured", "stopped"));
        assert!(harmless || line.error().starts_with("stalled"), "{line:?}");
    }
    for line in lines.iter().filter(|line| dead.contains(&line.target.as_str())) {
        assert!(matches!(line.outcome.as_str(), "unreachable" | "not_measured"), "{line:?}");
    }
}
