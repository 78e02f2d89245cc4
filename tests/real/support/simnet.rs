//! A network whose truth is known: tests/simnet at work in a namespace, and its journal.

use std::fs::{self, File};
use std::net::IpAddr;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde::Deserialize;

use super::net::{self, Namespace};
use super::program::{self, Program};
use super::wait::PATIENCE;

/// The simulated network. Dropping it ends it.
pub(crate) struct Simnet(Program);

/// A line of the journal.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    Request(Request),
    Answer(Answer),
    End(Counts),
}

/// A request that came, and what was decided on.
#[derive(Debug, Clone, Deserialize)]
#[allow(dead_code, reason = "the journal's contract is read whole, whatever the tests of the day compare")]
pub(crate) struct Request {
    pub(crate) at: u64,
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) ident: u16,
    pub(crate) seq: u16,
    pub(crate) n: u64,
    pub(crate) bytes: usize,
    pub(crate) ttl: u8,
    pub(crate) fate: Vec<String>,
    pub(crate) why: Option<String>,
}

/// An answer that was sent.
#[derive(Debug, Clone, Deserialize)]
#[allow(dead_code, reason = "the journal's contract is read whole, whatever the tests of the day compare")]
pub(crate) struct Answer {
    pub(crate) at: u64,
    pub(crate) due: u64,
    pub(crate) dst: IpAddr,
    pub(crate) ident: u16,
    pub(crate) seq: u16,
    pub(crate) n: u64,
    pub(crate) kind: String,
    pub(crate) from: IpAddr,
    #[serde(rename = "type")]
    pub(crate) icmp_type: Option<u8>,
    pub(crate) code: Option<u8>,
    pub(crate) router: Option<IpAddr>,
}

/// How much there was of everything.
#[derive(Debug, Clone, Copy, Deserialize)]
#[allow(dead_code, reason = "the journal's contract is read whole, whatever the tests of the day compare")]
pub(crate) struct Counts {
    pub(crate) requests: usize,
    pub(crate) answers: usize,
    pub(crate) unanswerable: usize,
}

impl Simnet {
    /// A namespace for it, or `None` where this machine has no such or no TUN devices: then the test is skipped, and says so.
    pub(crate) fn namespace() -> Option<Namespace> {
        let namespace = Namespace::new()?;
        let Err(error) = File::open("/dev/net/tun") else { return Some(namespace) };
        net::skip(&format!("TUN devices cannot be used here ({error})"));
        None
    }

    /// Starts it in `namespace`; it answers by this script from here on.
    pub(crate) fn start(namespace: &Namespace, script: &str) -> Self {
        let dir = program::directory();
        fs::write(dir.path().join("script.toml"), script).expect("the directory is ours");
        let mut command = namespace.command("nice");
        command.args(["-n", "-15"]).arg(binary());
        let program = Program::spawn(dir, command, &["--script", "script.toml", "--journal", "journal"]);
        program.wait_for("stdout", "sign that it is ready", |text| text.starts_with("ready\n"));
        Self(program)
    }

    /// Stops it, and gives its journal, which is whole.
    pub(crate) fn stop(mut self) -> Vec<Event> {
        self.0.signal(Signal::SIGTERM);
        let ended = self.0.ended(PATIENCE);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let journal = self.0.text("journal");
        let event = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let events: Vec<Event> = journal.lines().map(event).collect();
        let Some(Event::End(counts)) = events.last() else { panic!("the journal is not whole: {:?}", events.last()) };
        assert_eq!(counts.requests + counts.answers + 1, events.len(), "{counts:?}");
        events
    }

    /// Where its journal is written; lines come some 100 ms late.
    #[allow(dead_code, reason = "for proofs that read along")]
    pub(crate) fn journal(&self) -> PathBuf {
        self.0.dir().join("journal")
    }
}

/// Examples are built into a directory beside the program.
fn binary() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_pingtest")).with_file_name("examples").join("simnet");
    assert!(built.exists(), "{} is missing: `cargo build --example simnet` builds it", built.display());
    built
}
