//! The weather: what the simulated network does to which targets, as its script and as pingtest's configuration.
//!
//! Every kind has a network and targets of its own, so that the address of a probe tells which it was in.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::time::Duration;

use crate::truth::{Family, Quote, Rules};

/// One kind of weather.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// What it is.
    pub(crate) name: &'static str,
    family: Family,
    size: u16,
    /// How long a probe waits, in seconds. All delays keep more than 100 ms away from it.
    timeout: u64,
    quote: Quote,
    /// Time to live or hop limit with which replies arrive.
    pub(crate) ttl: u8,
    /// Keys of its `[[net]]` in the script, and tables that belong to it. `NET` stands for the beginning of its addresses.
    net: &'static str,
    /// Further keys of its targets in pingtest's configuration.
    target: &'static str,
}

const fn v4(name: &'static str, net: &'static str) -> Kind {
    Kind { name, family: Family::V4, size: 56, timeout: 1, quote: Quote::Probe, ttl: 64, net, target: "" }
}

const fn v6(name: &'static str, net: &'static str) -> Kind {
    Kind { family: Family::V6, ..v4(name, net) }
}

impl Kind {
    const fn size(self, size: u16) -> Self {
        Self { size, ..self }
    }

    const fn timeout(self, timeout: u64) -> Self {
        Self { timeout, ..self }
    }

    const fn header_quoted(self) -> Self {
        Self { quote: Quote::Header, ..self }
    }

    const fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    const fn target(self, target: &'static str) -> Self {
        Self { target, ..self }
    }
}

/// A damaged checksum over IPv6 is not among them: the kernel counts it on every raw socket of the namespace as a dropped packet, and
/// pingtest then calls no loss a loss. It has a proof of its own.
pub(crate) const MIXED: &[Kind] = &[
    v4("plain", ""),
    v6("plain", r#"delay = "3ms""#),
    v4("no payload", r#"delay = "5ms""#).size(0),
    v6("no payload, losses", "loss = 0.1").size(0),
    v6("7 bytes", r#"delay = "5ms""#).size(7),
    v4("7 bytes, duplicates", r#"duplicate = { probability = 0.3, copies = 1, after = "2ms" }"#).size(7),
    v4("8 bytes, losses", "loss = 0.2").size(8),
    v6("16 bytes", r#"delay = "20us""#).size(16),
    v4("1400 bytes", r#"delay = "10ms""#).size(1400),
    v6("1400 bytes, flipped", r#"damage = { probability = 0.3, kind = "flip" }"#).size(1400),
    v4("far away", r#"delay = "750ms""#),
    v6("uniform delay", r#"delay = { uniform = ["10ms", "600ms"] }"#),
    v4("normal delay", r#"delay = { normal = { mean = "50ms", deviation = "20ms" } }"#),
    v6("listed delays, some late", r#"delay = { list = ["5ms", "1400ms", "300ms", "1200ms"], then = "repeat" }"#),
    v4("late", r#"delay = "1300ms""#),
    v4("late, with duplicates", "delay = \"1300ms\"\nduplicate = { probability = 0.5, copies = 2, after = \"1ms\" }"),
    v4(
        "explained late",
        "delay = \"1300ms\"\nerror = { type = \"host_unreachable\", router = \"NET.9.1\", quote = \"full\" }",
    ),
    v6("damaged and late", "delay = \"1300ms\"\ndamage = { probability = 0.5, kind = \"truncate\" }"),
    v4("random losses", "delay = \"10ms\"\nloss = 0.3"),
    v4("bursts of losses", "loss = { gilbert_elliott = { p = 0.05, r = 0.3, good = 0.0, bad = 1.0 } }"),
    v6("bursts of losses", "loss = { gilbert_elliott = { p = 0.1, r = 0.2, good = 0.01, bad = 0.8 } }"),
    v4("certain losses", "loss = { exact = [3, 4, 9, 30, 31, 32, 33, 100] }"),
    v4("reordered", "delay = \"20ms\"\nreorder = { probability = 0.3, by = \"250ms\" }"),
    v6("duplicates", r#"duplicate = { probability = 0.4, copies = 2, after = "1ms" }"#),
    v4("flipped", r#"damage = { probability = 0.5, kind = "flip" }"#),
    v6("flipped", r#"damage = { probability = 0.5, kind = "flip" }"#),
    v4("wrong checksum", r#"damage = { probability = 0.5, kind = "checksum" }"#),
    v4("cut short", r#"damage = { probability = 0.5, kind = "truncate" }"#),
    v4("another address", r#"from = { address = "NET.9.9", probability = 0.5 }"#),
    v6("another address", r#"from = { address = "NET::9:9", probability = 0.5 }"#),
    v4("another address, 8 bytes", r#"from = { address = "NET.9.9", probability = 0.5 }"#).size(8),
    v4(
        "host unreachable",
        r#"error = { type = "host_unreachable", router = "NET.9.1", quote = "full", probability = 0.5 }"#,
    ),
    v4("minimal quote", r#"error = { type = "net_unreachable", router = "NET.9.1", quote = "minimal" }"#),
    v4("header quoted", r#"error = { type = "admin_prohibited", router = "NET.9.1", quote = "header" }"#)
        .header_quoted(),
    v4("options quoted", r#"error = { type = "host_prohibited", router = "NET.9.1", quote = "full", options = true }"#),
    v4(
        "limited errors",
        r#"error = { type = "net_prohibited", router = "NET.9.1", quote = "full", rate = { per_second = 50, burst = 6 } }"#,
    ),
    v4("no payload, port unreachable", r#"error = { type = "port_unreachable", quote = "full", probability = 0.5 }"#)
        .size(0),
    v4(
        "time exceeded",
        r#"error = { type = "time_exceeded", router = "NET.9.1", quote = "minimal", probability = 0.5 }"#,
    ),
    v4(
        "parameter problem",
        r#"error = { type = { kind = 12, code = 0 }, router = "NET.9.1", quote = "full", probability = 0.5 }"#,
    ),
    v6("no route", r#"error = { type = "no_route", router = "NET::9:1", quote = "full", probability = 0.5 }"#),
    v6("minimal quote", r#"error = { type = "address_unreachable", router = "NET::9:1", quote = "minimal" }"#),
    v6("header quoted", r#"error = { type = "reject_route", router = "NET::9:1", quote = "header" }"#).header_quoted(),
    v6(
        "time exceeded",
        r#"error = { type = "time_exceeded", router = "NET::9:1", quote = "full", probability = 0.5 }"#,
    ),
    v4("limited echoes", "echo_limit = { per_second = 100, burst = 100 }"),
    v4("silent", "silent = true"),
    v6("silent", "silent = true"),
    v4(
        "down and up",
        "[[net.change]]\nat = \"4s\"\nfor = \"3s\"\ndown = true\n[[net.change]]\nat = \"9s\"\ndelay = \"300ms\"",
    ),
    v6("rain every four seconds", "[[net.change]]\nevery = \"4s\"\nfor = \"1s\"\nloss = 0.5"),
    v4("too large", "delay = \"1100ms\"\nmtu = 1300").size(1400).timeout(3).target("dont_fragment = true"),
    v6("too large", "delay = \"1100ms\"\nmtu = 1300").size(1400).timeout(3).target("dont_fragment = true"),
    v4("too far", "hops = 7").target("ttl = 3"),
    v6("too far", "hops = 7").target("ttl = 3"),
    v4("far enough", "hops = 7").ttl(57),
    v6("far enough", "hops = 9").ttl(55),
    v4("the most hops left", "ttl = 255").ttl(255),
    v6("one hop left", "ttl = 1").ttl(1),
    v4("forged identifier", r#"forge = { probability = 0.5, kind = "identifier" }"#),
    v4("forged number", r#"forge = { probability = 0.5, kind = "sequence" }"#),
    v6("forged number", r#"forge = { probability = 0.5, kind = "sequence" }"#),
    v4("forged tag", r#"forge = { probability = 0.5, kind = "tag" }"#),
    v4("forged by a stranger", r#"forge = { probability = 0.5, kind = "foreign" }"#),
    v6("forged tag, losses", "loss = 0.2\nforge = { probability = 0.5, kind = \"tag\" }"),
    v6(
        "a storm of strangers",
        "delay = { uniform = [\"1ms\", \"80ms\"] }\nloss = 0.1\nfrom = { address = \"NET::9:9\", probability = 0.3 }\n\
         duplicate = { probability = 0.3, copies = 2, after = \"5ms\" }",
    ),
    v4(
        "a storm",
        "delay = { uniform = [\"1ms\", \"80ms\"] }\nloss = 0.1\nreorder = { probability = 0.2, by = \"200ms\" }\n\
         duplicate = { probability = 0.2, copies = 1, after = \"5ms\" }\ndamage = { probability = 0.1, kind = \"flip\" }\n\
         error = { type = \"host_unknown\", router = \"NET.9.1\", quote = \"full\", probability = 0.1 }",
    ),
];

/// A network that loses nothing.
pub(crate) const FAIR: &[Kind] = &[v4("fair", r#"delay = { uniform = ["5ms", "30ms"] }"#)];

/// The same where requests may wait in the device's queue for a while before the network, on the same busy machine, sees them.
pub(crate) const PATIENT: &[Kind] = &[FAIR[0].timeout(5)];

/// A fair network that fails all at once, for [`STORM_TIME`].
pub(crate) const STORM: &[Kind] = &[v4(
    "storm",
    "delay = { uniform = [\"5ms\", \"30ms\"] }\n[[net.change]]\nat = \"20s\"\nfor = \"20s\"\ndown = true",
)];
pub(crate) const STORM_TIME: Range<Duration> = Duration::from_secs(20)..Duration::from_secs(40);

/// A wrong checksum over IPv6, and nothing else that could be lost.
pub(crate) const BAD_CHECKSUMS: &[Kind] =
    &[v6("plain", r#"delay = "20ms""#), v6("wrong checksum", r#"damage = { probability = 0.5, kind = "checksum" }"#)];

/// Kinds with so many targets each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) kinds: &'static [Kind],
    pub(crate) targets_of_each: u16,
    /// Time between a target's probes, as the configuration has it.
    pub(crate) interval: &'static str,
}

/// A target and what is known of it beforehand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) addr: IpAddr,
    pub(crate) kind: &'static Kind,
    pub(crate) rules: Rules,
}

impl Weather {
    /// Every target, in the order of the configuration.
    pub(crate) fn targets(self) -> impl Iterator<Item = Target> {
        (1..).zip(self.kinds).flat_map(move |(index, kind)| {
            (1..=self.targets_of_each).map(move |host| Target {
                addr: kind.addr(index, host),
                kind,
                rules: kind.rules(),
            })
        })
    }

    /// The network's script.
    pub(crate) fn script(self) -> String {
        let addresses = r#"addresses = ["192.0.2.1/32", "2001:db8::1/128"]"#;
        let mut script = format!("seed = 7\n[device]\n{addresses}\n");
        for (index, kind) in (1..).zip(self.kinds) {
            let (start, rest) = match kind.family {
                Family::V4 => (format!("10.{index}"), ".0.0/16"),
                Family::V6 => (format!("fd00:{index:x}"), "::/32"),
            };
            let keys = kind.net.replace("NET", &start);
            let _ = writeln!(script, "[[net]]\nprefix = \"{start}{rest}\"\n{keys}");
        }
        script
    }

    /// pingtest's configuration, but for the log.
    pub(crate) fn config(self) -> String {
        let mut config = format!("[defaults]\ninterval = \"{}\"\n", self.interval);
        for Target { addr, kind, .. } in self.targets() {
            let Kind { size, timeout, target, .. } = kind;
            let _ =
                writeln!(config, "[[target]]\nhost = \"{addr}\"\nsize = {size}\ntimeout = \"{timeout}s\"\n{target}");
        }
        config
    }
}

impl Kind {
    fn addr(&self, index: u16, host: u16) -> IpAddr {
        let [high, low] = host.to_be_bytes();
        match self.family {
            Family::V4 => Ipv4Addr::new(10, index.to_be_bytes()[1], high, low).into(),
            Family::V6 => Ipv6Addr::new(0xfd00, index, 0, 0, 0, 0, 0, host).into(),
        }
    }

    fn rules(&self) -> Rules {
        let timeout = Duration::from_secs(self.timeout);
        Rules { size: self.size, timeout, family: self.family, quote: self.quote }
    }
}
