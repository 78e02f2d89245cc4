//! A network that lies on command: answers echo requests for whole prefixes by a script, and writes down what it did. README.md
//! beside this file is its manual.
//!
//! It knows nothing of pingtest and shares no code with it, so that what the two agree on is true.

mod device;
mod exchange;
mod journal;
mod packet;
mod script;
mod tun;
mod weather;

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;

use exchange::Exchange;
use journal::{Counts, Event, Journal};
use weather::Weather;

/// Answers echo requests by a script.
#[derive(Parser)]
struct Options {
    /// The script, in TOML.
    #[arg(long)]
    script: PathBuf,
    /// The file that gets a line of JSON for each request and each answer; emptied first.
    #[arg(long)]
    journal: Option<PathBuf>,
}

/// Why it cannot go on.
#[derive(Debug)]
pub(crate) enum Failure {
    Script(String),
    Journal(io::Error),
    Device(io::Error),
}

impl Failure {
    /// As in sysexits.h.
    fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Script(_) => 78,
            Self::Journal(_) => 74,
            Self::Device(_) => 71,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script(mistake) => write!(f, "{mistake}"),
            Self::Journal(error) => write!(f, "the journal cannot be written and is not whole: {error}"),
            Self::Device(error) => write!(f, "{error}"),
        }
    }
}

/// As in sysexits.h.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            // Help is no misuse.
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match run(&options) {
        Ok(counts) => {
            say(&serde_json::to_string(&Event::End(counts)).unwrap_or_default());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let _ = writeln!(io::stderr().lock(), "simnet: {failure}");
            failure.code()
        }
    }
}

fn run(options: &Options) -> Result<Counts, Failure> {
    let path = options.script.display();
    let text = fs::read_to_string(&options.script).map_err(|error| Failure::Script(format!("{path}: {error}")))?;
    let script = script::parse(&text).map_err(|mistake| Failure::Script(format!("{path}:{mistake}")))?;
    let journal = Journal::create(options.journal.as_deref()).map_err(Failure::Journal)?;
    let tun = device::open(&script).map_err(Failure::Device)?;
    let stop = stop_signals().map_err(|error| Failure::Device(error.into()))?;
    // Else the kernel lets each wait last 50 µs longer.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).map_err(|error| Failure::Device(error.into()))?;
    let exchange = Exchange::new(tun, stop, Weather::new(script), journal)?;
    say("ready");
    exchange.run()
}

/// SIGTERM and SIGINT as something to wait for, in place of sudden ends.
fn stop_signals() -> nix::Result<SignalFd> {
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    signals.thread_block()?;
    SignalFd::new(&signals)
}

/// Whoever started this may have stopped listening.
fn say(line: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
