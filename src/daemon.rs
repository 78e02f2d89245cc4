//! The composition: which part is made of what, who talks to whom, in which order everything starts, reloads and ends.
//!
//! It decides nothing about probes. `pingtest run` and `pingtest ping` are built here from the same parts.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedSender};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

use crate::clock;
use crate::config::{self, Diagnostics, Environment, Format, Layout, Log, Problems, Settings};
use crate::control::{self, Order, Refusal, Server, Snapshot};
use crate::driver::{self, Command, Flushed, Notice, Outlet, Pause, Running, Secrets, Setup};
use crate::icmp::engine;
use crate::icmp::socket::{Kind, OpenError, Socket};
use crate::logging;
use crate::memory;
use crate::monitor::finding::Finding;
use crate::monitor::record::Record;
use crate::monitor::target::{IpVersion, Name, Target};
use crate::monitor::time::Wall;
use crate::monitor::{self, Lookup, Monitor, SocketKey, Start};
use crate::resolve::Resolver;
use crate::sink::file::{self, Control, Keeping, Limits, Output, Place, Queue, Why, Writer};
use crate::sink::line::{self, Labels, StampFormat, Style};
use crate::sink::rotation::{Packing, Rotate};

/// From the order to stop to the end of the process at the latest, whatever hangs: less than the two seconds promised. The loop and
/// the log have half of it each.
const STOP_WITHIN: Duration = Duration::from_millis(1800);

/// How often it is looked whether the log's thread is still there.
const WATCH_LOG_EVERY: Duration = Duration::from_secs(1);

/// How often threads that are stopping are looked at.
const STOP_POLL: Duration = Duration::from_millis(2);

/// Notices that may wait for the main thread; more than a human can read.
const NOTICES: usize = 1024;

/// Descriptors for everything but log files: sockets, timers, the resolver's, standard streams.
const OTHER_DESCRIPTORS: u64 = 256;

/// Log files kept open at a time at most: ten thousand targets with room to spare.
const OPEN_FILES: u64 = 16_384;

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
    /// A socket option of the configuration needs a right that is missing.
    #[error(
        "not allowed to set an option of the configuration, {0}; a mark needs CAP_NET_ADMIN (or CAP_NET_RAW since Linux 5.17)"
    )]
    OptionNotPermitted(OpenError),
    /// The system gives no thread, timer, descriptor or random number.
    #[error("{0}")]
    System(#[from] io::Error),
    /// A part of the program ended without a word, or does not end: a bug.
    #[error("the {0} thread died or hangs; please report this as a bug")]
    Died(&'static str),
}

/// Runs the daemon until it is told to stop. Diagnostics go on until it returns: what it returns, nobody has been told.
///
/// # Errors
/// Why it could not start, or not go on.
pub fn run(config: &Path) -> Result<(), Error> {
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        // Before anything takes time: a reload asked for meanwhile must not kill.
        let signals = Signals { hang_up: signal(SignalKind::hangup())?, stop: StopSignals::new()? };
        let settings = config::load(config, &environment())?;
        memory::give_back();
        let file = settings.diagnostics.file.as_deref().map(logging::open).transpose()?;
        let _diagnostics = logging::start(settings.diagnostics.level, file);
        Daemon::start(config, settings, signals)?.run().await
    });
    // A reload that hangs on a dead file system must not keep the process.
    runtime.shutdown_background();
    ended
}

struct Daemon {
    config: PathBuf,
    log: Log,
    /// As they were started.
    diagnostics: Diagnostics,
    /// As it was started.
    control: config::Control,
    /// Ends with the daemon, and takes its socket with it.
    _server: Option<Server>,
    parts: Parts,
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
    fn start(config: &Path, settings: Settings, signals: Signals) -> Result<Self, Error> {
        let kind = permitted(&settings.targets)?;
        let (count, dir) = (settings.targets.len(), settings.log.dir.display().to_string());
        let parts = Parts::start(settings.targets, Start::Spread, &[output(&settings.log)], Tap::Daemon)?;
        info!("probing {count} targets through {kind} sockets, lines go to {dir}");
        let asking = Asking { commands: parts.commands.clone(), started: clock::now().wall };
        let (control, _server) = (settings.control.clone(), asking.listen(&settings.control));
        let (config, log, diagnostics) = (config.to_owned(), settings.log, settings.diagnostics);
        Ok(Self { config, log, diagnostics, control, _server, parts, signals, reload: None, reload_again: false })
    }

    async fn run(mut self) -> Result<(), Error> {
        let mut watch = tokio::time::interval(WATCH_LOG_EVERY);
        let ended = loop {
            tokio::select! {
                ended = &mut self.parts.driver.ended => break ended,
                Some(told) = self.parts.notices.recv() => tell(&told),
                _ = self.signals.hang_up.recv() => self.begin_reload(),
                settings = finished(&mut self.reload) => self.end_reload(settings),
                _ = watch.tick() => if self.parts.writer.is_finished() {
                    return Err(Error::Died("writing"));
                },
                signal = self.signals.stop.recv() => {
                    info!("stopping on {signal}");
                    return self.parts.stop().await.map(drop);
                }
            }
        };
        self.parts.log_ended().await;
        ended.map_err(|_| Error::Died("probing"))?.map_err(Error::System).and(Err(Error::Died("probing")))
    }

    /// Reads the configuration on a thread that may hang: on a dead file system, say. Probing and stopping go on meanwhile.
    fn begin_reload(&mut self) {
        if self.reload.is_some() {
            self.reload_again = true;
            return;
        }
        // Whatever the configuration says: somebody may have moved the files, and wait for them to be let go.
        self.parts.log.reopen();
        let (config, log, in_force) = (self.config.clone(), self.parts.log.clone(), self.log.clone());
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
                info!("configuration reloaded: {} targets", settings.targets.len());
                if settings.diagnostics != self.diagnostics {
                    warn!("[diagnostics] differs from what was started with: that takes effect at the next start");
                }
                if settings.control != self.control {
                    warn!("[control] differs from what was started with: that takes effect at the next start");
                }
                self.log = settings.log;
                // A loop that has ended is noticed in the next turn.
                let _ = self.parts.commands.send(Command::Targets(settings.targets));
            }
            Err(error) => {
                error!("not reloaded, the configuration in force stays:");
                error.to_string().lines().for_each(|line| error!("{line}"));
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

/// What comes in through the control socket, put to the loop.
struct Asking {
    commands: UnboundedSender<Command>,
    started: Wall,
}

impl Asking {
    /// Probing and writing go on without a socket.
    fn listen(self, wanted: &config::Control) -> Option<Server> {
        let path = wanted.socket.as_deref()?;
        let server = Server::start(path, wanted.group.as_deref(), self)
            .inspect_err(|error| warn!("no control socket, so that nobody can ask for the status: {error}"))
            .ok()?;
        if let Some(problem) = server.group_problem() {
            warn!("{problem}");
        }
        Some(server)
    }
}

impl control::Handler for Asking {
    async fn status(&self) -> Option<Snapshot> {
        let (answer, told) = oneshot::channel();
        self.commands.send(Command::Status(answer)).ok()?;
        let driver::Status { now, targets, strays } = told.await.ok()?;
        let (now, started) = (now.wall, self.started);
        Some(Snapshot { now, started, targets, strays, log: None, ledger: None, zone_name })
    }

    async fn order(&self, order: Order, target: Name) -> Result<(), Refusal> {
        let (answer, told) = oneshot::channel();
        let pause = match order {
            Order::Pause => Pause::Begin,
            Order::Resume => Pause::End,
        };
        self.commands.send(Command::Pause(target, pause, answer)).map_err(|_| Refusal::Stopping)?;
        let done = told.await.map_err(|_| Refusal::Stopping)?;
        done.map_err(|monitor::UnknownTarget| Refusal::UnknownTarget)
    }
}

/// The running parts: the loop, the resolver behind it, the log behind both.
pub(crate) struct Parts {
    pub(crate) driver: Running,
    pub(crate) commands: UnboundedSender<Command>,
    pub(crate) notices: Receiver<Told>,
    log: Control,
    writer: std::thread::JoinHandle<()>,
}

/// What reaches the main thread.
#[derive(Debug)]
pub(crate) enum Told {
    Driver(Notice),
    Log(file::Notice),
}

/// Who else sees the records on their way to the log.
pub(crate) enum Tap {
    /// Nobody.
    Daemon,
    /// `pingtest ping`'s summary.
    Ping(Box<dyn FnMut(&Record) + Send>),
}

impl Parts {
    pub(crate) fn start(targets: Vec<Arc<Target>>, start: Start, outputs: &[Output], tap: Tap) -> Result<Self, Error> {
        let limits = Limits { open_files: open_files(), waiting: Limits::WAITING };
        let (notices, told) = mpsc::channel(NOTICES);
        let log_notices = notices.clone();
        let writer = Writer::spawn(outputs, limits, zone_name, move |notice| {
            // Where the main thread is that far behind, one notice more or less tells nothing.
            let _ = log_notices.try_send(Told::Log(notice));
        })?;
        let (commands, orders) = mpsc::unbounded_channel();
        let outlet =
            Outbox { queue: writer.queue, notices, resolver: Resolver::new(), commands: commands.clone(), tap };
        let driver = driver::spawn(Setup { targets, start, secrets: secrets()?, commands: orders, outlet })?;
        Ok(Self { driver, commands, notices: told, log: writer.control, writer: writer.thread })
    }

    /// Stops everything within [`STOP_WITHIN`].
    ///
    /// # Errors
    /// [`Error::Died`] where the loop hangs, [`Error::System`] where it could not go on.
    pub(crate) async fn stop(&mut self) -> Result<Monitor, Error> {
        // A loop that has ended needs no order.
        let _ = self.commands.send(Command::Stop);
        let ended = tokio::time::timeout(STOP_WITHIN / 2, &mut self.driver.ended).await;
        self.log_ended().await;
        Ok(ended.map_err(|_| Error::Died("probing"))?.map_err(|_| Error::Died("probing"))??)
    }

    /// The loop has ended and dropped its end of the queue, so the log ends when all is written: waits for that, but not for ever.
    /// What the log could not write by then is lost and said to be.
    pub(crate) async fn log_ended(&mut self) {
        let written = async {
            while !self.writer.is_finished() {
                tokio::time::sleep(STOP_POLL).await;
            }
        };
        if tokio::time::timeout(STOP_WITHIN / 2, written).await.is_err() {
            if self.log.is_written() {
                warn!("the log is written, but the disk is slow to make sure of it");
            } else {
                error!("the log could not be written to its end; its last lines are lost");
            }
        }
        while let Ok(told) = self.notices.try_recv() {
            tell(&told);
        }
    }
}

/// The loop's outlet: each of its parts takes what it is given without making the loop wait.
struct Outbox {
    queue: Queue,
    notices: Sender<Told>,
    resolver: Resolver,
    commands: UnboundedSender<Command>,
    tap: Tap,
}

impl Outlet for Outbox {
    fn record(&mut self, record: Record) {
        match &mut self.tap {
            Tap::Daemon => {}
            Tap::Ping(see) => see(&record),
        }
        self.queue.push(record);
    }

    fn flush(&mut self) -> Flushed {
        if self.queue.flush() { Flushed::All } else { Flushed::SomeLeft }
    }

    fn finding(&mut self, _finding: Finding) {}

    fn notice(&mut self, notice: Notice) {
        // Where the main thread is that far behind, one notice more or less tells nothing.
        let _ = self.notices.try_send(Told::Driver(notice));
    }

    fn look_up(&mut self, lookup: Lookup) {
        let commands = self.commands.clone();
        self.resolver.look_up(lookup, move |target, found| {
            // A loop that has ended needs no answer.
            let _ = commands.send(Command::Resolved(target, found));
        });
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

/// Opens and closes a socket for each set of options, so that missing rights are told at the start and not once a second. What is
/// missing otherwise, an interface or an address, may come later. Must be called within a tokio runtime.
///
/// # Errors
/// [`Error::NotPermitted`] and [`Error::OptionNotPermitted`].
pub(crate) fn permitted(targets: &[Arc<Target>]) -> Result<&'static str, Error> {
    let plain = [IpVersion::V4, IpVersion::V6]
        .map(|version| open(SocketKey { version, options: Default::default(), variant: 0 }));
    if let Some(error) = plain.iter().filter_map(|opened| opened.as_ref().err()).find(|error| is_denial(error))
        && plain.iter().all(Result::is_err)
    {
        return Err(Error::NotPermitted(*error));
    }
    let mut options: Vec<_> = targets.iter().map(|target| &target.options).collect();
    options.sort();
    options.dedup();
    for options in options {
        let version = if options.source.is_some_and(|source| source.is_ipv6()) { IpVersion::V6 } else { IpVersion::V4 };
        if let Err(error) = open(SocketKey { version, options: options.clone(), variant: 0 })
            && is_denial(&error)
        {
            return Err(Error::OptionNotPermitted(error));
        }
    }
    Ok(match plain.into_iter().flatten().next() {
        Some(Kind::Raw) => "raw",
        Some(Kind::Datagram) | None => "datagram",
    })
}

fn open(key: SocketKey) -> Result<Kind, OpenError> {
    /// Nothing will be received.
    const BUFFER: usize = 4096;
    Socket::open(&key, 0, BUFFER).map(|socket| socket.kind())
}

fn is_denial(error: &OpenError) -> bool {
    matches!(error.errno, Errno::EPERM | Errno::EACCES)
}

fn secrets() -> io::Result<Secrets> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let [high, low, key @ ..] = bytes;
    Ok(Secrets { key, ident: u16::from_be_bytes([high, low]) })
}

fn zone_name(index: u32) -> Option<Arc<str>> {
    nix::net::if_::if_indextoname(index).ok().and_then(|name| name.to_str().ok().map(Into::into))
}

/// As many files as the limits allow: the soft limit on descriptors is raised to the hard one, as systemd.exec(5) recommends to
/// programs that do not use select(2).
fn open_files() -> NonZeroUsize {
    let (mut soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        soft = hard;
    }
    let files = soft.saturating_sub(OTHER_DESCRIPTORS).clamp(1, OPEN_FILES);
    usize::try_from(files).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN)
}

fn output(log: &Log) -> Output {
    let (layout, labels) = match log.layout {
        Layout::PerTarget => (file::Layout::PerTarget, Labels::None),
        Layout::Combined => (file::Layout::Combined("pingtest".into()), Labels::Bracketed),
    };
    let place = Place::Directory { dir: log.dir.clone(), layout, keeping: keeping(log) };
    let format = match log.format {
        Format::Text => line::Format::Text,
        Format::Json => line::Format::Json,
    };
    // The configuration has checked it; were its rule ever laxer than the log's, the default would do.
    let stamp = StampFormat::new(&log.time_format).unwrap_or_default();
    Output { place, style: Style { format, stamp, labels } }
}

fn keeping(log: &Log) -> Keeping {
    Keeping {
        rotate: match log.rotate {
            config::Rotate::Hourly => Rotate::Hourly,
            config::Rotate::Daily => Rotate::Daily,
            config::Rotate::Weekly => Rotate::Weekly,
            config::Rotate::Never => Rotate::Never,
        },
        max_size: log.max_size,
        keep: log.keep,
        max_total: log.max_total,
        packing: match log.compress {
            config::Compress::Zstd => Packing::Zstd,
            config::Compress::Gzip => Packing::Gzip,
            config::Compress::Uncompressed => Packing::Plain,
        },
        sync: log.sync,
    }
}

/// Says on standard error what a part had to tell.
pub(crate) fn tell(told: &Told) {
    match told {
        Told::Driver(Notice::Monitor(notice)) => tell_of_monitor(notice),
        Told::Driver(Notice::Engine(notice)) => tell_of_engine(notice),
        Told::Log(notice) => tell_of_log(notice),
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
