//! What the parts have to tell their operator: in words, and in fields for the journal.
//!
//! A field means what the variable of the same name means to a hook. Text of others is made fit where it is written.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Local, SecondsFormat};
use tracing::{debug, error, info, warn};

use super::parts::{Told, zone_name};
use crate::counted::{counted, either};
use crate::driver::Notice;
use crate::hook;
use crate::icmp::engine;
use crate::ledger;
use crate::logging::event;
use crate::monitor;
use crate::monitor::finding::{Finding, FirstReply, What};
use crate::monitor::outage::{Outage, State};
use crate::monitor::target::{Addr, Target};
use crate::monitor::time::Wall;
use crate::printable::printable;
use crate::sink::file::{self, Why};

/// Says what a part had to tell.
pub(crate) fn tell(told: &Told) {
    match told {
        Told::Driver(Notice::Monitor(notice)) => tell_of_monitor(notice),
        Told::Driver(Notice::Engine(notice)) => tell_of_engine(notice),
        Told::Found(finding) => tell_of_finding(finding),
        Told::Log(notice) => tell_of_log(notice),
        Told::Ledger(notice) => tell_of_ledger(notice),
        Told::Hook(notice) => tell_of_hook(notice),
    }
}

/// Says something of the target of a finding: `say!(level: finding, word, [more fields], message)`.
macro_rules! say {
    ($level:ident: $finding:expr, $word:expr, [$($field:ident = $value:expr),*], $($message:tt)+) => {
        $level!(
            PINGTEST_EVENT = $word,
            PINGTEST_TARGET = $finding.target.name.as_str(),
            PINGTEST_HOST = $finding.target.host.to_string(),
            PINGTEST_ADDR = $finding.addr.map(address),
            $($field = $value,)*
            $($message)+
        )
    };
}

fn tell_of_finding(finding: &Finding) {
    let name = &finding.target.name;
    match &finding.what {
        What::OutageBegan(outage) => tell_of_outage(finding, outage),
        What::OutageEnded(outage) => tell_of_end(finding, outage),
        What::FirstReply(first) => tell_of_first_reply(finding, first),
        What::StateChanged { to: State::Degraded, .. } => {
            say!(warn: finding, event::DEGRADED_BEGAN, [], "{name}: degraded");
        }
        What::StateChanged { from: State::Degraded, to } => {
            say!(info: finding, event::DEGRADED_ENDED, [PINGTEST_NEW = to.word()], "{name}: degraded no more, {to}");
        }
        What::StateChanged { to: State::Paused, .. } => say!(info: finding, event::PAUSED, [], "{name}: paused"),
        What::StateChanged { from: State::Paused, .. } => {
            say!(info: finding, event::RESUMED, [], "{name}: probed again");
        }
        What::AddressChanged { old, new } => {
            let (host, old, new) = (&finding.target.host, address(*old), address(*new));
            say!(info: finding, event::ADDRESS_CHANGED, [PINGTEST_OLD = old, PINGTEST_NEW = new],
                "{name}: {host} is {new}, was {old}");
        }
        What::StateChanged { .. }
        | What::Watched
        | What::Unwatched
        | What::OutageAmended(_)
        | What::GapBegan { .. }
        | What::GapEnded { .. } => {}
    }
}

fn tell_of_outage(finding: &Finding, outage: &Outage) {
    let (name, began) = (&finding.target.name, outage.began.at);
    say!(warn: finding, event::OUTAGE_BEGAN, [
            PINGTEST_BEGAN = rfc3339(began),
            PINGTEST_CAUSE = outage.cause.word(),
            PINGTEST_ERROR = outage.cause.detail(),
            PINGTEST_FROM = outage.cause.from().map(address),
            PINGTEST_LOST = outage.lost,
            PINGTEST_FRAGMENTS = outage.fragments
        ], "{name}: down since {}, {}", time(began), why(outage));
}

fn tell_of_end(finding: &Finding, outage: &Outage) {
    let name = &finding.target.name;
    let behind = match outage.behind {
        0 => String::new(),
        1 => ", and 1 other behind it".to_owned(),
        others => format!(", and {others} others behind it"),
    };
    say!(info: finding, event::OUTAGE_ENDED, [
            PINGTEST_BEGAN = rfc3339(outage.began.at),
            PINGTEST_ENDED = outage.ended.map(|ended| rfc3339(ended.at)),
            PINGTEST_LASTED_USEC = microseconds(outage.lasted),
            PINGTEST_UNMEASURED_USEC = microseconds(outage.unmeasured),
            PINGTEST_CAUSE = outage.cause.word(),
            PINGTEST_ERROR = outage.cause.detail(),
            PINGTEST_FROM = outage.cause.from().map(address),
            PINGTEST_LOST = outage.lost,
            PINGTEST_BEHIND = outage.behind,
            PINGTEST_FRAGMENTS = outage.fragments
        ], "{name}: up again, was down for {:.3} s{behind}", outage.lasted.as_secs_f64());
}

fn tell_of_first_reply(finding: &Finding, FirstReply { after, lost, .. }: &FirstReply) {
    let name = &finding.target.name;
    let losses = either(*lost, "loss", "losses");
    say!(info: finding, event::FIRST_REPLY, [PINGTEST_AFTER_USEC = microseconds(*after), PINGTEST_LOST = lost],
        "{name}: up, answered for the first time after {:.3} s and {lost} {losses}", after.as_secs_f64());
}

fn why(outage: &Outage) -> String {
    let detail = outage.cause.detail().map_or(String::new(), |detail| format!(": {}", printable(&detail)));
    format!("{}{detail}", outage.cause.word().replace('_', " "))
}

fn time(at: Wall) -> String {
    DateTime::from_timestamp_nanos(at.as_nanos()).with_timezone(&Local).format("%F %T%.3f").to_string()
}

/// Microseconds and a numeric offset, as hooks are told.
fn rfc3339(at: Wall) -> String {
    let at = DateTime::from_timestamp_nanos(at.as_nanos()).with_timezone(&Local);
    at.to_rfc3339_opts(SecondsFormat::Micros, false)
}

pub(super) fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A link-local address with its zone, by name where it has one.
fn address(Addr { ip, scope }: Addr) -> String {
    match scope {
        0 => ip.to_string(),
        scope => format!("{ip}%{}", zone_name(scope).unwrap_or_else(|| scope.to_string().into())),
    }
}

fn tell_of_ledger(notice: &ledger::Notice) {
    use ledger::Notice;
    match notice {
        Notice::Failed { error } => error!(
            PINGTEST_EVENT = event::LEDGER_FAILED,
            PINGTEST_ERROR = %error,
            "the ledger cannot be written: {error}; it is tried again"
        ),
        Notice::Recovered { path, given_up } => info!(
            PINGTEST_EVENT = event::LEDGER_RECOVERED,
            PINGTEST_PATH = %path.display(),
            PINGTEST_FINDINGS = given_up.findings,
            PINGTEST_PROBES = given_up.probes,
            "the ledger {} is written again{}",
            path.display(),
            missing(given_up)
        ),
        Notice::TakenAway { path } => error!(
            PINGTEST_EVENT = event::LEDGER_TAKEN_AWAY,
            PINGTEST_PATH = %path.display(),
            "the ledger {} was moved or deleted by somebody else; what is there now is gone on with, and what was in it may be missing",
            path.display()
        ),
        Notice::SetAside { to, error } => error!(
            PINGTEST_EVENT = event::LEDGER_SET_ASIDE,
            PINGTEST_PATH = %to.display(),
            PINGTEST_ERROR = %error,
            "the ledger was broken ({error}); it was moved to {}, and a new one is begun",
            to.display()
        ),
        Notice::Behind { path, dropped } => error!(
            PINGTEST_EVENT = event::LEDGER_BEHIND,
            PINGTEST_PATH = %path.display(),
            PINGTEST_FINDINGS = dropped.findings,
            PINGTEST_PROBES = dropped.probes,
            "the ledger {} is too slow for what it is given{}",
            path.display(),
            missing(dropped)
        ),
        Notice::Abandoned { path, given_up } => error!(
            PINGTEST_EVENT = event::LEDGER_ABANDONED,
            PINGTEST_PATH = %path.display(),
            PINGTEST_FINDINGS = given_up.findings,
            PINGTEST_PROBES = given_up.probes,
            "the ledger {} was not written to its end{}",
            path.display(),
            missing(given_up)
        ),
    }
}

fn missing(dropped: &ledger::Dropped) -> String {
    let (findings, probes) = (counted(dropped.findings, "finding"), counted(dropped.probes, "probe"));
    format!("; {findings} and the counts of {probes} are missing in it")
}

fn tell_of_hook(notice: &hook::Notice) {
    use hook::Notice;
    match notice {
        Notice::Failed { hook, event, target, failure, .. } => warn!(
            PINGTEST_EVENT = event::HOOK_FAILED,
            PINGTEST_TARGET = target.as_str(),
            PINGTEST_HOOK = hook,
            PINGTEST_HOOK_EVENT = event.word(),
            PINGTEST_ERROR = %failure,
            "{notice}"
        ),
        Notice::Recovered { hook, .. } => {
            info!(PINGTEST_EVENT = event::HOOK_RECOVERED, PINGTEST_HOOK = hook, "{notice}");
        }
        Notice::Missed { hook, count } => {
            warn!(PINGTEST_EVENT = event::HOOK_MISSED, PINGTEST_HOOK = hook, PINGTEST_COUNT = count, "{notice}");
        }
        Notice::Abandoned { hook, count } => {
            warn!(PINGTEST_EVENT = event::HOOK_ABANDONED, PINGTEST_HOOK = hook, PINGTEST_COUNT = count, "{notice}");
        }
    }
}

fn tell_of_monitor(notice: &monitor::Notice) {
    use monitor::Notice;
    match notice {
        Notice::NotResolved { target, error } => warn!(
            PINGTEST_EVENT = event::NOT_RESOLVED,
            PINGTEST_TARGET = target.name.as_str(),
            PINGTEST_HOST = target.host.to_string(),
            PINGTEST_ERROR = &**error,
            "{}: {}: {error}",
            target.name,
            target.host
        ),
        Notice::Resolved { target, addr } => tell_of_address(target, *addr),
        Notice::ClockSetForward(by) => {
            let (seconds, by) = (by.as_secs_f64(), microseconds(*by));
            warn!(
                PINGTEST_EVENT = event::CLOCK_SET,
                PINGTEST_FORWARD_USEC = by,
                "the clock was set forward by {seconds:.3} s"
            );
        }
        Notice::ClockSetBack(by) => {
            let (seconds, by) = (by.as_secs_f64(), microseconds(*by));
            warn!(
                PINGTEST_EVENT = event::CLOCK_SET,
                PINGTEST_BACK_USEC = by,
                "the clock was set back by {seconds:.3} s"
            );
        }
        Notice::Suspended(time) => warn!(
            PINGTEST_EVENT = event::SUSPENDED,
            PINGTEST_LASTED_USEC = microseconds(*time),
            "the system was suspended for {:.1} s",
            time.as_secs_f64()
        ),
        Notice::TooManyTargets(target) => error!(
            PINGTEST_EVENT = event::TOO_MANY_TARGETS,
            PINGTEST_TARGET = target.name.as_str(),
            PINGTEST_HOST = target.host.to_string(),
            "{}: left out, there are too many targets",
            target.name
        ),
    }
}

fn tell_of_address(target: &Target, addr: Addr) {
    info!(
        PINGTEST_EVENT = event::RESOLVED,
        PINGTEST_TARGET = target.name.as_str(),
        PINGTEST_HOST = target.host.to_string(),
        PINGTEST_ADDR = address(addr),
        "{}: {} is {}",
        target.name,
        target.host,
        addr.ip
    );
}

fn tell_of_engine(notice: &engine::Notice) {
    use engine::Notice;
    match notice {
        Notice::NotOpened(key, error) => {
            warn!(PINGTEST_EVENT = event::SOCKET_FAILED, PINGTEST_ERROR = %error, "no socket for {key}: {error}");
        }
        Notice::Reopened(key) => info!(PINGTEST_EVENT = event::SOCKET_REOPENED, "socket for {key} opened anew"),
        Notice::SmallBuffer { replies, wanted } => warn!(
            PINGTEST_EVENT = event::SMALL_BUFFER,
            "the receive buffer has room for {replies} of the {wanted} replies that it should hold, those of half a second: raise net.core.rmem_max, \
             or replies may be dropped here in a stall (they would be called not measured)"
        ),
        Notice::Dropped(count) => warn!(
            PINGTEST_EVENT = event::PACKETS_DROPPED,
            PINGTEST_COUNT = count,
            "{} {} dropped here, most likely because a receive buffer was full",
            counted(*count, "packet"),
            either(*count, "was", "were")
        ),
    }
}

/// Says something of a file: `say_of!(level: word, path, [more fields], message)`.
macro_rules! say_of {
    ($level:ident: $word:expr, $path:expr, [$($field:ident = $value:expr),*], $($message:tt)+) => {
        $level!(PINGTEST_EVENT = $word, PINGTEST_PATH = %$path.display(), $($field = $value,)* $($message)+)
    };
}

fn tell_of_log(notice: &file::Notice) {
    use file::Notice;
    match notice {
        Notice::Failed { path, error } => tell_of_failure(event::LOG_FAILED, "write", path, error),
        Notice::NotRotated { path, error } => tell_of_failure(event::LOG_NOT_ROTATED, "rotate", path, error),
        Notice::NotPacked { path, error } => tell_of_failure(event::LOG_NOT_PACKED, "compress", path, error),
        Notice::NotDeleted { path, error } => tell_of_failure(event::LOG_NOT_DELETED, "delete", path, error),
        Notice::Recovered { path, not_written } => {
            say_of!(info: event::LOG_RECOVERED, path, [PINGTEST_LINES = not_written],
                "{} is written again, {}", path.display(), lost(*not_written));
        }
        Notice::Abandoned { path, not_written } => {
            say_of!(error: event::LOG_ABANDONED, path, [PINGTEST_LINES = not_written],
                "{} was given up, {}", path.display(), lost(*not_written));
        }
        Notice::Replaced { path, files, saved } => {
            let what =
                if *saved > 0 { format!(", with the last {} written", counted(*saved, "byte")) } else { String::new() };
            say_of!(info: event::LOG_REPLACED, path, [PINGTEST_FILES = files, PINGTEST_BYTES = saved],
                "moved or deleted by somebody else, and made anew{what}: {}{}", path.display(), others(*files));
        }
        Notice::NotSynced { path, files, error } => {
            say_of!(error: event::LOG_NOT_SYNCED, path, [PINGTEST_FILES = files, PINGTEST_ERROR = error.to_string()],
                "cannot sync {}{}: {error}; what was written last may be lost", path.display(), others(*files));
        }
        Notice::Unlisted { dir, files } => {
            say_of!(warn: event::LOG_UNLISTED, dir, [PINGTEST_FILES = files],
                "{} in {} {} called like rotated logs, but not rotated here: left alone",
                counted(*files, "file"), dir.display(), either(*files, "is", "are"));
        }
        Notice::Deleted { paths, bytes, why } => tell_of_deletion(paths, *bytes, *why),
        Notice::StdoutClosed => debug!("nobody reads standard output any more"),
    }
}

fn tell_of_failure(word: &str, what: &str, path: &Path, error: &io::Error) {
    say_of!(error: word, path, [PINGTEST_ERROR = error.to_string()], "cannot {what} {}: {error}", path.display());
}

fn others(files: usize) -> String {
    if files > 1 { format!(" and {}", counted(files - 1, "other file")) } else { String::new() }
}

/// `1 line is lost`, `2 lines are lost`
fn lost(lines: u64) -> String {
    format!("{} {} lost", counted(lines, "line"), either(lines, "is", "are"))
}

/// Names what was deleted, some in a line: at midnight ten thousand files may have had their time.
fn tell_of_deletion(paths: &[PathBuf], bytes: u64, why: Why) {
    /// Names in a line.
    const NAMES: usize = 50;
    let why = match why {
        Why::Number(keep) => format!("keep = {keep}"),
        Why::Total(max) => format!("max_total, {}", counted(max, "byte")),
        Why::DiskFull => "the disk is full".to_owned(),
    };
    let dir = paths.first().and_then(|path| path.parent()).unwrap_or(Path::new(""));
    for some in paths.chunks(NAMES) {
        let names = some.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy());
        let names = names.collect::<Vec<_>>().join(", ");
        say_of!(info: event::LOG_DELETED, dir, [PINGTEST_FILES = paths.len(), PINGTEST_BYTES = bytes],
            "deleted from {} ({why}; {} in {}): {names}", dir.display(), counted(bytes, "byte"), counted(paths.len(), "file"));
    }
}
