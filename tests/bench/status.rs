//! How long `pingtest status` takes with ten thousand targets: from the question to the table, through the socket.
//!
//! `cargo bench --bench status -- [TARGETS]` tells the median and the worst of a hundred times, and of which parts it consists.

use std::error::Error;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use chrono::Local;
use pingtest::control::protocol::Request;
use pingtest::control::{Handler, Order, Refusal, Server, Snapshot, client};
use pingtest::monitor::Strays;
use pingtest::monitor::inflight::{Ruling, Verdict};
use pingtest::monitor::outage::{Bound, Cause, Outage, State};
use pingtest::monitor::sample::IcmpError;
use pingtest::monitor::snapshot::TargetStatus;
use pingtest::monitor::target::{Host, Label, Name};
use pingtest::monitor::time::{Stamp, Wall};
use pingtest::monitor::window::Window;
use pingtest::status::table::{self, Colour, View};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How often it is asked.
const TIMES: usize = 100;
/// A year beyond which no clock matters here.
const START: Wall = Wall::from_nanos(1_767_225_600_000_000_000);

struct Fake(u32);

impl Handler for Fake {
    async fn status(&self) -> Option<Snapshot> {
        let targets = (0..self.0).map(target).collect::<Option<_>>()?;
        let (now, strays) = (START + Duration::from_secs(90_000), Strays::default());
        Some(Snapshot { now, started: START, targets, strays, log: None, ledger: None, zone_name: |_| None })
    }

    async fn order(&self, _: Order, _: Name) -> std::result::Result<(), Refusal> {
        Err(Refusal::UnknownTarget)
    }
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let targets = args.next().map_or(Ok(10_000), |count| count.parse())?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("control.sock");
    // The daemon's main thread is one, and so is its runtime.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _server = {
        let _within = runtime.enter();
        Server::start(&path, None, Fake(targets))?
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let daemon = std::thread::spawn(move || runtime.block_on(stopped));
    let view = View { width: None, height: None, colour: Colour::Ansi };
    let mut parts = [const { Vec::new() }; 4];
    let mut bytes = (0, 0);
    for _ in 0..TIMES {
        let begun = now();
        let line = client::ask(&path, &Request { request: "status".into(), ..Request::default() })?;
        let asked = now();
        let answer = client::understood(&line)?;
        let read = now();
        let table = table::render(&answer, &view, &Local);
        let rendered = now();
        bytes = (line.len(), table.len());
        let took = [rendered - begun, asked - begun, read - asked, rendered - read];
        parts.iter_mut().zip(took).for_each(|(part, took)| part.push(took));
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{targets} targets, {} bytes of JSON, {} bytes of table", bytes.0, bytes.1)?;
    for (what, mut part) in ["question to table", "asking", "reading JSON", "rendering"].into_iter().zip(parts) {
        part.sort();
        writeln!(out, "{what}: median {:.1?}, worst {:.1?}", part[TIMES / 2], part[TIMES - 1])?;
    }
    drop(stop);
    let _ = daemon.join();
    Ok(())
}

/// Every tenth is in an outage.
fn target(number: u32) -> Option<TargetStatus> {
    let addr = Ipv4Addr::from_bits(0x0a00_0000 + number);
    let mut window = Window { sent: 90_000, replies: 89_000, ..Window::default() };
    window.lost.unanswered = 999;
    window.in_flight = 1;
    let after = Duration::from_micros(5120 + u64::from(number));
    window.handle_verdict(&Verdict { ruling: Ruling::Reply, sent: Stamp::default(), at: START, after });
    let is_down = number.is_multiple_of(10);
    Some(TargetStatus {
        target: Label { name: Name::new(&format!("host-{number}"))?, host: Host::Address(addr.into()) },
        addr: Some(addr.into()),
        state: if is_down { State::Down } else { State::Up },
        since: Some(START + after),
        outage: is_down.then(|| outage(after)),
        behind: None,
        not_resolved: None,
        gap: None,
        answered: Some(START + Duration::from_secs(80_000) + after),
        interval: Duration::from_secs(1),
        window,
    })
}

fn outage(after: Duration) -> Outage {
    Outage {
        began: Bound { at: START + after, earliest: Some(START) },
        ended: None,
        lasted: Duration::from_secs(80_000) - after,
        cause: Cause::Unreachable {
            error: IcmpError::V4 { kind: 3, code: 1, info: 0 },
            from: Ipv4Addr::new(10, 0, 0, 1).into(),
        },
        first_seq: 1,
        lost: 80_000,
        unmeasured: Duration::ZERO,
        fragments: 1,
        new_ids: 0,
        new_id_helped: false,
        behind: 0,
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark times what it runs")]
fn now() -> Instant {
    Instant::now()
}
