//! What the parts have to tell their operator, in words.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Local};
use tracing::{debug, error, info, warn};

use super::parts::Told;
use crate::driver::Notice;
use crate::hook;
use crate::icmp::engine;
use crate::ledger;
use crate::monitor;
use crate::monitor::finding::{Finding, FirstReply, What};
use crate::monitor::outage::{Outage, State};
use crate::monitor::time::Wall;
use crate::printable::printable;
use crate::sink::file::{self, Why};

/// Says on standard error what a part had to tell.
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

fn tell_of_finding(Finding { target, what, .. }: &Finding) {
    let name = &target.name;
    match what {
        What::OutageBegan(outage) => warn!("{name}: down since {}, {}", time(outage.began.at), why(outage)),
        What::OutageEnded(outage) => {
            let behind = match outage.behind {
                0 => String::new(),
                1 => ", and 1 other behind it".to_owned(),
                others => format!(", and {others} others behind it"),
            };
            info!("{name}: up again, was down for {:.3} s{behind}", outage.lasted.as_secs_f64());
        }
        What::FirstReply(FirstReply { after, lost, .. }) => {
            let losses = if *lost == 1 { "loss" } else { "losses" };
            info!("{name}: up, answered for the first time after {:.3} s and {lost} {losses}", after.as_secs_f64());
        }
        What::StateChanged { to: State::Degraded, .. } => warn!("{name}: degraded"),
        What::StateChanged { from: State::Degraded, to } => info!("{name}: degraded no more, {to}"),
        What::StateChanged { to: State::Paused, .. } => info!("{name}: paused"),
        What::StateChanged { from: State::Paused, .. } => info!("{name}: probed again"),
        What::StateChanged { .. }
        | What::Watched
        | What::Unwatched
        | What::OutageAmended(_)
        | What::AddressChanged { .. }
        | What::GapBegan { .. }
        | What::GapEnded { .. } => {}
    }
}

fn why(outage: &Outage) -> String {
    let detail = outage.cause.detail().map_or(String::new(), |detail| format!(": {}", printable(&detail)));
    format!("{}{detail}", outage.cause.word().replace('_', " "))
}

fn time(at: Wall) -> String {
    DateTime::from_timestamp_nanos(at.as_nanos()).with_timezone(&Local).format("%F %T%.3f").to_string()
}

fn tell_of_ledger(notice: &ledger::Notice) {
    use ledger::Notice;
    match notice {
        Notice::Failed { error } => error!("the ledger cannot be written: {error}; it is tried again"),
        Notice::Recovered { path, given_up } => {
            info!("the ledger {} is written again{}", path.display(), missing(given_up));
        }
        Notice::TakenAway { path } => error!(
            "the ledger {} was moved or deleted by somebody else; what is there now is gone on with, and what was in it may be missing",
            path.display()
        ),
        Notice::SetAside { to, error } => {
            error!("the ledger was broken ({error}); it was moved to {}, and a new one is begun", to.display());
        }
        Notice::Behind { path, dropped } => {
            error!("the ledger {} is too slow for what it is given{}", path.display(), missing(dropped));
        }
        Notice::Abandoned { path, given_up } => {
            error!("the ledger {} was not written to its end{}", path.display(), missing(given_up));
        }
    }
}

fn missing(dropped: &ledger::Dropped) -> String {
    format!("; {} findings and the counts of {} probes are missing in it", dropped.findings, dropped.probes)
}

fn tell_of_hook(notice: &hook::Notice) {
    match notice {
        hook::Notice::Recovered { .. } => info!("{notice}"),
        hook::Notice::Failed { .. } | hook::Notice::Missed { .. } | hook::Notice::Abandoned { .. } => warn!("{notice}"),
    }
}

fn tell_of_monitor(notice: &monitor::Notice) {
    use monitor::Notice;
    match notice {
        Notice::NotResolved { target, error } => warn!("{}: {}: {error}", target.name, target.host),
        Notice::Resolved { target, addr } => info!("{}: {} is {}", target.name, target.host, addr.ip),
        Notice::ClockSetForward(by) => warn!("the clock was set forward by {:.3} s", by.as_secs_f64()),
        Notice::ClockSetBack(by) => warn!("the clock was set back by {:.3} s", by.as_secs_f64()),
        Notice::Suspended(time) => warn!("the system was suspended for {:.1} s", time.as_secs_f64()),
        Notice::TooManyTargets(target) => error!("{}: left out, there are too many targets", target.name),
    }
}

fn tell_of_engine(notice: &engine::Notice) {
    use engine::Notice;
    match notice {
        Notice::NotOpened(key, error) => warn!("no socket for {key}: {error}"),
        Notice::Reopened(key) => info!("socket for {key} opened anew"),
        Notice::SmallBuffer { replies, wanted } => warn!(
            "the receive buffer holds {replies} replies and should hold {wanted}, those of half a second: raise net.core.rmem_max, \
             or replies may be dropped here in a stall (they would be called not measured)"
        ),
        Notice::Dropped(count) => {
            warn!("{count} packets were dropped here, most likely because a receive buffer was full")
        }
    }
}

fn tell_of_log(notice: &file::Notice) {
    use file::Notice;
    match notice {
        Notice::Failed { path, error } => error!("cannot write {}: {error}", path.display()),
        Notice::Recovered { path, not_written } => {
            info!("{} is written again, {not_written} lines are lost", path.display())
        }
        Notice::Abandoned { path, not_written } => {
            error!("{} was given up, {not_written} lines are lost", path.display())
        }
        Notice::Replaced { path, files, saved } => {
            let saved = if *saved > 0 { format!(", with the last {saved} bytes written") } else { String::new() };
            let others = if *files > 1 { format!(" and {} other files", files - 1) } else { String::new() };
            info!("moved or deleted by somebody else, and made anew{saved}: {}{others}", path.display())
        }
        Notice::NotRotated { path, error } => error!("cannot rotate {}: {error}", path.display()),
        Notice::NotPacked { path, error } => error!("cannot compress {}: {error}", path.display()),
        Notice::NotDeleted { path, error } => error!("cannot delete {}: {error}", path.display()),
        Notice::NotSynced { path, files, error } => {
            let others = if *files > 1 { format!(" and {} other files", files - 1) } else { String::new() };
            error!("cannot sync {}{others}: {error}; what was written last may be lost", path.display())
        }
        Notice::Unlisted { dir, files } => warn!(
            "{files} files in {} are called like rotated logs, but were not rotated here: they are left alone",
            dir.display()
        ),
        Notice::Deleted { paths, bytes, why } => tell_of_deletion(paths, *bytes, *why),
        Notice::StdoutClosed => debug!("nobody reads standard output any more"),
    }
}

/// Names what was deleted, some in a line: at midnight ten thousand files may have had their time.
fn tell_of_deletion(paths: &[PathBuf], bytes: u64, why: Why) {
    /// Names in a line.
    const NAMES: usize = 50;
    let why = match why {
        Why::Number(keep) => format!("keep = {keep}"),
        Why::Total(max) => format!("max_total, {max} bytes"),
        Why::DiskFull => "the disk is full".to_owned(),
    };
    let dir = paths.first().and_then(|path| path.parent()).unwrap_or(Path::new("")).display();
    for some in paths.chunks(NAMES) {
        let names = some.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy());
        let names = names.collect::<Vec<_>>().join(", ");
        info!("deleted from {dir} ({why}; {bytes} bytes in {} files): {names}", paths.len());
    }
}
