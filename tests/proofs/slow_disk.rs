//! A disk that does not answer: probes leave as they did before, and every line is there when it answers again. And how often a disk
//! is asked to keep what it was given.

use std::time::Duration;

use crate::account::Account;
use crate::disk::Disk;
use crate::pace::Pace;
use crate::shelf::{self, Shelf};
use crate::stage::{self, Stage, say};
use crate::support::wait;
use crate::weather::{FAIR, Weather};

const SPAN: Duration = Duration::from_secs(5);
const WEATHER: Weather = Weather { kinds: FAIR, targets_of_each: 1000, interval: "100ms" };

#[test]
fn a_disk_frozen_for_five_seconds_delays_no_probe_and_costs_no_line() {
    let _turn = stage::alone();
    let Some(disk) = Disk::on_loop(128) else { return };
    let Some(network) = Stage::new(&WEATHER.script()) else { return };
    let shelf = Shelf::new(&disk.path().join("logs"));
    let keys = "layout = \"combined\"\nmax_size = \"1MiB\"\nkeep = 0\ncompress = \"zstd\"\nsync = \"1s\"";
    let pingtest = shelf.start(&network.namespace, keys, &WEATHER.config());
    wait::pause(SPAN);
    let frozen = disk.freeze();
    let from = wait::wall_nanos();
    wait::pause(SPAN);
    let to = wait::wall_nanos();
    drop(frozen);
    wait::pause(SPAN);
    let end = wait::wall_nanos();
    shelf::stop(pingtest);
    let (found, journal) = (shelf.found(), network.end());
    let account = Account::new(&found.lines, &journal);
    let [before, during, after] = [0..from, from..to, to..end].map(|span| Pace::new(&journal, span));
    say(&format!(
        "times between a target's probes, every 100 ms: {before}; with the disk frozen for {SPAN:?}: {during}; afterwards: {after}; \
         {account}"
    ));
    assert!(found.torn.is_empty(), "{:?}", found.torn);
    assert!(account.is_whole(), "{account}");
    during.assert_like(&before, 10_000.0);
}

/// By the device's own count. ext4 asks for it as well, when it commits its journal, every five seconds by itself.
#[test]
fn a_synced_log_is_handed_to_the_disk_about_once_a_second_and_another_is_not() {
    let _turn = stage::alone();
    let (Some(synced), Some(unsynced)) = (Disk::on_loop(64), Disk::on_loop(64)) else { return };
    let Some(network) = Stage::new(&WEATHER.script()) else { return };
    let [synced_to, unsynced_to] = [(&synced, "1s"), (&unsynced, "off")].map(|(disk, sync)| {
        let shelf = Shelf::new(&disk.path().join("logs"));
        let keys = format!("layout = \"combined\"\nrotate = \"never\"\nsync = \"{sync}\"");
        let pingtest = shelf.start(&network.namespace, &keys, &WEATHER.config());
        pingtest.wait_for("stderr", "sign that it works", |text| text.contains("probing"));
        let before = disk.flushes();
        wait::pause(SPAN);
        let flushes = disk.flushes() - before;
        shelf::stop(pingtest);
        flushes
    });
    say(&format!("flushes of the device in {SPAN:?}: {synced_to} with sync = 1s, {unsynced_to} without"));
    assert!((4..=40).contains(&synced_to) && unsynced_to < 4, "{synced_to}, {unsynced_to}");
}
