//! Facts → findings. Pure: one table of checks, each of which says what was found, what it means and what to do.
//!
//! It knows no machine but what the facts tell of it, and what pingtest does about each thing: it starts on a full disk and with names
//! that lead nowhere, for instance, and not without a socket.

mod files;
mod machine;
mod network;
#[cfg(test)]
mod tests;

use std::path::Path;

use super::facts::{Configuration, Facts, Standing, Unit};
use super::{Finding, Level};
use crate::counted::counted;

/// What a check says, before it is known of which check it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Judged {
    level: Level,
    found: String,
    means: String,
    cures: Vec<String>,
}

impl Judged {
    fn ok(found: impl Into<String>) -> Self {
        Self { level: Level::Ok, found: found.into(), means: String::new(), cures: Vec::new() }
    }

    fn note(found: impl Into<String>, means: impl Into<String>) -> Self {
        Self { level: Level::Note, means: means.into(), ..Self::ok(found) }
    }

    fn warning(found: impl Into<String>, means: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::note(found, means) }
    }

    fn problem(found: impl Into<String>, means: impl Into<String>) -> Self {
        Self { level: Level::Problem, ..Self::note(found, means) }
    }

    /// What to do about it; or, where something was named before, what else would do.
    fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cures.push(cure.into());
        self
    }
}

/// A check: what it has to say of the facts. One that says nothing does not apply here.
type Check = fn(&Facts) -> Vec<Judged>;

/// Every check, in the order in which things are needed.
const CHECKS: &[(&str, Check)] = &[
    ("user", user),
    ("configuration", configuration),
    ("sockets", network::sockets),
    ("IPv6", network::ipv6),
    ("socket options", network::options),
    ("loopback", network::loopback),
    ("receive buffer", network::buffer),
    ("log directory", files::log),
    ("ledger", files::ledger),
    ("diagnostics", files::diagnostics),
    ("descriptors", files::descriptors),
    ("control socket", files::control),
    ("hooks", files::hooks),
    ("names", network::names),
    ("clock", machine::clock),
    ("clocks shifted", machine::time_namespace),
    ("journal", machine::journal),
    ("service", machine::service),
    ("directories", machine::directories),
    ("container", machine::container),
];

/// Every finding, the worst first, otherwise in the order of the checks.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let named = |(check, judge): &(&'static str, Check)| {
        let check = *check;
        let finding = move |Judged { level, found, means, cures }| Finding { level, check, found, means, cures };
        judge(facts).into_iter().map(finding)
    };
    let mut findings: Vec<_> = CHECKS.iter().flat_map(named).collect();
    findings.sort_by_key(|finding| finding.level);
    findings
}

fn user(facts: &Facts) -> Vec<Judged> {
    let user = &facts.whom.user;
    vec![match &facts.whom.standing {
        Standing::Own => Judged::ok(format!("judged for {user}, who runs this")),
        Standing::InPlace { net_raw } => {
            let having = if *net_raw { "with" } else { "without" };
            let found = format!("judged for {user} {having} CAP_NET_RAW, as {} runs", service_name(facts));
            Judged::note(found, "Of its sandbox, no more is looked at than this and where it may write.")
        }
        Standing::Bystander { service } => Judged::note(
            format!("judged for {user}, who runs this, and not for {service}, as whom {} runs", service_name(facts)),
            format!("What {user} lacks, {service} may have."),
        )
        .cure(format!("{}: judges for the service", as_root(facts))),
        Standing::Refused { wanted, error } => Judged::note(
            format!("judged for {user}, for the place of {wanted} cannot be taken: {error}"),
            format!("What {user} may do, the service may not."),
        )
        .cure(format!("setpriv --reuid={user} --regid={user} --init-groups pingtest doctor", user = quoted(wanted))),
    }]
}

fn configuration(facts: &Facts) -> Vec<Judged> {
    /// What is left out then.
    const UNKNOWN: &str = "pingtest does not start. What depends on it is not judged here.";
    let user = &facts.whom.user;
    let reader = match &facts.whom.standing {
        Standing::Bystander { service } => service,
        Standing::Own | Standing::InPlace { .. } | Standing::Refused { .. } => user,
    };
    vec![match &facts.configuration {
        Configuration::Missing(path) => Judged::problem(format!("there is no {}", path.display()), UNKNOWN)
            .cure(format!(
                "write it: pingtest needs one target, such as printf '[[target]]\\nhost = \"127.0.0.1\"\\n' > {}",
                quoted_path(path)
            ))
            .cure("name another: pingtest doctor --config FILE"),
        Configuration::Denied(path) if matches!(facts.whom.standing, Standing::Bystander { .. }) => {
            Judged::problem(format!("{} may not be read by {user}", path.display()), UNKNOWN).cure(as_root(facts))
        }
        Configuration::Denied(path) => {
            Judged::problem(format!("{} may not be read by {user}", path.display()), UNKNOWN)
                .cure(format!(
                    "let {user} read it: setfacl -m {}:r {}",
                    quoted(&format!("u:{user}")),
                    quoted_path(path)
                ))
                .cure(format!("namei -l {} shows which directory or file refuses", quoted_path(path)))
        }
        Configuration::Hangs(path) => Judged::problem(
            format!("{} was not read in time: its file system does not answer", path.display()),
            UNKNOWN,
        ),
        Configuration::Bad { count, first, path } => {
            let found = if *count == 1 { first.clone() } else { format!("{count} mistakes, the first: {first}") };
            Judged::problem(found, UNKNOWN).cure(format!("pingtest check --config {}", quoted_path(path)))
        }
        Configuration::Sound { path, files, targets, exposed: None } => {
            let (targets, files) = (counted(*targets, "target"), counted(*files, "file"));
            Judged::ok(format!("{}: {targets} in {files}", path.display()))
        }
        Configuration::Sound { exposed: Some(path), .. } => Judged::warning(
            format!("everybody may read {}, and the configuration has a webhook's address", path.display()),
            "Whoever knows the address can post there.",
        )
        .cure(format!("chgrp {} {path} && chmod 640 {path}", quoted(reader), path = quoted_path(path))),
    }]
}

/// The unit that it is judged for.
fn service_name(facts: &Facts) -> &str {
    facts.machine.unit.as_ref().filter(|unit| unit.is_loaded()).map_or("pingtest.service", |unit| &unit.name)
}

/// The unit, where it is judged for that and for nobody else.
fn service(facts: &Facts) -> Option<&Unit> {
    let unit = facts.machine.unit.as_ref().filter(|unit| unit.is_loaded())?;
    match &facts.whom.standing {
        Standing::InPlace { .. } => Some(unit),
        Standing::Own => (unit.user == facts.whom.user).then_some(unit),
        Standing::Bystander { .. } | Standing::Refused { .. } => None,
    }
}

/// Has root judge for the service.
fn as_root(facts: &Facts) -> String {
    let path = facts.configuration.path();
    let config = if path == Path::new("/etc/pingtest/pingtest.toml") {
        String::new()
    } else {
        format!(" --config {}", quoted_path(path))
    };
    format!("sudo pingtest doctor{config}")
}

/// Gives a file or directory to the one for whom it is judged; but never takes it from the service.
fn give(facts: &Facts, path: &Path) -> String {
    let unit = facts.machine.unit.as_ref().filter(|unit| unit.is_loaded());
    match &facts.whom.standing {
        Standing::Bystander { service } if unit.is_some_and(|unit| unit.has(path)) => {
            format!(
                "leave it to {service}, whose service needs it; name another in the configuration of {}",
                facts.whom.user
            )
        }
        Standing::Own | Standing::InPlace { .. } | Standing::Bystander { .. } | Standing::Refused { .. } => {
            format!("chown {} {}", quoted(&facts.whom.user), quoted_path(path))
        }
    }
}

/// What a container is run with, where it is known to be of that kind.
fn engine(facts: &Facts) -> Option<&'static str> {
    match facts.machine.container.as_deref() {
        Some("docker" | "/.dockerenv") => Some("docker"),
        Some("podman" | "/run/.containerenv") => Some("podman"),
        Some(_) | None => None,
    }
}

/// A word of a command, as sh(1) reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        // What begins with "-" would be an option, quoted or not.
        let guard = if word.starts_with('-') { "./" } else { "" };
        format!("'{guard}{}'", word.replace('\'', "'\\''"))
    }
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// The first few of many: `a, b, c and 7 more`.
fn few<'a>(all: impl ExactSizeIterator<Item = &'a str>) -> String {
    const NAMED: usize = 3;
    let more = all.len().saturating_sub(NAMED);
    let named = all.take(NAMED).collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

/// Bytes in the largest unit of which there is one: `3.2 GiB`.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut size, mut unit) = (bytes as f64, "bytes");
    for larger in UNITS {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{size:.1} {unit}") }
}
