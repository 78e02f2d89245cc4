//! How long `pingtest log` takes to find one minute in a large log, as it was written and packed.
//!
//! `cargo bench --bench log_search -- DIR [GIB]` fills DIR with a log of GIB gibibytes (default 10) in files of 100 MiB, as rotation
//! leaves them, packs a copy, and asks both for minutes that are spread over them: with the files in the page cache, and, as root, without.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chrono::DateTime;
use pingtest::sink::archive::pack;
use pingtest::sink::rotation::Packing;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// 2026-01-01 00:00 UTC.
const START: u64 = 1_767_225_600;
/// Lines a second: a target that is probed every 20 ms.
const RATE: u64 = 50;
/// Bytes of a file, as `max_size` has it.
const FILE: usize = 100 << 20;
/// How many minutes are asked for.
const QUESTIONS: u64 = 25;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let Some(dir) = args.first().map(Path::new) else {
        return Err("usage: log_search DIR [GIB]".into());
    };
    let gib: u64 = args.get(1).map_or(Ok(10), |gib| gib.parse())?;
    let (plain, packed) = (dir.join("plain"), dir.join("packed"));
    let seconds = write_log(&plain, gib << 30)?;
    pack_log(&plain, &packed)?;
    let mut out = std::io::stdout().lock();
    for dir in [&plain, &packed] {
        let sizes: Vec<u64> =
            fs::read_dir(dir)?.map(|entry| Ok(entry?.metadata()?.len())).collect::<std::io::Result<_>>()?;
        let gib = sizes.iter().sum::<u64>() as f64 / f64::from(1 << 30);
        writeln!(out, "{}: {} files, {gib:.2} GiB", dir.display(), sizes.len())?;
        writeln!(out, "  cached: {}", measure(dir, seconds, false)?)?;
        match measure(dir, seconds, true) {
            Ok(times) => writeln!(out, "  caches dropped: {times}")?,
            Err(error) => writeln!(out, "  caches dropped: {error}")?,
        }
    }
    Ok(())
}

/// Writes `size` bytes of lines. Returns how many seconds they cover.
fn write_log(dir: &Path, size: u64) -> Result<u64> {
    fs::create_dir_all(dir)?;
    let (mut number, mut written) = (0, 0);
    let mut text = String::with_capacity(FILE + 200);
    let mut last = (String::new(), 0);
    while written < size {
        let day = stamp(number, "%F");
        last = (day.clone(), if last.0 == day { last.1 + 1 } else { 1 });
        text.clear();
        let mut second = String::new();
        while text.len() < FILE {
            if number % RATE == 0 || second.is_empty() {
                second = stamp(number, "%F_%H:%M:%S");
            }
            let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            let millis = number % RATE * (1000 / RATE) + noise % 9;
            let (whole, hundredths) = (5 + noise % 7, noise / 7 % 100);
            writeln!(
                text,
                "{second}.{millis:03} 64 bytes from 223.5.5.5: icmp_seq={} ttl=118 time={whole}.{hundredths:02} ms",
                number + 1
            )?;
            number += 1;
        }
        written += text.len() as u64;
        let counter = if last.1 == 1 { String::new() } else { format!("@{:04}", last.1) };
        let name = if written < size { format!("alidns-{day}{counter}.log") } else { "alidns.log".to_owned() };
        File::create(dir.join(name))?.write_all(text.as_bytes())?;
    }
    Ok(number / RATE)
}

fn stamp(number: u64, format: &str) -> String {
    let seconds = i64::try_from(START + number / RATE).unwrap_or_default();
    DateTime::from_timestamp(seconds, 0).unwrap_or_default().format(format).to_string()
}

/// Copies the log and packs its rotated files.
fn pack_log(plain: &Path, packed: &Path) -> Result<()> {
    fs::create_dir_all(packed)?;
    for entry in fs::read_dir(plain)? {
        let entry = entry?;
        let to = packed.join(entry.file_name());
        fs::copy(entry.path(), &to)?;
        if entry.file_name() != "alidns.log" {
            pack(&to, Packing::Zstd, &|| false)?;
        }
    }
    Ok(())
}

/// Asks for minutes spread over the log, and tells the median and the longest time.
fn measure(dir: &Path, seconds: u64, drop_caches: bool) -> Result<String> {
    let mut times = Vec::new();
    for question in 1..=QUESTIONS {
        let since = START + seconds * question / (QUESTIONS + 1);
        if drop_caches {
            nix::unistd::sync();
            fs::write("/proc/sys/vm/drop_caches", "3\n")?;
            // What is to be measured is not the loading of the program.
            Command::new(env!("CARGO_BIN_EXE_pingtest")).arg("--version").stdout(Stdio::null()).status()?;
        }
        times.push(ask(dir, since)?);
    }
    times.sort();
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    Ok(format!("median {:.1} ms, longest {:.1} ms of {QUESTIONS}", millis(median), millis(longest)))
}

#[expect(clippy::disallowed_methods, reason = "measures a process from outside")]
fn ask(dir: &Path, since: u64) -> Result<Duration> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pingtest"));
    command.args(["log", "alidns", "--since", &format!("@{since}"), "--until", "+59.999s", "--dir"]).arg(dir);
    let began = Instant::now();
    let output = command.env("TZ", "UTC").output()?;
    let time = began.elapsed();
    let lines = output.stdout.iter().filter(|&&byte| byte == b'\n').count() as u64;
    if !output.status.success() || lines != 60 * RATE {
        return Err(format!("{lines} lines, {output:?}").into());
    }
    Ok(time)
}
