//! The composition: which part is made of what, who talks to whom, in which order everything starts, reloads and ends.
//!
//! It decides nothing about probes. `pingtest run` and `pingtest ping` are built from the same `parts`; what these have to tell is put
//! into words in `tell`, and what users ask of the running daemon comes in through `asking`.

mod asking;
mod parts;
mod pulse;
mod rights;
mod service;
mod tell;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use self::asking::{Asking, Condition};
use self::parts::output;
pub(crate) use self::parts::{Parts, Tap, Told, files_within};
use self::pulse::Pulse;
pub(crate) use self::rights::{fit_here, permitted};
use self::service::Service;
pub(crate) use self::tell::tell;
use crate::clock;
use crate::config::{self, Environment, Problems, Settings};
use crate::control::Server;
use crate::counted::counted;
use crate::driver::Command;
use crate::icmp::socket::OpenError;
use crate::logging::{self, event};
use crate::memory;
use crate::monitor::Start;
use crate::sink::file;
use crate::stall::{self, Part};
use crate::systemd::watchdog::Feed;
use crate::systemd::{self, Notifier};

/// How often it is looked whether the log's thread is still there.
const WATCH_LOG_EVERY: Duration = Duration::from_secs(1);

/// What it took to start is no longer needed after so many looks: by then each target has been heard of for the first time.
const STARTED_AFTER: u32 = 10;

/// What a start that is told to stop may still take to end in order.
const START_ENDS_WITHIN: Duration = Duration::from_millis(100);

/// Why the program could not start, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is not fit for use.
    #[error("{0}")]
    Config(#[from] Problems),
    /// A file of the log cannot be used.
    #[error("{0}")]
    Log(#[from] file::Error),
    /// The file for diagnostics cannot be used.
    #[error("{0}")]
    Diagnostics(#[from] logging::Error),
    /// Neither kind of ICMP socket may be opened.
    #[error(
        "not allowed to open ICMP sockets ({0}). Either of these helps:\n  \
         - give the program CAP_NET_RAW: setcap cap_net_raw+ep /usr/bin/pingtest, or AmbientCapabilities=CAP_NET_RAW in its unit\n  \
         - let its group use datagram ICMP sockets: sysctl -w net.ipv4.ping_group_range=\"0 2147483647\""
    )]
    NotPermitted(OpenError),
    /// There is neither kind of ICMP socket, of either version.
    #[error(
        "neither IPv4 nor IPv6 can be used here ({0}): the kernel lacks them, or RestrictAddressFamilies= of the unit leaves out both \
         AF_INET and AF_INET6"
    )]
    NoProtocol(OpenError),
    /// A socket option of the configuration needs a right that is missing.
    #[error(
        "not allowed to set an option of the configuration, {0}; a mark needs CAP_NET_ADMIN (or CAP_NET_RAW since Linux 5.17)"
    )]
    OptionNotPermitted(OpenError),
    /// The system gives no thread, timer, descriptor or random number.
    #[error("{error}{remedy}", error = .0, remedy = remedy(.0))]
    System(#[from] io::Error),
    /// A part of the program ended without a word, or does not end: a bug.
    #[error("the {0} thread died or hangs; please report this as a bug")]
    Died(&'static str),
}

/// What to do about it, for whoever is told of it.
fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE) => "; raise the limit on open files: LimitNOFILE= in the unit, ulimit -n in a shell",
        Some(_) | None => "",
    }
}

/// Runs the daemon until it is told to stop. Diagnostics go on until it returns: what it returns, nobody has been told.
///
/// # Errors
/// Why it could not start, or not go on.
pub fn run(config: &Path) -> Result<(), Error> {
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        // Before anything takes time: a reload asked for meanwhile must not kill.
        let mut signals = Signals { hang_up: signal(SignalKind::hangup())?, stop: StopSignals::new()? };
        // Caught once, it never kills: a limit on the size of files is an error of write(2) then, as a full disk is.
        let _too_large = signal(SignalKind::from_raw(libc::SIGXFSZ))?;
        stall::begin();
        let notifier =
            Notifier::from_environment(|error| warn!("the service manager cannot be told how it is: {error}"))?;
        let path = config.to_owned();
        let (settings, file) = match begun(&mut signals.stop, &notifier, move || read(&path)).await? {
            Begun::All(read) => read,
            Begun::Stopped(signal, _) => {
                notifier.stopping(&stopping_on(signal));
                return Ok(());
            }
        };
        let _diagnostics = logging::start(settings.diagnostics.level, file);
        match begun(&mut signals.stop, &notifier, || Started::new(settings)).await? {
            Begun::All(started) => Daemon::new(config, started, signals, notifier).run().await,
            Begun::Stopped(signal, start) => {
                info!(PINGTEST_EVENT = event::STOPPING, "stopping on {signal}, before the start was over");
                notifier.stopping(&stopping_on(signal));
                end(start).await
            }
        }
    });
    // A start or a reload that hangs on a dead file system must not keep the process.
    runtime.shutdown_background();
    ended
}

/// The configuration, and the file for diagnostics that it names.
fn read(config: &Path) -> Result<(Settings, Option<File>), Error> {
    let settings = config::load(config, &environment())?;
    memory::give_back();
    let file = settings.diagnostics.file.as_deref().map(logging::open).transpose()?;
    Ok((settings, file))
}

/// How far a part of the start has come.
enum Begun<T> {
    All(T),
    /// This signal came first. The work goes on.
    Stopped(&'static str, JoinHandle<Result<T, Error>>),
}

/// Does a part of the start on a thread that may hang, on a disk say, and listens for an order to stop meanwhile. Where it fails, the
/// service manager hears why.
async fn begun<T: Send + 'static>(
    stop: &mut StopSignals,
    notifier: &Notifier,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<Begun<T>, Error> {
    let mut work = tokio::task::spawn_blocking(work);
    let done = tokio::select! {
        biased;
        done = &mut work => done.unwrap_or(Err(Error::Died("starting"))),
        signal = stop.recv() => return Ok(Begun::Stopped(signal, work)),
    };
    if let Err(error) = &done {
        notifier.failed(&format!("not started: {}", error.to_string().lines().next().unwrap_or_default()));
    }
    done.map(Begun::All)
}

/// Ends a start that was under way. One that is over in a moment may have sent probes, which the log is to tell of.
async fn end(start: JoinHandle<Result<Started, Error>>) -> Result<(), Error> {
    match tokio::time::timeout(START_ENDS_WITHIN, start).await {
        Ok(Ok(Ok(mut started))) => started.parts.stop().await.map(drop),
        // Nothing was begun, or nothing that is ever going to be told.
        Ok(Ok(Err(_)) | Err(_)) | Err(_) => Ok(()),
    }
}

fn stopping_on(signal: &str) -> String {
    format!("stopping on {signal}")
}

/// What a start makes on a thread that may wait: for a disk, for the ledger above all.
struct Started {
    /// Without the targets.
    settings: Settings,
    parts: Parts,
}

impl Started {
    /// Must be called within a tokio runtime.
    fn new(mut settings: Settings) -> Result<Self, Error> {
        let kind = permitted(&settings.targets)?;
        let targets = std::mem::take(&mut settings.targets);
        let (count, dir) = (targets.len(), settings.log.dir.display().to_string());
        let tap = Tap::Daemon { ledger: settings.ledger.clone(), hooks: settings.hooks.clone() };
        let parts = Parts::start(targets, Start::Spread, &[output(&settings.log)], tap)?;
        info!(
            PINGTEST_EVENT = event::STARTED,
            "probing {} through {kind} sockets, lines go to {dir}",
            counted(count, "target")
        );
        Ok(Self { settings, parts })
    }
}

struct Daemon {
    config: PathBuf,
    /// Without the targets. Of what takes effect at a start only: as it was started.
    in_force: Settings,
    /// Ends with the daemon, and takes its socket with it.
    _server: Option<Server>,
    condition: Condition,
    parts: Parts,
    service: Service,
    pulse: Option<Pulse>,
    signals: Signals,
    reload: Option<JoinHandle<Result<Settings, Error>>>,
    /// Another reload was asked for while one is under way.
    reload_again: bool,
}

struct Signals {
    hang_up: Signal,
    stop: StopSignals,
}

impl Daemon {
    fn new(config: &Path, started: Started, signals: Signals, notifier: Notifier) -> Self {
        let Started { settings: in_force, parts } = started;
        let condition = Condition::default();
        let asking =
            Asking { commands: parts.commands.clone(), started: clock::now().wall, condition: condition.clone() };
        let (config, _server) = (config.to_owned(), asking.listen(&in_force.control));
        let watchdog = systemd::watchdog_time().filter(|_| notifier.is_heard());
        let pulse = watchdog.map(|time| Pulse::new(time, parts.commands.clone(), parts.log().clone()));
        let service = Service::new(notifier, parts.commands.clone(), condition.clone());
        let (reload, reload_again) = (None, false);
        Self { config, in_force, _server, condition, parts, service, pulse, signals, reload, reload_again }
    }

    async fn run(mut self) -> Result<(), Error> {
        let (mut watch, mut looks) = (tokio::time::interval(WATCH_LOG_EVERY), 0_u32);
        let ended = loop {
            tokio::select! {
                ended = &mut self.parts.driver.ended => break ended,
                Some(told) = self.parts.notices.recv() => {
                    self.condition.hear(&told);
                    self.service.hear(&told);
                    tell(&told);
                }
                _ = self.signals.hang_up.recv() => self.begin_reload(),
                settings = finished(&mut self.reload) => self.end_reload(settings),
                tally = self.service.figures() => self.service.handle_figures(&tally),
                () = Pulse::due(&mut self.pulse) => self.beat(),
                _ = watch.tick() => {
                    stall::here(Part::Main);
                    self.service.look();
                    looks = looks.saturating_add(1);
                    if looks == STARTED_AFTER {
                        memory::give_back();
                    }
                    self.parts.notices.tell_untold();
                    if self.parts.has_log_ended() {
                        return Err(Error::Died("writing"));
                    }
                }
                signal = self.signals.stop.recv() => {
                    info!(PINGTEST_EVENT = event::STOPPING, "stopping on {signal}");
                    self.service.handle_stop(signal);
                    return self.parts.stop().await.map(drop);
                }
            }
        };
        self.parts.ended().await;
        ended.map_err(|_| Error::Died("probing"))?.map_err(Error::System).and(Err(Error::Died("probing")))
    }

    /// Feeds systemd's watchdog where everything got on: this thread by being here.
    fn beat(&mut self) {
        stall::here(Part::Main);
        match self.pulse.as_mut().map(Pulse::beat) {
            Some(Feed::Now) => self.service.feed_watchdog(),
            Some(Feed::NotYet) | None => {}
        }
    }

    /// Reads the configuration on a thread that may hang: on a dead file system, say. Probing and stopping go on meanwhile.
    fn begin_reload(&mut self) {
        if self.reload.is_some() {
            self.reload_again = true;
            return;
        }
        self.service.handle_reload();
        // Whatever the configuration says: somebody may have moved the files, and wait for them to be let go.
        self.parts.log().reopen();
        let (config, log, in_force) = (self.config.clone(), self.parts.log().clone(), self.in_force.log.clone());
        self.reload = Some(tokio::task::spawn_blocking(move || {
            let settings = config::load(&config, &environment())?;
            memory::give_back();
            permitted(&settings.targets)?;
            if settings.log != in_force {
                log.replace(&[output(&settings.log)])?;
            }
            Ok(settings)
        }));
    }

    /// A configuration that is wrong, or that this process may not use, changes nothing.
    fn end_reload(&mut self, settings: Result<Settings, Error>) {
        match settings {
            Ok(settings) => {
                let count = settings.targets.len();
                info!(
                    PINGTEST_EVENT = event::RELOADED,
                    PINGTEST_COUNT = count,
                    "configuration reloaded: {}",
                    counted(count, "target")
                );
                let Settings { targets, log, diagnostics, ledger, control, hooks, files: _ } = settings;
                let at_a_start = [
                    ("diagnostics", diagnostics != self.in_force.diagnostics),
                    ("ledger", ledger != self.in_force.ledger),
                    ("control", control != self.in_force.control),
                ];
                for (table, _) in at_a_start.iter().filter(|(_, differs)| *differs) {
                    warn!("[{table}] differs from what was started with: that takes effect at the next start");
                }
                self.parts.replace_hooks(&hooks);
                (self.in_force.log, self.in_force.hooks) = (log, hooks);
                // A loop that has ended is noticed in the next turn.
                let _ = self.parts.commands.send(Command::Targets(targets));
                self.service.handle_reloaded(Ok(()));
            }
            Err(error) => {
                self.service.handle_reloaded(Err(&error));
                error!(
                    PINGTEST_EVENT = event::RELOAD_FAILED,
                    PINGTEST_ERROR = %error,
                    PINGTEST_PATH = %self.config.display(),
                    "not reloaded, the configuration in force stays:\n{error}"
                );
            }
        }
        if std::mem::take(&mut self.reload_again) {
            self.begin_reload();
        }
    }
}

/// Waits for the end of a reload; for ever where none is under way. Cancel safe.
async fn finished(reload: &mut Option<JoinHandle<Result<Settings, Error>>>) -> Result<Settings, Error> {
    let Some(under_way) = reload else { return std::future::pending().await };
    let settings = under_way.await;
    *reload = None;
    settings.unwrap_or(Err(Error::Died("reloading")))
}

/// SIGTERM and SIGINT.
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for either. Cancel safe.
    pub(crate) async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

pub(crate) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()
}

pub(crate) fn environment() -> Environment {
    Environment {
        logs_directory: std::env::var_os("LOGS_DIRECTORY"),
        state_directory: std::env::var_os("STATE_DIRECTORY"),
        runtime_directory: std::env::var_os("RUNTIME_DIRECTORY"),
    }
}
