//! Sockets, their options and buffers, loopback and names.

use super::super::facts::{Facts, Family, Loopback, Network, Opened, Standing, WhyRefused};
use super::{Judged, as_root, engine, few, quoted, service};
use crate::counted::{counted, either};

/// Opens datagram sockets to every group (icmp(7)).
const OPEN_GROUPS: &str = "sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"";

/// Makes it last.
const OPEN_GROUPS_FILE: &str =
    "echo 'net.ipv4.ping_group_range = 0 2147483647' > /etc/sysctl.d/60-pingtest.conf && sysctl --system";

pub(super) fn sockets(facts: &Facts) -> Vec<Judged> {
    let network = &facts.network;
    let denied = network.families.iter().find_map(|family| match &family.opened {
        Opened::Denied(error) => Some(error),
        Opened::Raw | Opened::Datagram | Opened::Unsupported | Opened::Failed(_) => None,
    });
    if !network.families.iter().any(is_open) {
        return vec![match denied {
            Some(error) => none_allowed(facts, error),
            None => Judged::problem(none_opened(network), "pingtest does not start."),
        }];
    }
    let mut judged: Vec<_> = network.families.iter().filter_map(|family| one(facts, family)).collect();
    let datagram = network.families.iter().any(|family| family.opened == Opened::Datagram);
    judged.push(Judged::ok(if datagram {
        format!("datagram ICMP sockets can be opened{}", groups_words(network))
    } else {
        "raw ICMP sockets can be opened (CAP_NET_RAW)".to_owned()
    }));
    judged
}

fn is_open(family: &Family) -> bool {
    matches!(family.opened, Opened::Raw | Opened::Datagram)
}

fn none_opened(network: &Network) -> String {
    let words = network.families.iter().map(|family| match &family.opened {
        Opened::Failed(error) | Opened::Denied(error) => format!("{}: {error}", family.name),
        Opened::Unsupported => format!("{}: not supported here", family.name),
        Opened::Raw | Opened::Datagram => format!("{}: open", family.name),
    });
    format!("no ICMP socket can be opened ({})", words.collect::<Vec<_>>().join("; "))
}

fn none_allowed(facts: &Facts, error: &str) -> Judged {
    let (network, user) = (&facts.network, &facts.whom.user);
    let capability = match network.cap_net_raw {
        Some(true) => format!(
            "{user} has CAP_NET_RAW, and yet it is refused: look for a security module or a filter of system calls"
        ),
        Some(false) => format!("{user} has no CAP_NET_RAW"),
        None => "whether CAP_NET_RAW is there cannot be read".to_owned(),
    };
    let groups = match network.ping_groups {
        Some((low, high)) if low > high => "and net.ipv4.ping_group_range is closed".to_owned(),
        Some((low, high)) if facts.whom.groups.iter().any(|group| (low..=high).contains(group)) => {
            format!("though net.ipv4.ping_group_range {low} {high} has a group of {user}")
        }
        Some((low, high)) => format!("and none of its groups is within net.ipv4.ping_group_range {low} {high}"),
        None => "and net.ipv4.ping_group_range cannot be read".to_owned(),
    };
    let judged = Judged::problem(
        format!("not allowed to open ICMP sockets ({error}): {capability}, {groups}"),
        "pingtest exits with code 77 at once.",
    );
    let judged = match (&facts.whom.standing, service(facts)) {
        // It is the service that needs the right, and has it, most likely.
        (Standing::Bystander { .. }, _) => return judged.cure(as_root(facts)),
        (_, Some(unit)) => judged.cure(format!(
            "systemctl edit {}: [Service], AmbientCapabilities=CAP_NET_RAW, CapabilityBoundingSet=CAP_NET_RAW",
            unit.name
        )),
        (Standing::Own | Standing::InPlace { .. } | Standing::Refused { .. }, None) => {
            judged.cure("setcap cap_net_raw+ep /usr/bin/pingtest").cure("in a unit: AmbientCapabilities=CAP_NET_RAW")
        }
    };
    if facts.machine.sys_read_only {
        let start = engine(facts)
            .map_or("where the container is started:".to_owned(), |engine| format!("{engine} run --sysctl"));
        judged.cure(format!(
            "{start} net.ipv4.ping_group_range=\"0 2147483647\" … (kernel settings are read-only in here)"
        ))
    } else {
        judged.cure(OPEN_GROUPS).cure(OPEN_GROUPS_FILE)
    }
}

fn groups_words(network: &Network) -> String {
    network.ping_groups.map_or_else(String::new, |(low, high)| format!(" (net.ipv4.ping_group_range {low} {high})"))
}

/// One family that cannot be used while the other can.
fn one(facts: &Facts, family: &Family) -> Option<Judged> {
    let (found, cure) = match &family.opened {
        Opened::Raw | Opened::Datagram => return None,
        // Told by the check of IPv6.
        Opened::Unsupported => return None,
        Opened::Denied(error) => (format!("no {} socket: {error}", family.name), Some(OPEN_GROUPS)),
        Opened::Failed(error) => (format!("no {} socket: {error}", family.name), None),
    };
    let means = format!("{} targets are not measured: their probes are \"not sent\".", family.name);
    let judged = if family.wanted { Judged::warning(found, means) } else { Judged::note(found, means) };
    Some(match cure.filter(|_| !facts.machine.sys_read_only) {
        Some(cure) => judged.cure(cure),
        None => judged,
    })
}

pub(super) fn ipv6(facts: &Facts) -> Vec<Judged> {
    let Some(family) = facts.network.families.iter().find(|family| family.name == "IPv6") else { return Vec::new() };
    let (found, cure) = match (&family.opened, facts.network.ipv6_disabled) {
        (Opened::Unsupported, _) => ("this kernel has no IPv6 here", "boot without ipv6.disable=1"),
        (_, true) => ("IPv6 is switched off on all interfaces", "sysctl -w net.ipv6.conf.all.disable_ipv6=0"),
        (Opened::Raw | Opened::Datagram | Opened::Denied(_) | Opened::Failed(_), false) => return Vec::new(),
    };
    vec![if family.wanted {
        Judged::warning(
            found,
            "Targets that are IPv6 addresses or say family = \"ipv6\" or \"both\" are not measured over it.",
        )
        .cure(cure)
        .cure("or take them out of the configuration")
    } else {
        Judged::note(found, "No target asks for it.")
    }]
}

pub(super) fn options(facts: &Facts) -> Vec<Judged> {
    let judged = facts.network.options.iter().map(|refused| {
        let (target, option) = (&refused.target, &refused.option);
        match &refused.why {
            WhyRefused::NotPermitted => Judged::problem(
                format!("{option} of target {target:?}: not permitted"),
                "pingtest exits with code 77. A mark needs CAP_NET_ADMIN, or CAP_NET_RAW since Linux 5.17.",
            )
            .cure(
                "in the unit: AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN, and the same for CapabilityBoundingSet=",
            ),
            WhyRefused::NoInterface => Judged::warning(
                format!("{option} of target {target:?}: there is no such interface"),
                "Its probes are \"not sent\" until there is.",
            )
            .cure("ip -br link shows those that there are"),
            WhyRefused::NoAddress => Judged::warning(
                format!("{option} of target {target:?}: this machine does not have it"),
                "Its probes are \"not sent\" until it has.",
            )
            .cure("ip -br addr shows those that it has"),
            WhyRefused::Other(error) => {
                Judged::warning(format!("{option} of target {target:?}: {error}"), "Its probes are \"not sent\".")
            }
        }
    });
    judged.collect()
}

pub(super) fn loopback(facts: &Facts) -> Vec<Judged> {
    let network = &facts.network;
    // Without addresses there is nobody to answer, which is told elsewhere.
    let families = network.families.iter().filter(|family| !(network.ipv6_disabled && family.name == "IPv6"));
    let tried: Vec<_> = families.filter_map(|family| Some((family, family.loopback.as_ref()?))).collect();
    let answered = tried.iter().any(|(_, loopback)| **loopback == Loopback::Answered);
    if tried.is_empty() {
        return Vec::new();
    }
    let failed = tried.iter().filter_map(|(family, loopback)| {
        Some(match loopback {
            Loopback::Answered => return None,
            Loopback::Silent => format!("{}: no answer within a second", family.name),
            Loopback::NotSent(error) => format!("{}: {error}", family.name),
        })
    });
    let failed = failed.collect::<Vec<_>>().join("; ");
    let means = "That packets are received cannot be proved then, and systemd's watchdog is fed without that proof.";
    vec![match (answered, failed.is_empty()) {
        (true, true) => Judged::ok("a probe to loopback was answered"),
        (true, false) => {
            Judged::note(format!("loopback does not answer everywhere ({failed})"), "One family is enough.")
        }
        (false, _) => Judged::warning(format!("loopback does not answer ({failed})"), means)
            .cure("ip link set lo up")
            .cure("let a firewall pass ICMP on lo: nft insert rule inet filter input iif lo accept"),
    }]
}

pub(super) fn buffer(facts: &Facts) -> Vec<Judged> {
    let Some(buffer) = facts.network.buffer else { return Vec::new() };
    let (replies, wanted) = (buffer.replies, buffer.wanted);
    if replies >= wanted {
        return vec![Judged::ok(format!("room for {replies} replies; {wanted} needed for {}", rate(buffer.rate)))];
    }
    let limit = buffer.rmem_max.map_or_else(String::new, |limit| format!(" (net.core.rmem_max {limit})"));
    let needs = buffer.needs;
    vec![
        Judged::warning(
            format!("room for {replies} replies{limit}; {wanted} needed for {}", rate(buffer.rate)),
            "Where this machine stalls for half a second, replies are dropped, and their probes are \"not measured\".",
        )
        .cure(format!("sysctl -w net.core.rmem_max={needs}"))
        .cure(format!("echo 'net.core.rmem_max = {needs}' > /etc/sysctl.d/60-pingtest-buffers.conf && sysctl --system"))
        .cure("in the unit: CAP_NET_ADMIN, which is not bound by that limit"),
    ]
}

/// `1 probe/s`, `212 probes/s`
fn rate(rate: f64) -> String {
    let rate = format!("{rate:.0}");
    let probes = if rate == "1" { "probe" } else { "probes" };
    format!("{rate} {probes}/s")
}

pub(super) fn names(facts: &Facts) -> Vec<Judged> {
    let names = &facts.names;
    let mut judged = Vec::new();
    if !names.failed.is_empty() {
        let shown: Vec<_> = names.failed.iter().map(|(name, error)| format!("{name} ({error})")).collect();
        let found = format!("{} no address: {}", lead(names.failed.len()), few(shown.iter().map(String::as_str)));
        judged.push(
            Judged::warning(found, "pingtest starts and looks again; until then these are \"not measured\".")
                .cure(format!("getent ahosts {}", quoted(&names.failed[0].0))),
        );
    }
    if !names.silent.is_empty() {
        let found = format!(
            "no answer within {} s for {}: {}",
            names.within.as_secs(),
            counted(names.silent.len(), "name"),
            few(names.silent.iter().map(String::as_str))
        );
        judged.push(
            Judged::warning(found, "The name server is slow or silent. pingtest starts and looks again.")
                .cure(format!("time getent ahosts {}", quoted(&names.silent[0])))
                .cure("grep nameserver /etc/resolv.conf"),
        );
    }
    if judged.is_empty() && names.asked > 0 {
        judged.push(Judged::ok(format!("{} found", counted(names.asked, "name"))));
    }
    judged
}

/// `1 name leads to`, `2 names lead to`
fn lead(count: usize) -> String {
    format!("{} {} to", counted(count, "name"), either(count, "leads", "lead"))
}
