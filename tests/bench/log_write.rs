//! How many lines a second the log's writer sustains: records go through its queue as fast as it takes them.
//!
//! `cargo bench --bench log_write -- DIR [MILLIONS]` writes MILLIONS of lines (default 10) to a directory below DIR for each way of
//! keeping them, and tells lines a second and the processor time of a line, all threads together.

use std::error::Error;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use pingtest::monitor::record::{Answer, AnswerKind, Event, Record};
use pingtest::monitor::target::{Host, Label, Name};
use pingtest::monitor::time::Wall;
use pingtest::sink::file::{Keeping, Layout, Limits, Output, Place, Writer};
use pingtest::sink::line::{Format, Labels, StampFormat, Style};
use pingtest::sink::rotation::{Packing, Rotate};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Targets whose records come in turn.
const TARGETS: u64 = 1000;
/// Records that may wait: less than the daemon's, so that the figure is the writer's and not the queue's.
const WAITING: usize = 32_768;
/// Records handed over at a time, as the driver does.
const BATCH: u64 = 256;
/// A file's size, as `max_size` has it.
const FILE: Option<NonZeroU64> = NonZeroU64::new(100 << 20);
/// A year beyond which no clock matters here.
const START: i64 = 1_767_225_600_000_000_000;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let Some(dir) = args.first().map(Path::new) else {
        return Err("usage: log_write DIR [MILLIONS]".into());
    };
    let lines = args.get(1).map_or(Ok(10), |millions| millions.parse::<u64>())? * 1_000_000;
    let plain = Keeping {
        rotate: Rotate::Daily,
        max_size: None,
        keep: None,
        max_total: None,
        packing: Packing::Plain,
        sync: None,
    };
    let rotated = Keeping { max_size: FILE, ..plain };
    let packed = Keeping { packing: Packing::Zstd, ..rotated };
    let synced = Keeping { sync: Some(Duration::from_secs(1)), ..packed };
    let combined = || Layout::Combined("pingtest".into());
    let ways = [
        ("one file, never rotated", combined(), plain),
        ("one file, rotated at 100 MiB", combined(), rotated),
        ("one file, rotated and packed with zstd", combined(), packed),
        ("one file, rotated, packed and synced each second", combined(), synced),
        ("1,000 files", Layout::PerTarget, plain),
    ];
    let mut out = io::stdout().lock();
    for (number, (what, layout, keeping)) in ways.into_iter().enumerate() {
        let place = Place::Directory { dir: dir.join(number.to_string()), layout, keeping };
        let (rate, micros) = write(place, lines)?;
        writeln!(out, "{what}: {rate:.0} lines/s, {micros:.2} µs of processor time a line")?;
    }
    Ok(())
}

/// Writes `lines` lines; tells how many a second, and what each took.
fn write(place: Place, lines: u64) -> Result<(f64, f64)> {
    let Place::Directory { dir, layout, .. } = &place else { return Err("a directory is what is measured".into()) };
    let labels = if *layout == Layout::PerTarget { Labels::None } else { Labels::Bracketed };
    let (dir, style) = (dir.clone(), Style { format: Format::Text, stamp: StampFormat::default(), labels });
    let limits = Limits { open_files: NonZeroUsize::new(2048).ok_or("a number")?, waiting: WAITING };
    let labels: Vec<_> = (0..TARGETS).map(label).collect::<Option<_>>().ok_or("a name")?;
    let mut log = Writer::spawn(&[Output { place, style }], limits, |_| None, |notice| panic!("{notice:?}"))?;
    let losses = log.control.losses();
    let (begun, used) = (now(), processor_time()?);
    for first in (0..lines).step_by(BATCH as usize) {
        for seq in first..first + BATCH {
            log.queue.push(reply(&labels[(seq % TARGETS) as usize], seq));
        }
        log.queue.flush();
        while log.control.waiting() > WAITING / 2 {
            std::thread::park_timeout(Duration::from_micros(200));
        }
    }
    drop(log.queue);
    log.thread.join().map_err(|_| "the writer died")?;
    let (took, used) = (begun.elapsed().as_secs_f64(), processor_time()? - used);
    if losses.queue_full() + losses.write_failed() > 0 {
        return Err("lines were lost".into());
    }
    fs::remove_dir_all(dir)?;
    Ok((lines as f64 / took, used * 1e6 / lines as f64))
}

fn label(number: u64) -> Option<Label> {
    let addr = Ipv4Addr::from_bits(0x0a00_0000 + number as u32);
    Some(Label { name: Name::new(&addr.to_string())?, host: Host::Address(addr.into()) })
}

/// Number `seq` of a hundred thousand a second.
fn reply(label: &Label, seq: u64) -> Record {
    let at = Wall::from_nanos(START + seq as i64 * 10_000);
    let rtt = Duration::from_micros(500 + seq % 300);
    let answer =
        Answer { kind: AnswerKind::Reply, seq: seq / TARGETS + 1, sent: at, rtt, ttl: Some(64), bytes: 64, from: None };
    let Host::Address(addr) = label.host else { unreachable!("labels are made of addresses") };
    Record { at, target: label.clone(), addr: Some(addr), event: Event::Answer(answer) }
}

/// Seconds of processor time of this process so far.
fn processor_time() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(micros as f64 / 1e6)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark times what it runs")]
fn now() -> Instant {
    Instant::now()
}
