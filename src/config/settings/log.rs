//! What `[log]` and `[diagnostics]` settle: where lines go, what they look like and how long they are kept.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::Level;

use crate::config::error::Problem;
use crate::config::file;
use crate::config::reader::{Field, Written};
use crate::config::value::{self, MIN_MAX_SIZE, bytes_spelled};
use crate::config::{Environment, first};

/// The directory for log files where neither `log.dir` nor systemd says.
pub const DEFAULT_LOG_DIR: &str = "/var/log/pingtest";
/// Time stamps where nobody says: local time to the millisecond, one word for awk.
pub const DEFAULT_TIME_FORMAT: &str = "%F_%H:%M:%S%.3f";
/// Bytes of a live file where nobody says: more than a day of ten lines a second, so that only a busy file is cut within its
/// day, and as much as an editor still opens.
pub const DEFAULT_MAX_SIZE: u64 = 100 << 20;
/// Rotated files of each live file where nobody says: with a file a day, a month.
pub const DEFAULT_KEEP: u32 = 30;
/// Bytes of all files together where nobody says: what the smallest disk of a server can spare.
pub const DEFAULT_MAX_TOTAL: u64 = 10 << 30;
/// How much is said of the program where nobody says.
pub const DEFAULT_LEVEL: Level = Level::INFO;

/// Of a budget below [`DEFAULT_MAX_SIZE`] a file gets this part: room for the live file, rotated ones and one being compressed.
const FILES_IN_A_SMALL_BUDGET: u64 = 10;

/// Where and how records are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The directory.
    pub dir: PathBuf,
    /// Which record goes to which file.
    pub layout: Layout,
    /// What a line looks like.
    pub format: Format,
    /// `rfc3339`, `unix` or a strftime format that chrono knows, in local time; for [`Format::Text`].
    pub time_format: String,
    /// When a live file is rotated whatever its size.
    pub rotate: Rotate,
    /// Bytes of a live file at which it is rotated whatever the time; `None` sets no limit.
    pub max_size: Option<NonZeroU64>,
    /// Rotated files kept of each live file; `None` keeps all.
    pub keep: Option<NonZeroU32>,
    /// Bytes of all files of the directory together, at least `max_size`; `None` sets no limit.
    pub max_total: Option<NonZeroU64>,
    /// What becomes of a rotated file.
    pub compress: Compress,
    /// Time between two orders to the disk to keep what was written (fdatasync(2)); `None` leaves that to the system.
    pub sync: Option<Duration>,
}

/// Which record goes to which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// A file for each target: `DIR/NAME.log`.
    PerTarget,
    /// One file for all: `DIR/pingtest.log`.
    Combined,
}

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// ping(8)'s wording after a time stamp.
    Text,
    /// One JSON object a line.
    Json,
}

/// When a live file is rotated whatever its size, in local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rotate {
    /// At every full hour.
    Hourly,
    /// At midnight.
    Daily,
    /// At midnight before a Monday.
    Weekly,
    /// Not by the time.
    Never,
}

/// What becomes of a rotated file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compress {
    /// It is compressed as zstd(1) does.
    Zstd,
    /// It is compressed as gzip(1) does.
    Gzip,
    /// It stays as it is.
    Uncompressed,
}

/// What the program says of itself beside the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    /// A file that has it as well as standard error.
    pub file: Option<PathBuf>,
    /// How much is said.
    pub level: Level,
}

/// The log as settled from `[log]` and the environment.
pub(crate) fn log(written: file::Log, environment: &Environment, problems: &mut Vec<Problem>) -> Log {
    let dir = written.dir.check(|text| value::directory(&text), problems);
    let layout = written.layout.check(|text| layout(&text), problems);
    let format = written.format.check(|text| format(&text), problems);
    let time_format = written.time_format.check(|text| value::time_format(&text), problems);
    let rotate = written.rotate.check(|text| rotate(&text), problems);
    let max_size = written.max_size.check(|text| value::max_size(&text), problems);
    let keep = written.keep.check(value::keep, problems);
    let max_total = written.max_total.check(|text| value::max_total(&text), problems);
    let compress = written.compress.check(|text| compress(&text), problems);
    let sync = written.sync.check(|text| value::sync(&text), problems);
    problems.extend(budget_problem(&max_size, &max_total));
    let max_total = max_total.value().copied().unwrap_or(NonZeroU64::new(DEFAULT_MAX_TOTAL));
    let default_dir = || first(environment.logs_directory.as_ref()).unwrap_or_else(|| DEFAULT_LOG_DIR.into());
    Log {
        dir: dir.value().cloned().unwrap_or_else(default_dir),
        layout: layout.value().copied().unwrap_or(Layout::PerTarget),
        format: format.value().copied().unwrap_or(Format::Text),
        time_format: time_format.value().cloned().unwrap_or_else(|| DEFAULT_TIME_FORMAT.into()),
        rotate: rotate.value().copied().unwrap_or(Rotate::Daily),
        max_size: max_size.value().copied().unwrap_or_else(|| default_max_size(max_total)),
        keep: keep.value().copied().unwrap_or(NonZeroU32::new(DEFAULT_KEEP)),
        max_total,
        compress: compress.value().copied().unwrap_or(Compress::Zstd),
        sync: sync.value().copied().unwrap_or(None),
    }
}

/// [`DEFAULT_MAX_SIZE`], or less where the budget is smaller than that.
fn default_max_size(max_total: Option<NonZeroU64>) -> Option<NonZeroU64> {
    NonZeroU64::new(match max_total {
        Some(total) if total.get() < DEFAULT_MAX_SIZE => (total.get() / FILES_IN_A_SMALL_BUDGET).max(MIN_MAX_SIZE),
        Some(_) | None => DEFAULT_MAX_SIZE,
    })
}

/// A budget smaller than one file. Told where the user wrote one of the two, and of the budget where both are written.
fn budget_problem(max_size: &Field<Option<NonZeroU64>>, max_total: &Field<Option<NonZeroU64>>) -> Option<Problem> {
    let size = max_size.written()?;
    let limit = size.value?.get();
    match max_total {
        Field::Set(Written { value: Some(total), place }) if total.get() < limit => {
            Some(place.problem(format!("must be at least {}", size.place.quoted())))
        }
        Field::Unset if DEFAULT_MAX_TOTAL < limit => {
            let total = bytes_spelled(DEFAULT_MAX_TOTAL);
            let reason = format!("must be at most log.max_total, which is \"{total}\" unless written");
            Some(size.place.problem(reason))
        }
        Field::Set(_) | Field::Unset | Field::Refused => None,
    }
}

fn layout(text: &str) -> value::Result<Layout> {
    match text {
        "per-target" => Ok(Layout::PerTarget),
        "combined" => Ok(Layout::Combined),
        _ => value::refuse(r#"must be "per-target" or "combined""#),
    }
}

fn format(text: &str) -> value::Result<Format> {
    match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => value::refuse(r#"must be "text" or "json""#),
    }
}

fn rotate(text: &str) -> value::Result<Rotate> {
    match text {
        "hourly" => Ok(Rotate::Hourly),
        "daily" => Ok(Rotate::Daily),
        "weekly" => Ok(Rotate::Weekly),
        "never" => Ok(Rotate::Never),
        _ => value::refuse(r#"must be "hourly", "daily", "weekly" or "never""#),
    }
}

fn compress(text: &str) -> value::Result<Compress> {
    match text {
        "zstd" => Ok(Compress::Zstd),
        "gzip" => Ok(Compress::Gzip),
        "none" => Ok(Compress::Uncompressed),
        _ => value::refuse(r#"must be "zstd", "gzip" or "none""#),
    }
}

/// Diagnostics as settled from `[diagnostics]`, beside a log in `log_dir`.
pub(crate) fn diagnostics(written: file::Diagnostics, log_dir: &Path, problems: &mut Vec<Problem>) -> Diagnostics {
    let rule = |text: String| {
        let path = value::file(&text)?;
        not_among_logs(&path, log_dir, ".txt")?;
        Ok(path)
    };
    let file = written.file.check(rule, problems);
    let level = written.level.check(|text| level(&text), problems);
    Diagnostics { file: file.into_value(), level: level.value().copied().unwrap_or(DEFAULT_LEVEL) }
}

/// Refuses a path, as it is written, that a live or rotated file of a log in `log_dir` might have. `ending` is one that would do.
pub(super) fn not_among_logs(path: &Path, log_dir: &Path, ending: &str) -> value::Result<()> {
    if is_among_logs(path, log_dir) {
        return value::refuse(format!(
            "must not be among the logs, where it would be taken for one: give it another ending, such as \"{ending}\", or another directory"
        ));
    }
    Ok(())
}

/// Whether a path, as it is written, is one that a live or rotated file of a log in `dir` might have.
fn is_among_logs(path: &Path, dir: &Path) -> bool {
    let plain = |path: &Path| -> PathBuf { path.strip_prefix(".").unwrap_or(path).components().collect() };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let like_a_log = [".log", ".log.zst", ".log.gz"].iter().any(|ending| name.ends_with(ending));
    like_a_log && path.parent().is_some_and(|parent| plain(parent) == plain(dir))
}

fn level(text: &str) -> value::Result<Level> {
    match text {
        "error" => Ok(Level::ERROR),
        "warn" => Ok(Level::WARN),
        "info" => Ok(Level::INFO),
        "debug" => Ok(Level::DEBUG),
        "trace" => Ok(Level::TRACE),
        _ => value::refuse(r#"must be "error", "warn", "info", "debug" or "trace""#),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(path: &str, dir: &str) -> bool {
        is_among_logs(Path::new(path), Path::new(dir))
    }

    #[test]
    fn a_file_named_like_a_log_may_not_lie_in_the_directory_of_the_logs() {
        for path in ["log/a.log", "./log/a.log", "log/./a.log", "log//a-2026-11-22.log.zst", "log/a.log.gz", "log/.log"]
        {
            assert!(is_refused(path, "log") && is_refused(path, "./log/"), "{path}");
        }
        assert!(is_refused("a.log", ".") && is_refused("./a.log", "."));
        assert!(is_refused("/var/log/pingtest/a.log", DEFAULT_LOG_DIR));
        for path in ["a.log", "log/a.txt", "log/a.log.txt", "log/own/a.log", "/log/a.log"] {
            assert!(!is_refused(path, "log"), "{path}");
        }
    }

    #[test]
    fn a_small_budget_lowers_the_default_size_of_a_file() {
        let size = |total| default_max_size(NonZeroU64::new(total)).map(NonZeroU64::get);
        assert_eq!(size(0), Some(DEFAULT_MAX_SIZE));
        assert_eq!(size(DEFAULT_MAX_SIZE), Some(DEFAULT_MAX_SIZE));
        assert_eq!(size(DEFAULT_MAX_SIZE - 1), Some(DEFAULT_MAX_SIZE / 10 - 1));
        assert_eq!(size(value::MIN_MAX_TOTAL), Some(64 * 1024 / 10));
        assert_eq!(size(1), Some(MIN_MAX_SIZE));
    }
}
