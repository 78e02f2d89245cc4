//! The running parts: the loop, the resolver behind it, the log, the ledger and the hooks behind all of them; and how they end.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedSender};
use tracing::{error, warn};

use super::Error;
use super::tell::tell;
use crate::clock;
use crate::config::{self, Format, Layout, Log};
use crate::driver::{self, Command, Flushed, Notice, Outlet, Proof, Running, Secrets, Setup};
use crate::hook::{self, Hooks, Patience, Stopped};
use crate::ledger::{self, Ledger};
use crate::logging::event;
use crate::monitor::finding::{Finding, What};
use crate::monitor::outage::State;
use crate::monitor::record::Record;
use crate::monitor::target::Target;
use crate::monitor::time::Wall;
use crate::monitor::{Lookup, Monitor, Start};
use crate::resolve::Resolver;
use crate::sink::file::{self, Control, Keeping, Limits, Output, Place, Queue, Writer};
use crate::sink::line::{self, Labels, StampFormat, Style};
use crate::sink::rotation::{Packing, Rotate};

/// From the order to stop to the end of the process at the latest, whatever hangs: less than the two seconds promised. The loop has
/// half of it, and what is behind the loop the other half.
const STOP_WITHIN: Duration = Duration::from_millis(1800);

/// How often threads that are stopping are looked at.
const STOP_POLL: Duration = Duration::from_millis(2);

/// Notices that may wait for the main thread; more than a human can read.
const NOTICES: usize = 1024;

/// Findings among them: a storm of outages leaves room for what the writers have to tell.
const NEWS: usize = NOTICES / 2;

/// Descriptors for everything but log files: sockets, timers, the resolver's, the ledger's, hooks, standard streams.
const OTHER_DESCRIPTORS: u64 = 256;

/// Log files kept open at a time at most: ten thousand targets with room to spare.
const OPEN_FILES: u64 = 16_384;

/// The running parts.
pub(crate) struct Parts {
    pub(crate) driver: Running,
    pub(crate) commands: UnboundedSender<Command>,
    pub(crate) notices: Notices,
    log: Control,
    writer: JoinHandle<()>,
    ledger: Option<JoinHandle<()>>,
    hooks: Option<Hooks>,
}

/// What there is to tell.
pub(crate) struct Notices {
    told: Receiver<Told>,
    news: Arc<News>,
}

impl Notices {
    /// The next thing to be told. Cancel safe.
    pub(crate) async fn recv(&mut self) -> Option<Told> {
        let told = self.told.recv().await;
        if let Some(Told::Found(_)) = told {
            self.news.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        told
    }

    /// Says how much was found out that could not be told, since this was called last.
    pub(crate) fn tell_untold(&self) {
        let untold = self.news.untold.swap(0, Ordering::Relaxed);
        if untold > 0 {
            warn!(
                PINGTEST_EVENT = event::FINDINGS_UNTOLD,
                PINGTEST_COUNT = untold,
                "{untold} more outages, ends of outages, first replies and changes of address are not named here; the log has them"
            );
        }
    }
}

/// How much was found out that the main thread was too busy to tell. Ledger and hooks have it.
#[derive(Debug, Default)]
struct News {
    /// Findings that wait for it.
    waiting: AtomicUsize,
    untold: AtomicU64,
}

/// What reaches the main thread.
#[derive(Debug)]
pub(crate) enum Told {
    Driver(Notice),
    Found(Finding),
    Log(file::Notice),
    Ledger(ledger::Notice),
    Hook(hook::Notice),
}

/// Who else sees what the loop hands out.
pub(crate) enum Tap {
    /// The ledger and the hooks of the daemon.
    Daemon {
        /// What is remembered.
        ledger: config::Ledger,
        /// Who is told.
        hooks: Vec<config::Hook>,
    },
    /// `pingtest ping`'s summary.
    Ping(Box<dyn FnMut(&Record) + Send>),
}

/// A tap that is open.
enum Open {
    Daemon { ledger: Option<ledger::Queue>, hooks: hook::Queue },
    Ping(Box<dyn FnMut(&Record) + Send>),
}

impl Parts {
    pub(crate) fn start(targets: Vec<Arc<Target>>, start: Start, outputs: &[Output], tap: Tap) -> Result<Self, Error> {
        let limits = Limits { open_files: open_files(), waiting: Limits::WAITING };
        let (notices, told) = mpsc::channel(NOTICES);
        let writer = Writer::spawn(outputs, limits, zone_name, telling(&notices, Told::Log))?;
        let (mut carried, mut ledger, mut hooks) = (Vec::new(), None, None);
        let tap = match tap {
            Tap::Ping(see) => Open::Ping(see),
            Tap::Daemon { ledger: wanted, hooks: told } => {
                let opened = open_ledger(&wanted, &targets, writer.control.clone(), &notices)?;
                let queue = opened.map(|opened| {
                    (carried, ledger) = (opened.carried, Some(opened.thread));
                    opened.queue
                });
                let telling = telling(&notices, Told::Hook);
                let (running, hook_queue) = Hooks::spawn(&told, Patience::default(), zone_name, telling)?;
                hooks = Some(running);
                Open::Daemon { ledger: queue, hooks: hook_queue }
            }
        };
        let (commands, orders) = mpsc::unbounded_channel();
        let news = Arc::new(News::default());
        let outlet = Outbox {
            queue: writer.queue,
            notices,
            news: Arc::clone(&news),
            resolver: Resolver::new(),
            commands: commands.clone(),
            tap,
        };
        let setup = Setup { targets, carried, start, secrets: secrets()?, commands: orders, outlet };
        let driver = driver::spawn(setup)?;
        let notices = Notices { told, news };
        Ok(Self { driver, commands, notices, log: writer.control, writer: writer.thread, ledger, hooks })
    }

    /// What writes the log, to be told of a change.
    pub(crate) fn log(&self) -> &Control {
        &self.log
    }

    /// Whether nobody writes the log any more.
    pub(crate) fn has_log_ended(&self) -> bool {
        self.writer.is_finished()
    }

    /// These hooks hold from here on.
    pub(crate) fn replace_hooks(&mut self, hooks: &[config::Hook]) {
        if let Some(running) = &mut self.hooks
            && let Err(error) = running.replace(hooks)
        {
            error!("the hooks in force stay: {error}");
        }
    }

    /// Stops everything within [`STOP_WITHIN`].
    ///
    /// # Errors
    /// [`Error::Died`] where the loop hangs, [`Error::System`] where it could not go on.
    pub(crate) async fn stop(&mut self) -> Result<Monitor, Error> {
        // A loop that has ended needs no order.
        let _ = self.commands.send(Command::Stop);
        let ended = tokio::time::timeout(STOP_WITHIN / 2, &mut self.driver.ended).await;
        self.ended().await;
        Ok(ended.map_err(|_| Error::Died("probing"))?.map_err(|_| Error::Died("probing"))??)
    }

    /// The loop has ended and dropped its ends of all queues, so that who is behind them ends when all is written and told: waits for
    /// that, but not for ever. What was not written by then is lost and said to be.
    pub(crate) async fn ended(&mut self) {
        let hooks = self.hooks.take().map(|hooks| tokio::task::spawn_blocking(|| hooks.stop(STOP_WITHIN / 2)));
        let (log, ledger, ()) =
            tokio::join!(end_in_time(Some(&self.writer)), end_in_time(self.ledger.as_ref()), async {
                if let Some(Ok(Stopped::SomeHang)) = joined(hooks).await {
                    warn!("a hook does not end");
                }
            });
        match (log, self.log.is_written()) {
            (InTime::Yes, _) => {}
            (InTime::No, true) => warn!("the log is written, but the disk is slow to make sure of it"),
            (InTime::No, false) => error!(
                PINGTEST_EVENT = event::LOG_ABANDONED,
                "the log could not be written to its end; its last lines are lost"
            ),
        }
        match ledger {
            InTime::Yes => {}
            InTime::No => error!(
                PINGTEST_EVENT = event::LEDGER_ABANDONED,
                "the ledger could not be written to its end; what was found out last is not in it"
            ),
        }
        while let Ok(told) = self.notices.told.try_recv() {
            tell(&told);
        }
    }
}

/// Whether a thread ended while it was waited for.
enum InTime {
    Yes,
    No,
}

async fn end_in_time(thread: Option<&JoinHandle<()>>) -> InTime {
    let ended = async {
        while thread.is_some_and(|thread| !thread.is_finished()) {
            tokio::time::sleep(STOP_POLL).await;
        }
    };
    tokio::time::timeout(STOP_WITHIN / 2, ended).await.map_or(InTime::No, |()| InTime::Yes)
}

async fn joined<T>(task: Option<tokio::task::JoinHandle<T>>) -> Option<Result<T, tokio::task::JoinError>> {
    match task {
        Some(task) => Some(task.await),
        None => None,
    }
}

/// What passes a part's notices on to the main thread.
fn telling<T>(notices: &Sender<Told>, told: fn(T) -> Told) -> impl Fn(T) + Send + Sync + use<T> {
    let notices = notices.clone();
    move |notice| {
        // Where the main thread is that far behind, one notice more or less tells nothing.
        let _ = notices.try_send(told(notice));
    }
}

fn open_ledger(
    wanted: &config::Ledger,
    targets: &[Arc<Target>],
    log: Control,
    notices: &Sender<Told>,
) -> Result<Option<Ledger>, Error> {
    let Some(path) = wanted.path.clone() else { return Ok(None) };
    let settings = ledger::Settings { path, keep_minutes: wanted.keep_minutes, version: env!("CARGO_PKG_VERSION") };
    let configured: Vec<_> = targets.iter().map(|target| target.label()).collect();
    let (clock, is_logged) = (|| clock::now().wall, move || log.is_written());
    let opened = Ledger::spawn(settings, &configured, clock, is_logged, telling(notices, Told::Ledger))?;
    Ok(Some(opened))
}

/// The loop's outlet: each of its parts takes what it is given without making the loop wait.
struct Outbox {
    queue: Queue,
    notices: Sender<Told>,
    news: Arc<News>,
    resolver: Resolver,
    commands: UnboundedSender<Command>,
    tap: Open,
}

impl Outlet for Outbox {
    fn turned(&mut self, at: Wall) {
        match &self.tap {
            // What a log that hangs holds back may be lost with the process: it is not measured before there is a line of it.
            Open::Daemon { ledger: Some(ledger), .. } if self.queue.is_taken_from() => ledger.turned(at),
            Open::Daemon { .. } | Open::Ping(_) => {}
        }
    }

    fn record(&mut self, record: Record) {
        match &mut self.tap {
            Open::Daemon { ledger: Some(ledger), .. } => ledger.record(&record),
            Open::Daemon { ledger: None, .. } => {}
            Open::Ping(see) => see(&record),
        }
        self.queue.push(record);
    }

    fn mark(&mut self, mark: u64) {
        self.queue.mark(mark);
    }

    fn flush(&mut self) -> Flushed {
        match &mut self.tap {
            Open::Daemon { ledger: Some(ledger), .. } => ledger.flush(),
            Open::Daemon { ledger: None, .. } | Open::Ping(_) => {}
        }
        if self.queue.flush() { Flushed::All } else { Flushed::SomeLeft }
    }

    fn finding(&mut self, finding: Finding) {
        let Open::Daemon { ledger, hooks } = &mut self.tap else { return };
        hooks.finding(&finding);
        if is_news(&finding.what) {
            self.news.tell(&finding, &self.notices);
        }
        if let Some(ledger) = ledger {
            ledger.finding(finding);
        }
    }

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

impl News {
    /// Passes a finding on, unless so many wait that what the writers have to tell would find no room.
    fn tell(&self, finding: &Finding, notices: &Sender<Told>) {
        let has_room = self.waiting.load(Ordering::Relaxed) < NEWS;
        if has_room && notices.try_send(Told::Found(finding.clone())).is_ok() {
            self.waiting.fetch_add(1, Ordering::Relaxed);
        } else {
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whether the operator is told of it.
fn is_news(what: &What) -> bool {
    match what {
        What::OutageBegan(_) | What::OutageEnded(_) | What::FirstReply(_) | What::AddressChanged { .. } => true,
        What::StateChanged { from, to } => {
            [from, to].iter().any(|state| matches!(state, State::Degraded | State::Paused))
        }
        What::Watched | What::Unwatched | What::OutageAmended(_) | What::GapBegan { .. } | What::GapEnded { .. } => {
            false
        }
    }
}

fn secrets() -> io::Result<Secrets> {
    let (mut ident, mut key, mut proof) = ([0; 2], [0; 16], [0; Proof::TAG]);
    for random in [&mut ident[..], &mut key, &mut proof] {
        getrandom::fill(random).map_err(io::Error::other)?;
    }
    Ok(Secrets { key, ident: u16::from_be_bytes(ident), proof })
}

pub(super) fn zone_name(index: u32) -> Option<Arc<str>> {
    nix::net::if_::if_indextoname(index).ok().and_then(|name| name.to_str().ok().map(Into::into))
}

/// As many files as the limits allow: the soft limit on descriptors is raised to the hard one, as systemd.exec(5) recommends to
/// programs that do not use select(2).
fn open_files() -> NonZeroUsize {
    let (mut soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        soft = hard;
    }
    usize::try_from(files_within(soft)).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN)
}

/// Log files that are kept open at a time where so many descriptors are allowed.
pub(crate) fn files_within(descriptors: u64) -> u64 {
    descriptors.saturating_sub(OTHER_DESCRIPTORS).clamp(1, OPEN_FILES)
}

pub(super) fn output(log: &Log) -> Output {
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
