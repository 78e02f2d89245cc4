//! Arguments → what is to be done. One definition makes the parser, `--help`, the manual page and the completions.
//!
//! The letters of `ping` are those of iputils' ping(8). Values are held against the same rules as the configuration's.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::settings::{
    DEFAULT_INTERVAL, DEFAULT_LEVEL, DEFAULT_SIZE, DEFAULT_TIME_FORMAT, DEFAULT_TIMEOUT, default_resolve_every,
};
use crate::config::{self, value};
use crate::counted::counted;
use crate::daemon::{self, Error};
use crate::doctor;
use crate::limits;
use crate::log;
use crate::logging;
use crate::manual;
use crate::monitor::inflight::WAIT_AT_MOST;
use crate::monitor::target::{Addr, Family, Host, Interface, MIN_TIMEOUT, Name, SocketOptions, Target};
use crate::outages;
use crate::ping::{self, Outcome, Request};
use crate::sink::file::{Output, Place};
use crate::sink::line::{self, Format, Labels, StampFormat, Style};
use crate::status;

const DEFAULT_CONFIG: &str = "/etc/pingtest/pingtest.toml";

/// How often `--watch` asks where it is not told.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Bytes that are written at once.
const OUTPUT_BUFFER: usize = 64 * 1024;

/// Exit codes, after sysexits(3).
mod exit {
    pub(super) const SILENT: u8 = 1;
    pub(super) const UNFIT: u8 = 1;
    pub(super) const NOT_READ: u8 = 1;
    pub(super) const NOT_ASKED: u8 = 1;
    pub(super) const USAGE: u8 = 64;
    pub(super) const SOFTWARE: u8 = 70;
    pub(super) const NOT_PERMITTED: u8 = 77;
    pub(super) const CONFIG: u8 = 78;
}

/// Pings many hosts for as long as you like and writes a time-stamped line for every reply and every loss at once.
#[derive(Debug, Parser)]
#[command(name = "pingtest", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 ok, 1 a target of ping never answered, doctor found what would stop pingtest, a log or the ledger \
    cannot be read or the daemon does not do as asked, 64 wrong usage, 70 a bug, 77 not allowed to open ICMP sockets, 78 bad configuration."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    ///
    /// SIGHUP reloads the configuration: unchanged targets go on undisturbed, and a bad file changes nothing. SIGTERM and SIGINT
    /// stop within two seconds, every line written.
    Run(ConfigFile),
    /// Ping hosts without a configuration: lines to standard output, a summary at the end
    Ping(Box<PingArgs>),
    /// Read the configuration and print every problem in it
    ///
    /// With --here it is held against this machine as well: whether a daemon that this user starts may open its sockets and write its
    /// log. Nothing is made or taken, so that a daemon may run meanwhile. Exit codes are those of run.
    Check(CheckArgs),
    /// Tell what would stop pingtest on this machine, and what to do about it
    ///
    /// Configuration, rights, sockets, buffers, directories, disks, clocks, names, hooks, the service. It changes nothing and starts
    /// nothing. As root it judges for the user of the service. Exit code 0 where nothing would stop pingtest, 1 where something would.
    Doctor(DoctorArgs),
    /// Read the log of a target back
    ///
    /// From the live file and from rotated ones, packed or not, text or JSON. Times are local: "2026-11-20 03:00", 03:00, yesterday,
    /// -2h, @1763600000, RFC 3339 or as lines show them; --until also takes +2h, from --since on. Both bounds are included. The
    /// daemon need not run.
    Log(Box<LogArgs>),
    /// Ask the running daemon how its targets are, the worst first
    ///
    /// The daemon answers on its control socket, which its own user and the group of [control] may use. With --watch it is asked
    /// again and again until a signal ends it; the daemon may be restarted meanwhile. Colour is for terminals, unless NO_COLOR is
    /// set.
    Status(StatusArgs),
    /// Have the running daemon probe targets no more
    ///
    /// What is not probed is not measured, and is neither up nor down meanwhile.
    Pause(OrderArgs),
    /// Have the running daemon probe paused targets again
    Resume(OrderArgs),
    /// Tell of outages: when, how long, why, availability of the measured time, and what recurs
    ///
    /// From the ledger; the daemon need not run. Times are local, as log takes them. Without bounds all of the ledger is told.
    Outages(Box<OutagesArgs>),
    /// Print a manual page
    Man {
        /// Which page
        #[arg(value_enum, default_value = "pingtest")]
        page: manual::Page,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// Hold it against this machine as well, as this user
    #[arg(long)]
    here: bool,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Debug, Args)]
struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct LogArgs {
    /// The target; pingtest for all that share a file
    #[arg(value_parser = name)]
    name: String,
    /// From when
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Until when
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Only these outcomes, such as lost,late
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    outcome: Vec<line::Outcome>,
    /// Only the last N lines
    #[arg(long, short = 'n', value_name = "N")]
    lines: Option<usize>,
    /// Go on with lines as they come, over rotation
    #[arg(long, short)]
    follow: bool,
    /// Print JSON lines, whatever the log is written in
    #[arg(long)]
    json: bool,
    /// The configuration file, which tells where the log is
    #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Read this directory, without a configuration
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct StatusArgs {
    /// Only these targets; the plain name of one of both families means both
    #[arg(value_name = "TARGET", value_parser = name)]
    targets: Vec<String>,
    /// Print the daemon's answer as it is: one JSON object in a line
    #[arg(long)]
    json: bool,
    /// Ask again each second, or this often: seconds or with a unit (0.5, 500ms)
    #[arg(long, short, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = watch)]
    watch: Option<Watch>,
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// What follows `--watch`.
#[derive(Debug, Clone)]
enum Watch {
    Every(Duration),
    /// A target: the time was left out.
    Target(String),
}

#[derive(Debug, Args)]
struct OrderArgs {
    /// The targets; the plain name of one of both families means both
    #[arg(value_name = "TARGET", required = true, value_parser = name)]
    targets: Vec<String>,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Args)]
struct DaemonArgs {
    /// The configuration file, which tells where the daemon listens
    #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// The daemon's socket, without a configuration
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct OutagesArgs {
    /// From when
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Until when
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Only this target, and more of it
    #[arg(long, value_name = "NAME", value_parser = name)]
    target: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The configuration file, which tells where the ledger is
    #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Read this ledger, without a configuration
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    ledger: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct PingArgs {
    /// Addresses or names; @gateway is the next hop of the default route, @gateway%eth0 that of the one through eth0
    #[arg(value_name = "HOST", required = true, value_parser = host)]
    hosts: Vec<Host>,
    /// Stop after this many probes to each host
    #[arg(short = 'c', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Time between probes, seconds or with a unit (0.2, 200ms) [default: 1]
    #[arg(short = 'i', value_name = "INTERVAL", value_parser = interval)]
    interval: Option<Duration>,
    /// How long to wait for each reply, seconds or with a unit; may be longer than the interval [default: 2]
    #[arg(short = 'W', value_name = "TIMEOUT", value_parser = timeout)]
    timeout: Option<Duration>,
    /// Stop after this time, seconds or with a unit
    #[arg(short = 'w', value_name = "DEADLINE", value_parser = deadline)]
    deadline: Option<Duration>,
    /// Payload in bytes, 0 to 65500 [default: 56]
    #[arg(short = 's', value_name = "SIZE", value_parser = size)]
    size: Option<u16>,
    /// Use IPv4 only
    #[arg(short = '4', conflicts_with = "ipv6")]
    ipv4: bool,
    /// Use IPv6 only
    #[arg(short = '6')]
    ipv6: bool,
    /// Time to live, 1 to 255
    #[arg(short = 't', value_name = "TTL", value_parser = clap::value_parser!(u8).range(1..))]
    ttl: Option<u8>,
    /// Network interface to send through, or address to send from
    #[arg(short = 'I', value_name = "INTERFACE", value_parser = origin)]
    origin: Option<Origin>,
    /// Print time stamps; they are printed anyway
    #[arg(short = 'D')]
    stamps: bool,
    /// Print the summary only
    #[arg(short = 'q')]
    quiet: bool,
    /// Print JSON lines; the summary goes to standard error
    #[arg(long)]
    json: bool,
    /// Append the lines to a file as well
    #[arg(short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What `-I` names.
#[derive(Debug, Clone)]
enum Origin {
    Source(IpAddr),
    Interface(Interface),
}

/// Runs the program on its command line.
pub fn main() -> ExitCode {
    // What is said of a panic has been said by the time it gets here.
    std::panic::catch_unwind(run).unwrap_or(ExitCode::from(exit::SOFTWARE))
}

fn run() -> ExitCode {
    limits::remember();
    logging::mark_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    match cli.command {
        Command::Run(ConfigFile { config }) => concluded(daemon::run(&config)),
        Command::Ping(args) => {
            let _guard = logging::start(DEFAULT_LEVEL, None);
            ping(*args)
        }
        Command::Check(args) => check(args),
        Command::Doctor(args) => doctor(args),
        Command::Log(args) => log(*args),
        Command::Status(args) => show_status(args),
        Command::Pause(args) => order(status::Order::Pause, args),
        Command::Resume(args) => order(status::Order::Resume, args),
        Command::Outages(args) => outages(*args),
        Command::Man { page } => printed(|out| manual::render(page, Cli::command(), out)),
        Command::Completions { shell } => printed(|out| {
            clap_complete::generate(shell, &mut Cli::command(), "pingtest", out);
            Ok(())
        }),
    }
}

/// Help and version are no misuse.
fn misused(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(exit::USAGE) } else { ExitCode::SUCCESS }
}

fn concluded(result: Result<(), Error>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> ExitCode {
    complain(&error.to_string());
    ExitCode::from(match error {
        Error::Config(_) | Error::Log(_) | Error::Diagnostics(_) => exit::CONFIG,
        Error::NotPermitted(_) | Error::NoProtocol(_) | Error::OptionNotPermitted(_) => exit::NOT_PERMITTED,
        Error::System(_) | Error::Died(_) => exit::SOFTWARE,
    })
}

fn complain(text: &str) {
    logging::complain(text);
}

fn check(CheckArgs { here, config: ConfigFile { config } }: CheckArgs) -> ExitCode {
    let settings = match config::load(&config, &daemon::environment()) {
        Ok(settings) => settings,
        Err(problems) => return misconfigured(&problems),
    };
    if here && let Err(error) = daemon::fit_here(&settings) {
        return failed(&error);
    }
    printed(|out| {
        let (targets, files) = (counted(settings.targets.len(), "target"), counted(settings.files.len(), "file"));
        let fit = if here { ", and fit for this machine" } else { "" };
        writeln!(out, "{}: ok, {targets} in {files}{fit}", config.display())
    })
}

fn doctor(DoctorArgs { json, config }: DoctorArgs) -> ExitCode {
    let colour = match status::stdout_colour() {
        status::table::Colour::Plain => doctor::Colour::Plain,
        status::table::Colour::Ansi => doctor::Colour::Ansi,
    };
    let format = if json { doctor::Format::Json } else { doctor::Format::Text(colour) };
    let mut out = io::stdout().lock();
    match doctor::run(&doctor::Request { config, format }, &mut out) {
        Ok(doctor::Verdict::Fit) => ExitCode::SUCCESS,
        Ok(doctor::Verdict::Unfit) => ExitCode::from(exit::UNFIT),
        // Whoever read it has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => failed(&Error::System(error)),
    }
}

fn misconfigured(problems: &config::Problems) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "{problems}");
    ExitCode::from(exit::CONFIG)
}

fn printed(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> ExitCode {
    let mut text = Vec::new();
    let done = print(&mut text).and_then(|()| io::stdout().lock().write_all(&text));
    match done {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => failed(&Error::System(error)),
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

fn log(args: LogArgs) -> ExitCode {
    let range = match log::Range::parse(args.since.as_deref(), args.until.as_deref()) {
        Ok(range) => range,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(exit::USAGE);
        }
    };
    let (dir, time_format) = match args.dir {
        Some(dir) => (dir, DEFAULT_TIME_FORMAT.to_owned()),
        None => match config::load(&args.config, &daemon::environment()) {
            Ok(settings) => (settings.log.dir, settings.log.time_format),
            Err(problems) => return misconfigured(&problems),
        },
    };
    let stamps = [&*time_format, DEFAULT_TIME_FORMAT, "rfc3339", "unix"];
    let request = log::Request {
        dir,
        name: args.name,
        stamps: stamps.iter().filter_map(|stamp| StampFormat::new(stamp).ok()).collect(),
        range,
        outcomes: args.outcome,
        format: if args.json { Format::Json } else { Format::Text },
        last: args.lines,
        follow: args.follow,
    };
    let mut exit = ExitCode::SUCCESS;
    let mut trouble = |error: &log::Error| {
        complain(&error.to_string());
        if !matches!(error, log::Error::Foreign { .. }) {
            exit = ExitCode::from(exit::NOT_READ);
        }
    };
    let mut out = io::BufWriter::with_capacity(OUTPUT_BUFFER, io::stdout().lock());
    match log::run(&request, &mut out, &mut trouble, &mut || log::pause(io::stdout())) {
        // Whoever read the lines has had enough.
        Err(log::Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(exit::NOT_READ)
        }
        Ok(()) => exit,
    }
}

fn show_status(args: StatusArgs) -> ExitCode {
    let StatusArgs { mut targets, json, watch, daemon } = args;
    let watch = watch.map(|watch| match watch {
        Watch::Every(every) => every,
        Watch::Target(target) => {
            targets.push(target);
            WATCH_EVERY
        }
    });
    asked(daemon.socket(), |socket| {
        let request = status::Request { socket, targets, json, watch };
        status::run(&request, &mut |error| complain(&error.to_string()))
    })
}

fn order(order: status::Order, args: OrderArgs) -> ExitCode {
    asked(args.daemon.socket(), |socket| status::order(&socket, order, &args.targets, &mut io::stdout().lock()))
}

/// Concludes what was asked of the daemon.
fn asked(socket: Result<PathBuf, ExitCode>, ask: impl FnOnce(PathBuf) -> Result<(), status::Error>) -> ExitCode {
    let socket = match socket {
        Ok(socket) => socket,
        Err(exit) => return exit,
    };
    if let Some(kind) = kind(&socket).filter(|kind| *kind != "a socket") {
        complain(&format!("{} is {kind}, and the daemon listens on a socket", socket.display()));
        return ExitCode::from(exit::NOT_ASKED);
    }
    match ask(socket) {
        // Whoever read it has had enough.
        Err(status::Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(exit::NOT_ASKED)
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}

/// What a path leads to; `None` where that cannot be told, and whoever opens it will say why.
fn kind(path: &Path) -> Option<&'static str> {
    let kind = fs::metadata(path).ok()?.file_type();
    let kinds = [
        (kind.is_file(), "a file"),
        (kind.is_dir(), "a directory"),
        (kind.is_socket(), "a socket"),
        (kind.is_fifo(), "a pipe"),
        (kind.is_block_device() || kind.is_char_device(), "a device"),
    ];
    kinds.into_iter().find_map(|(is, name)| is.then_some(name))
}

impl DaemonArgs {
    /// Where the daemon listens; what to exit with where it does not.
    fn socket(&self) -> Result<PathBuf, ExitCode> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        let settings =
            config::load(&self.config, &daemon::environment()).map_err(|problems| misconfigured(&problems))?;
        settings.control.socket.ok_or_else(|| {
            complain(&format!("{}: the configuration has no control socket", self.config.display()));
            ExitCode::from(exit::NOT_ASKED)
        })
    }
}

fn outages(args: OutagesArgs) -> ExitCode {
    let range = match log::Range::parse(args.since.as_deref(), args.until.as_deref()) {
        Ok(range) => range,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(exit::USAGE);
        }
    };
    let ledger = match args.ledger {
        Some(ledger) => Some(ledger),
        None => match config::load(&args.config, &daemon::environment()) {
            Ok(settings) => settings.ledger.path,
            Err(problems) => return misconfigured(&problems),
        },
    };
    let Some(ledger) = ledger else {
        complain(&format!("{}: no ledger is kept (ledger.path)", args.config.display()));
        return ExitCode::from(exit::NOT_READ);
    };
    // SQLite calls it an I/O error, and waits for ever for whoever writes into a pipe.
    if let Some(kind) = kind(&ledger).filter(|kind| *kind != "a file") {
        complain(&format!("{} is {kind}, and the ledger is a file", ledger.display()));
        return ExitCode::from(exit::NOT_READ);
    }
    let format = if args.json { outages::Format::Json } else { outages::Format::Text };
    let (since, until) = (range.since(), range.until());
    let request = outages::Request { ledger, since, until, target: args.target, format };
    let mut out = io::BufWriter::with_capacity(OUTPUT_BUFFER, io::stdout().lock());
    match outages::run(&request, &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the report has had enough.
        Err(outages::Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(exit::NOT_READ)
        }
    }
}

fn ping(args: PingArgs) -> ExitCode {
    let format = if args.json { Format::Json } else { Format::Text };
    let request = match args.targets() {
        Ok(targets) => Request { targets, outputs: args.outputs(format), deadline: args.deadline, format },
        Err(error) => {
            complain(&error);
            return ExitCode::from(exit::USAGE);
        }
    };
    match ping::ping(request) {
        Ok(Outcome::AllAnswered) => ExitCode::SUCCESS,
        Ok(Outcome::SomeSilent) => ExitCode::from(exit::SILENT),
        Err(error) => failed(&error),
    }
}

impl PingArgs {
    fn targets(&self) -> Result<Vec<Arc<Target>>, String> {
        let hosts = self.hosts.iter().enumerate();
        let targets: Vec<_> = hosts.map(|(index, host)| self.target(index, host)).collect::<Result<_, _>>()?;
        let longest = self.interval.unwrap_or(DEFAULT_INTERVAL) * WAIT_AT_MOST;
        if self.timeout.is_some_and(|timeout| timeout > longest) {
            return Err(format!(
                "the timeout must be at most {WAIT_AT_MOST} intervals, {:.0} s here",
                longest.as_secs_f64()
            ));
        }
        if let Some(dir) =
            self.output.as_ref().and_then(|path| path.parent()).filter(|dir| dir.as_os_str() != "" && !dir.is_dir())
        {
            return Err(format!("-o: there is no directory {}", dir.display()));
        }
        for (index, target) in targets.iter().enumerate() {
            if targets[..index].iter().any(|earlier| earlier.name == target.name) {
                return Err(format!("{} is given twice", target.host));
            }
        }
        Ok(targets)
    }

    fn target(&self, index: usize, host: &Host) -> Result<Arc<Target>, String> {
        let interval = self.interval.unwrap_or(DEFAULT_INTERVAL);
        let count = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        let options = self.options();
        Ok(Arc::new(Target {
            name: value::default_name(host).map_err(|refusal| format!("{host}: {refusal}"))?,
            host: value::through(host, options.interface.as_ref()),
            family: self.family(host)?,
            interval,
            // The first host at once, the others evenly after it.
            phase: interval / count.max(1) * u32::try_from(index).unwrap_or(u32::MAX),
            timeout: self.timeout.unwrap_or(DEFAULT_TIMEOUT),
            size: self.size.unwrap_or(DEFAULT_SIZE),
            options,
            resolve_every: default_resolve_every(host),
            count: self.count,
            rules: Arc::default(),
        }))
    }

    /// What `-4`, `-6` and a source address leave of the host's families.
    fn family(&self, host: &Host) -> Result<Family, String> {
        let wanted = match (self.ipv4, self.ipv6, &self.origin) {
            (true, _, _) => Family::Ipv4,
            (_, true, _) => Family::Ipv6,
            (_, _, Some(Origin::Source(IpAddr::V4(_)))) => Family::Ipv4,
            (_, _, Some(Origin::Source(IpAddr::V6(_)))) => Family::Ipv6,
            (_, _, Some(Origin::Interface(_)) | None) => Family::Any,
        };
        let source_fits = match &self.origin {
            Some(Origin::Source(source)) => wanted.admits(Addr::from(*source).version()),
            Some(Origin::Interface(_)) | None => true,
        };
        let has_zone = matches!(&self.origin, Some(Origin::Interface(_)));
        if let Host::Address(Addr { ip: IpAddr::V6(ip), .. }) = host
            && ip.is_unicast_link_local()
            && !has_zone
        {
            return Err(format!("{host}: is link-local: write its zone, such as {ip}%eth0"));
        }
        let host_fits = match host {
            Host::Address(addr) => wanted.admits(addr.version()),
            Host::Name(_) => true,
        };
        if source_fits && host_fits {
            Ok(wanted)
        } else {
            Err(format!("{host}: the address families do not fit together"))
        }
    }

    fn options(&self) -> SocketOptions {
        let (source, interface) = match &self.origin {
            Some(Origin::Source(source)) => (Some(*source), None),
            Some(Origin::Interface(interface)) => (None, Some(interface.clone())),
            None => (None, None),
        };
        SocketOptions { ttl: self.ttl, source, interface, ..SocketOptions::default() }
    }

    fn outputs(&self, format: Format) -> Vec<Output> {
        let stamp = StampFormat::new(DEFAULT_TIME_FORMAT).unwrap_or_default();
        let style = Style { format, stamp, labels: Labels::None };
        let stdout = (!self.quiet).then(|| Output { place: Place::Stdout, style: style.clone() });
        let file = self.output.clone().map(|path| Output { place: Place::File { path }, style });
        stdout.into_iter().chain(file).collect()
    }
}

fn host(text: &str) -> Result<Host, String> {
    value::host(text).map_err(|refusal| refusal.to_string())
}

fn name(text: &str) -> Result<String, String> {
    let allowed = "must be the name of a target: letters, digits, '.', '_', '-' and ':'";
    Name::new(text).map(|name| name.as_str().to_owned()).ok_or_else(|| allowed.to_owned())
}

fn interval(text: &str) -> Result<Duration, String> {
    value::interval(&with_unit(text)).map_err(|refusal| refusal.to_string())
}

fn timeout(text: &str) -> Result<Duration, String> {
    value::timeout(&with_unit(text)).map_err(|refusal| refusal.to_string())
}

fn deadline(text: &str) -> Result<Duration, String> {
    /// Longer than anybody waits in front of a terminal.
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    value::duration_between(&with_unit(text), MIN_TIMEOUT, YEAR).map_err(|refusal| refusal.to_string())
}

fn watch(text: &str) -> Result<Watch, String> {
    /// Each look costs the daemon some milliseconds where it has thousands of targets.
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(86_400);
    let is_number = text.parse::<f64>().is_ok();
    match value::duration_between(&with_unit(text), SHORTEST, LONGEST) {
        Ok(every) => Ok(Watch::Every(every)),
        Err(_) if !is_number && Name::new(text).is_some() => Ok(Watch::Target(text.to_owned())),
        Err(refusal) => Err(refusal.to_string()),
    }
}

/// iputils takes plain seconds.
fn with_unit(text: &str) -> String {
    let text = if text.starts_with('.') { format!("0{text}") } else { text.to_owned() };
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    if plain { format!("{text}s") } else { text }
}

fn size(text: &str) -> Result<u16, String> {
    let bytes = text.parse().map_err(|_| "must be a number of bytes".to_owned())?;
    value::size(bytes).map_err(|refusal| refusal.to_string())
}

fn origin(text: &str) -> Result<Origin, String> {
    if text.contains('%') || text.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_unicast_link_local()) {
        return Err("must not be link-local: name the interface instead".into());
    }
    if text.parse::<IpAddr>().is_ok() {
        return value::source(text).map(Origin::Source).map_err(|refusal| refusal.to_string());
    }
    value::interface(text).map(Origin::Interface).map_err(|refusal| refusal.to_string())
}
