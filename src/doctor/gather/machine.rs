//! Looks at systemd, journald, clocks, and what kind of machine this is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::super::facts::{Clock, Machine, Unit};
use super::{PATIENCE, bounded};
use crate::clock::discipline::{Discipline, discipline};

/// There while systemd is PID 1 (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";
/// Where journald takes messages (systemd-journald.service(8)).
const JOURNAL: &str = "/run/systemd/journal/socket";
/// Directories that systemd makes, and above which they are (systemd.exec(5)).
const DIRECTORIES: [(&str, &str); 3] =
    [("LogsDirectory", "/var/log"), ("StateDirectory", "/var/lib"), ("RuntimeDirectory", "/run")];

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

/// What systemd says of the service; `None` where it does not run or does not answer.
pub(super) fn unit() -> Option<Unit> {
    if !Path::new(BOOTED).exists() {
        return None;
    }
    let shown = bounded(PATIENCE, || {
        let mut command = Command::new("systemctl");
        command.args(["--no-pager", "show", "pingtest.service"]).stdin(Stdio::null()).stderr(Stdio::null()).output()
    });
    let shown = shown?.ok().filter(|shown| shown.status.success())?;
    Some(parsed(&String::from_utf8_lossy(&shown.stdout)))
}

/// What `systemctl show` prints: `Key=Value` in each line.
fn parsed(text: &str) -> Unit {
    let value = |key: &str| {
        let found = text.lines().filter_map(|line| line.split_once('=')).find(|(found, _)| *found == key);
        found.map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    let directories = DIRECTORIES.iter().flat_map(|(key, above)| {
        value(key).split_whitespace().map(|dir| Path::new(above).join(dir)).collect::<Vec<PathBuf>>()
    });
    Unit {
        load: value("LoadState"),
        active: value("ActiveState"),
        file: value("UnitFileState"),
        result: value("Result"),
        user: value("User"),
        watchdog: value("WatchdogUSec"),
        directories: directories.collect(),
        is_strict: value("ProtectSystem") == "strict",
        // A path that need not be there has a "-" before it.
        writable: value("ReadWritePaths").split_whitespace().map(|path| path.trim_start_matches('-').into()).collect(),
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
                    ProtectSystem=strict\nReadWritePaths=-/data /b\n";
        let expected = Unit {
            load: "loaded".into(),
            active: "failed".into(),
            file: "enabled".into(),
            result: "exit-code".into(),
            user: "pingtest".into(),
            watchdog: "30s".into(),
            directories: ["/var/log/pingtest", "/run/pingtest", "/run/a"].map(PathBuf::from).into(),
            is_strict: true,
            writable: ["/data", "/b"].map(PathBuf::from).into(),
        };
        assert_eq!(parsed(text), expected);
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
