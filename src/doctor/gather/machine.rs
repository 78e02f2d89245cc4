//! Looks at systemd, journald, clocks, and what kind of machine this is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::super::facts::{Clock, Closed, Machine, Misplaced, Unit};
use super::{PATIENCE, bounded};
use crate::clock::discipline::{Discipline, discipline};

/// There while systemd is PID 1 (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";
/// Where journald takes messages (systemd-journald.service(8)).
const JOURNAL: &str = "/run/systemd/journal/socket";
/// Directories that systemd makes, the variables that tell of them, and below what they are (systemd.exec(5)).
const DIRECTORIES: [(&str, &str, &str); 3] = [
    ("LogsDirectory", "LOGS_DIRECTORY", "/var/log"),
    ("StateDirectory", "STATE_DIRECTORY", "/var/lib"),
    ("RuntimeDirectory", "RUNTIME_DIRECTORY", "/run"),
];
/// What `ProtectHome=` closes (systemd.exec(5)).
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

pub(super) fn look(unit: Option<Unit>) -> Machine {
    Machine {
        systemd: Path::new(BOOTED).exists(),
        journald: Path::new(JOURNAL).exists(),
        clock: match discipline() {
            Ok(Discipline::Synchronised) => Clock::Synchronised,
            Ok(Discipline::Unsynchronised) => Clock::Unsynchronised,
            Err(error) => Clock::Unknown(error.to_string()),
        },
        unit,
        container: container(),
        sys_read_only: statvfs("/proc/sys").is_ok_and(|sys| sys.f_flag.contains(StatVfsMountFlags::RDONLY)),
        time_offsets: fs::read_to_string("/proc/self/timens_offsets").ok().and_then(|text| offsets(&text)),
    }
}

/// The unit that runs with this configuration: an instance reads `/etc/pingtest/INSTANCE.toml`.
pub(super) fn unit_of(config: &Path) -> String {
    const MAIN: &str = "pingtest";
    let path = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let is_installed = path.parent() == Some(Path::new("/etc/pingtest")) && path.extension() == Some("toml".as_ref());
    match path.file_stem().and_then(|stem| stem.to_str()) {
        Some(instance) if is_installed && instance != MAIN => format!("{MAIN}@{instance}.service"),
        Some(_) | None => format!("{MAIN}.service"),
    }
}

/// What systemd says of a unit; `None` where it does not run or does not answer.
pub(super) fn unit(name: &str) -> Option<Unit> {
    if !Path::new(BOOTED).exists() {
        return None;
    }
    let asked = name.to_owned();
    let shown = bounded(PATIENCE, move || {
        let mut command = Command::new("systemctl");
        command.args(["--no-pager", "show", "--", &asked]).stdin(Stdio::null()).stderr(Stdio::null()).output()
    });
    let shown = shown?.ok().filter(|shown| shown.status.success())?;
    let unit = parsed(name, &String::from_utf8_lossy(&shown.stdout));
    let dirs = unit.directories.clone();
    let misplaced = bounded(PATIENCE, move || dirs.into_iter().filter_map(misplaced).collect());
    Some(Unit { misplaced: misplaced.unwrap_or_default(), ..unit })
}

/// What stands there instead of a directory.
fn misplaced(path: PathBuf) -> Option<Misplaced> {
    let meta = fs::symlink_metadata(&path).ok()?;
    (!meta.is_dir()).then(|| Misplaced { link: fs::read_link(&path).ok(), path })
}

/// What `systemctl show` prints: `Key=Value` in each line.
fn parsed(name: &str, text: &str) -> Unit {
    let value = |key: &str| {
        let found = text.lines().filter_map(|line| line.split_once('=')).find(|(found, _)| *found == key);
        found.map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    let has = |key: &str, wanted: &str| value(key).split_whitespace().any(|word| word.eq_ignore_ascii_case(wanted));
    let user = value("User");
    let is_root = ["", "root", "0"].contains(&&*user);
    let may =
        |capability| has("CapabilityBoundingSet", capability) && (is_root || has("AmbientCapabilities", capability));
    // A path that need not be there has a "-" before it, and one below the unit's root a "+".
    let paths = |key: &str| -> Vec<PathBuf> {
        value(key).split_whitespace().map(|path| path.trim_start_matches(['-', '+']).into()).collect()
    };
    let made = DIRECTORIES.map(|(key, _, above)| {
        value(key).split_whitespace().map(|dir| Path::new(above).join(dir)).collect::<Vec<PathBuf>>()
    });
    let environment = value("Environment");
    let set = |name: &str| {
        let word = environment.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        word.map(PathBuf::from)
    };
    let told = [0, 1, 2].map(|at| set(DIRECTORIES[at].1).or_else(|| made[at].first().cloned()));
    let closed = |by, is_hidden| move |path: PathBuf| Closed { path, by, is_hidden };
    let homes = HOMES.iter().map(PathBuf::from);
    let homes: Vec<_> = match &*value("ProtectHome") {
        "yes" | "tmpfs" => homes.map(closed("ProtectHome", true)).collect(),
        "read-only" => homes.map(closed("ProtectHome", false)).collect(),
        _ => Vec::new(),
    };
    let others = [("ReadOnlyPaths", false), ("InaccessiblePaths", true)];
    let others = others.into_iter().flat_map(|(key, is_hidden)| paths(key).into_iter().map(closed(key, is_hidden)));
    Unit {
        name: name.to_owned(),
        load: value("LoadState"),
        active: value("ActiveState"),
        sub: value("SubState"),
        file: value("UnitFileState"),
        result: value("Result"),
        ended: ended(&value("ExecMainCode"), &value("ExecMainStatus")),
        restarts: value("NRestarts").parse().unwrap_or(0),
        user,
        net_raw: may("cap_net_raw"),
        net_admin: may("cap_net_admin"),
        descriptors: match &*value("LimitNOFILE") {
            "infinity" => Some(u64::MAX),
            limit => limit.parse().ok(),
        },
        watchdog: value("WatchdogUSec"),
        told,
        directories: made.concat(),
        is_strict: value("ProtectSystem") == "strict",
        writable: paths("ReadWritePaths"),
        closed: homes.into_iter().chain(others).collect(),
        misplaced: Vec::new(),
    }
}

/// How a process ended, by the numbers of sigaction(2) that systemd shows: CLD_EXITED, and those of signals.
fn ended(code: &str, status: &str) -> String {
    match code {
        "" | "0" => String::new(),
        "1" => format!("exit code {status}"),
        _ => format!("signal {status}"),
    }
}

/// What the managers of containers leave for whoever wants to know (systemd's CONTAINER_INTERFACE).
fn container() -> Option<String> {
    let marks = ["/.dockerenv", "/run/.containerenv"];
    let by_file = || marks.into_iter().find(|mark| Path::new(mark).exists()).map(str::to_owned);
    let by_systemd = fs::read_to_string("/run/systemd/container").ok().map(|text| text.trim().to_owned());
    by_systemd.filter(|text| !text.is_empty()).or_else(by_file)
}

/// `monotonic 86400 0`, seconds and nanoseconds (time_namespaces(7)).
fn offsets(text: &str) -> Option<(i64, i64)> {
    let of = |clock: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(clock))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some((of("monotonic")?, of("boottime")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemctl_shows_is_understood() {
        let text = "Result=exit-code\nWatchdogUSec=30s\nUser=pingtest\nLogsDirectory=pingtest\nRuntimeDirectory=pingtest a\n\
                    StateDirectory=\nLoadState=loaded\nActiveState=failed\nUnitFileState=enabled\nExecStart={ path=/a ; argv[]=/a=b }\n\
                    ProtectSystem=strict\nReadWritePaths=-/data /b\nSubState=failed\nExecMainCode=1\nExecMainStatus=78\nNRestarts=3\n\
                    AmbientCapabilities=\nCapabilityBoundingSet=cap_net_raw cap_net_admin\nLimitNOFILE=64\nProtectHome=yes\n\
                    ReadOnlyPaths=/var/log/pingtest\nEnvironment=A=b LOGS_DIRECTORY=/var/log/other\n";
        let closed = |path: &str, by, is_hidden| Closed { path: path.into(), by, is_hidden };
        let expected = Unit {
            name: "pingtest.service".into(),
            load: "loaded".into(),
            active: "failed".into(),
            sub: "failed".into(),
            file: "enabled".into(),
            result: "exit-code".into(),
            ended: "exit code 78".into(),
            restarts: 3,
            user: "pingtest".into(),
            net_raw: false,
            net_admin: false,
            descriptors: Some(64),
            told: [Some("/var/log/other".into()), None, Some("/run/pingtest".into())],
            watchdog: "30s".into(),
            directories: ["/var/log/pingtest", "/run/pingtest", "/run/a"].map(PathBuf::from).into(),
            is_strict: true,
            writable: ["/data", "/b"].map(PathBuf::from).into(),
            closed: vec![
                closed("/home", "ProtectHome", true),
                closed("/root", "ProtectHome", true),
                closed("/run/user", "ProtectHome", true),
                closed("/var/log/pingtest", "ReadOnlyPaths", false),
            ],
            misplaced: Vec::new(),
        };
        assert_eq!(parsed("pingtest.service", text), expected);
        let granted = "User=a\nAmbientCapabilities=cap_net_raw\nCapabilityBoundingSet=cap_net_raw\n";
        assert!(parsed("", granted).net_raw && !parsed("", granted).net_admin);
        assert!(parsed("", "CapabilityBoundingSet=cap_net_raw\n").net_raw, "of root no ambient ones are asked");
    }

    #[test]
    fn an_instance_is_known_by_its_configuration() {
        for (config, unit) in [
            ("/etc/pingtest/pingtest.toml", "pingtest.service"),
            ("/etc/pingtest/office.toml", "pingtest@office.service"),
            ("/srv/office.toml", "pingtest.service"),
            ("office.toml", "pingtest.service"),
        ] {
            assert_eq!(unit_of(Path::new(config)), unit, "{config}");
        }
    }

    #[test]
    fn offsets_of_a_time_namespace_are_read() {
        assert_eq!(
            offsets("monotonic           1000         0\nboottime              -5         0\n"),
            Some((1000, -5))
        );
        assert_eq!(offsets(""), None);
    }
}
