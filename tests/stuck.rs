//! Whoever does not read what the program says must not hold it up: full pipes, full devices, pipes without a reader. And what
//! nobody uses any more must not pile up.

#![allow(clippy::unwrap_used, reason = "helpers of a test may fail it")]
#![allow(clippy::disallowed_methods, reason = "it is the real time in which a program ends that is promised")]

use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The promise is two seconds; a busy machine gets as much again.
const SOON: Duration = Duration::from_secs(4);

fn pingtest(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pingtest"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A pipe that takes nothing more: 64 KiB is what pipe(7) holds.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'x'; 65_536]).unwrap();
    (reader, writer)
}

fn ends(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > SOON {
            child.kill().unwrap();
            panic!("still running after {SOON:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

/// A daemon that pings this machine; returns when it does.
fn daemon(dir: &Path, stderr: Stdio) -> Child {
    let config = dir.join("pingtest.toml");
    let log = dir.join("log");
    let off = "[ledger]\npath = \"off\"\n[control]\nsocket = \"off\"\n";
    let target = "[[target]]\nhost = \"127.0.0.1\"\ninterval = \"10ms\"\n";
    fs::write(&config, format!("[log]\ndir = {log:?}\n{off}{target}")).unwrap();
    let child = pingtest(&["run", "--config", config.to_str().unwrap()]).stderr(stderr).spawn().unwrap();
    let start = Instant::now();
    while !fs::read_to_string(log.join("127.0.0.1.log")).is_ok_and(|text| text.contains("time=")) {
        assert!(start.elapsed() < Duration::from_secs(30), "no line was written");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

#[test]
fn a_daemon_whose_standard_error_is_stuck_reloads_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let (_reader, writer) = full_pipe();
    let mut child = daemon(dir.path(), writer.into());
    for _ in 0..20 {
        signal(&child, Signal::SIGHUP);
    }
    signal(&child, Signal::SIGTERM);
    assert_eq!(ends(&mut child).code(), Some(0));
}

#[test]
fn a_limit_on_the_size_of_files_kills_nobody() {
    const LIMIT: u64 = 4096;
    let dir = tempfile::tempdir().unwrap();
    let told = dir.path().join("stderr");
    let mut child = daemon(dir.path(), File::create(&told).unwrap().into());
    let is_told = || fs::read_to_string(&told).unwrap().contains("File too large");
    let limit = format!("--fsize={LIMIT}");
    let limited = Command::new("prlimit").args(["--pid", &child.id().to_string(), &limit]).status().unwrap();
    assert!(limited.success());
    let start = Instant::now();
    while !is_told() && child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(30), "it does not go on");
        std::thread::sleep(Duration::from_millis(10));
    }
    signal(&child, Signal::SIGTERM);
    assert_eq!(ends(&mut child).code(), Some(0));
}

#[test]
fn sockets_whose_options_nobody_uses_any_more_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = daemon(dir.path(), Stdio::null());
    let config = dir.path().join("pingtest.toml");
    let text = fs::read_to_string(&config).unwrap();
    let sockets = || {
        let fds = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
        let links = fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    };
    let before = sockets();
    for ttl in 20..25 {
        fs::write(&config, format!("{text}ttl = {ttl}\n")).unwrap();
        let log = || fs::read_to_string(dir.path().join("log/127.0.0.1.log")).unwrap();
        let lines = log().lines().count();
        signal(&child, Signal::SIGHUP);
        let start = Instant::now();
        while log().lines().count() < lines + 20 {
            assert!(start.elapsed() < Duration::from_secs(30), "it does not go on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    assert_eq!(sockets(), before);
    signal(&child, Signal::SIGTERM);
    assert_eq!(ends(&mut child).code(), Some(0));
}

#[test]
fn a_daemon_outlives_the_reader_of_its_standard_error() {
    let dir = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = daemon(dir.path(), writer.into());
    drop(reader);
    fs::write(dir.path().join("pingtest.toml"), "nonsense").unwrap();
    signal(&child, Signal::SIGHUP);
    let lines = || fs::read_to_string(dir.path().join("log/127.0.0.1.log")).unwrap().lines().count();
    let (before, start) = (lines(), Instant::now());
    while lines() < before + 50 {
        assert!(start.elapsed() < Duration::from_secs(30) && child.try_wait().unwrap().is_none(), "it does not go on");
        std::thread::sleep(Duration::from_millis(10));
    }
    signal(&child, Signal::SIGTERM);
    assert_eq!(ends(&mut child).code(), Some(0));
}

#[test]
fn diagnostics_that_cannot_be_written_are_no_reason_to_die() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut child = pingtest(&["ping", "-c", "1", "no-such-name.invalid"]).stderr(full).spawn().unwrap();
    let start = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(start.elapsed() < Duration::from_secs(60), "it hangs"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.code(), Some(1), "it never answered");
}

#[test]
fn ping_stops_although_nobody_reads_its_lines() {
    let (_reader, writer) = full_pipe();
    let mut child = pingtest(&["ping", "-i", "0.01", "127.0.0.1"]).stdout(writer).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    signal(&child, Signal::SIGINT);
    ends(&mut child);
}

#[test]
fn a_named_pipe_without_a_reader_is_an_error_and_nothing_to_wait_for() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let fifo = fifo.to_str().unwrap();
    for (arguments, code) in
        [(&["ping", "-c", "1", "-o", fifo, "127.0.0.1"][..], 78), (&["check", "--config", fifo], 78)]
    {
        let mut child = pingtest(arguments).spawn().unwrap();
        assert_eq!(ends(&mut child).code(), Some(code), "{arguments:?}");
    }
}
