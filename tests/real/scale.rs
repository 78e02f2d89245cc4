//! Many targets at once, with few descriptors.

use std::fs;

use nix::sys::signal::Signal;

use crate::support::line;
use crate::support::net::Namespace;
use crate::support::program::{self, Program};
use crate::support::wait::{self, PATIENCE};

const TARGETS: u64 = 2_000;
const SECONDS: u64 = 10;

#[test]
fn two_thousand_targets_a_second_write_two_thousand_files_through_512_descriptors() {
    let Some(host) = Namespace::new() else { return };
    let dir = program::directory();
    let addrs: Vec<_> = (0..TARGETS).map(|index| format!("127.1.{}.{}", index / 250, 1 + index % 250)).collect();
    let targets: String = addrs.iter().map(|addr| format!("[[target]]\nhost = \"{addr}\"\n")).collect();
    let config = format!("[log]\ndir = \"log\"\nformat = \"json\"\n{}{targets}", program::kept_here(""));
    fs::write(dir.path().join("c.toml"), config).expect("the directory is ours");
    let mut command = host.command("prlimit");
    command.arg("--nofile=512:512").arg(env!("CARGO_BIN_EXE_pingtest"));
    let mut run = Program::spawn(dir, command, &["run", "--config", "c.toml"]);
    let last = format!("log/{}.log", addrs[addrs.len() - 1]);
    run.wait_for(&last, "first line", |text| !text.is_empty());
    wait::pause(std::time::Duration::from_secs(SECONDS));
    run.signal(Signal::SIGTERM);
    let ended = run.ended(PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("WARN") && !ended.stderr.contains("ERROR"), "{}", ended.stderr);
    let names =
        fs::read_dir(run.dir().join("log")).expect("it is there").map(|entry| entry.expect("it is there").file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().ends_with(".log")).count() as u64, TARGETS);
    for addr in &addrs {
        let lines = line::parse(&run.text(&format!("log/{addr}.log")));
        let covered: u64 = lines.iter().map(|line| line.count.unwrap_or(1)).sum();
        assert!(covered >= SECONDS, "{addr} has {covered} probes: {lines:?}");
        // A machine busy with other things may make us miss a slot; that is no loss.
        let odd = lines.iter().find(|line| line.outcome != "reply" && line.outcome != "not_measured");
        assert!(odd.is_none(), "{odd:?}");
    }
}
