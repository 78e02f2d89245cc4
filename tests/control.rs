//! The control socket from both ends, and what `pingtest status` makes of the answers, without a daemon.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use pingtest::control::protocol::{Answer, REQUEST_AT_MOST, Request, Target, Text};
use pingtest::control::{Error, Handler, Order, Refusal, Server, Snapshot, client};
use pingtest::monitor::Strays;
use pingtest::monitor::outage::{Bound, Cause, Outage, State};
use pingtest::monitor::sample::IcmpError;
use pingtest::monitor::snapshot::TargetStatus;
use pingtest::monitor::target::{Addr, Host, Label, Name};
use pingtest::monitor::time::Wall;
use pingtest::monitor::window::Window;
use pingtest::status::table::{self, Colour, View};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// 2026-11-22T13:00:00Z, when everything here is asked.
const NOW: Wall = Wall::from_nanos(1_795_352_400_000_000_000);

fn ago(seconds: u64) -> Wall {
    NOW - Duration::from_secs(seconds)
}

/// A daemon that knows what it is given, and remembers what it was ordered.
#[derive(Clone, Default)]
struct Fake {
    targets: Vec<TargetStatus>,
    ordered: Arc<Mutex<Vec<(Order, String)>>>,
}

impl Handler for Fake {
    async fn status(&self) -> Option<Snapshot> {
        Some(Snapshot {
            now: NOW,
            started: ago(183_600),
            targets: self.targets.clone(),
            strays: Strays { foreign: 1, stale: 2, forged: 3 },
            log: None,
            ledger: None,
            zone_name: |_| Some("eth0".into()),
        })
    }

    async fn order(&self, order: Order, target: Name) -> Result<(), Refusal> {
        let known = self.targets.iter().any(|known| known.target.name == target);
        self.ordered.lock().expect("nobody panics with it").push((order, target.to_string()));
        if known { Ok(()) } else { Err(Refusal::UnknownTarget) }
    }
}

/// A server at work, in a directory of its own.
struct Stage {
    server: Option<Server>,
    runtime: Runtime,
    dir: TempDir,
}

impl Stage {
    fn new(handler: Fake) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let mut stage = Self { server: None, runtime, dir };
        stage.server = Some(stage.start(handler).expect("nothing is in the way"));
        stage
    }

    fn start(&self, handler: Fake) -> Result<Server, Error> {
        self.start_for(None, handler)
    }

    fn start_for(&self, group: Option<&str>, handler: Fake) -> Result<Server, Error> {
        let _within = self.runtime.enter();
        Server::start(&self.path(), group, handler)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).expect("somebody listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket has timeouts");
        stream
    }

    /// What comes back for these bytes.
    fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("it is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it ends");
        answer
    }

    fn run(&self, arguments: &[&str]) -> Output {
        pingtest(&self.path(), arguments).output().expect("it runs")
    }
}

fn pingtest(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pingtest"));
    command.args(arguments).arg("--socket").arg(socket).env("TZ", "UTC");
    command
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

fn addr(last: u8) -> Addr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn up(name: &str, last: u8) -> TargetStatus {
    TargetStatus {
        target: Label { name: Name::new(name).expect("a name"), host: Host::Address(addr(last)) },
        addr: Some(addr(last)),
        state: State::Up,
        since: Some(ago(7200)),
        outage: None,
        behind: None,
        not_resolved: None,
        answered: Some(ago(1)),
        interval: Duration::from_secs(1),
        window: window(1000, 0),
    }
}

fn window(replies: u64, lost: u64) -> Window {
    let mut window = Window { sent: replies + lost, replies, ..Window::default() };
    window.lost.unanswered = lost;
    window
}

fn outage(seconds: u64, cause: Cause) -> Outage {
    Outage {
        began: Bound { at: ago(seconds), earliest: Some(ago(seconds + 1)) },
        ended: None,
        lasted: Duration::from_secs(seconds),
        cause,
        first_seq: 12,
        lost: seconds,
        unmeasured: Duration::ZERO,
        fragments: 1,
        new_ids: 0,
        new_id_helped: false,
        behind: 0,
    }
}

fn down(name: &str, last: u8, seconds: u64, cause: Cause) -> TargetStatus {
    TargetStatus {
        state: State::Down,
        since: Some(ago(seconds - 2)),
        outage: Some(outage(seconds, cause)),
        answered: Some(ago(seconds + 1)),
        window: window(900, 100),
        ..up(name, last)
    }
}

/// One target in each state, and two that are down.
fn all_states() -> Vec<TargetStatus> {
    let unreachable = Cause::Unreachable {
        error: IcmpError::V4 { kind: 3, code: 1, info: 0 },
        from: Ipv4Addr::new(10, 0, 0, 1).into(),
    };
    let named = Label { name: Name::new("web").expect("a name"), host: Host::Name("web001.example".into()) };
    let mut gateway = down("gw", 2, 192, unreachable);
    gateway.outage.as_mut().expect("it is down").behind = 1;
    let mut longest = down("far", 3, 90_000, Cause::Unanswered);
    longest.outage.as_mut().expect("it is down").unmeasured = Duration::from_secs(41);
    vec![
        up("fine", 1),
        gateway,
        longest,
        TargetStatus { state: State::Behind, behind: Name::new("gw"), ..up("leaf", 4) },
        TargetStatus { state: State::Suspect, answered: Some(ago(2)), ..up("shaky", 5) },
        TargetStatus { state: State::Degraded, window: window(950, 50), ..up("lossy", 6) },
        TargetStatus {
            target: named,
            addr: None,
            state: State::Unknown,
            answered: None,
            not_resolved: Some("no such host\x1b[2J".into()),
            window: Window::default(),
            ..up("web", 7)
        },
        TargetStatus { state: State::Paused, since: None, ..up("quiet", 8) },
    ]
}

/// The answer of a daemon that knows these.
fn line_of(targets: Vec<TargetStatus>) -> String {
    let stage = Stage::new(Fake { targets, ..Fake::default() });
    client::ask(&stage.path(), &Request { request: "status".into(), ..Request::default() }).expect("it answers")
}

const PIPE: View = View { width: None, height: None, colour: Colour::Plain };

fn table_of(line: &str, view: &View) -> String {
    table::render(&client::understood(line).expect("it is understood"), view, &Utc)
}

#[test]
fn the_table_has_every_state_and_the_worst_first() {
    let shown = table_of(&line_of(all_states()), &PIPE);
    let expected = "\
8 targets: 2 down, 1 behind, 1 suspect, 1 degraded, 1 never up yet, 1 paused, 1 up; 7 probes/s; 2026-11-22 13:00:00, pingtest VERSION for 2d03h
STATE         TARGET  ADDRESS             SINCE                  FOR    LOSS  LAST/AVG ms    ANSWERED  WHY
down          far     192.0.2.3           2026-11-21 12:00:00  1d01h  10.00%            -  1d01h ago  no answer, 90000 lost, 41s not measured
";
    assert_eq!(shown, expected.replace("VERSION", env!("CARGO_PKG_VERSION")));
}
