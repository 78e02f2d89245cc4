//! Diagnostics: what the program has to say about itself, on standard error, never the lines of the log.
//!
//! `RUST_LOG` chooses the level (`info` by default). The loop's thread never comes here: it sends its notices to the main thread.

use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;
use tracing_subscriber::fmt::time::ChronoLocal;

/// Lines that may wait to be read; more than a human would want to.
const WAITING: usize = 1024;

/// Keeps diagnostics going; what was said last is written when it is dropped, within a second or so.
pub type Guard = WorkerGuard;

/// Starts diagnostics on standard error. Under systemd the journal stamps each line itself. They are written by a thread of their
/// own, and dropped where nobody reads them: neither a full pipe nor a stopped terminal may hold up whoever says something.
pub fn start() -> Guard {
    let (stderr, guard) = NonBlockingBuilder::default().buffered_lines_limit(WAITING).finish(io::stderr());
    // surge-ping speaks on the loop's thread, when it opens a socket.
    let quiet = [Directive::from_str("surge_ping=off").ok()];
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = quiet.into_iter().flatten().fold(filter, EnvFilter::add_directive);
    let to_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(stderr)
        // It would tell standard error that standard error cannot be written, and panic.
        .log_internal_errors(false);
    // A second start, as in a test, changes nothing.
    let _ = if to_journal {
        builder.without_time().try_init()
    } else {
        builder.with_timer(ChronoLocal::new("%F %T%.3f".into())).try_init()
    };
    guard
}
