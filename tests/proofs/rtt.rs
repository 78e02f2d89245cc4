//! Round-trip times against a packet capture: how far pingtest's own are off.
//!
//! Both take a reply's arrival from the kernel; what differs is when the request is taken to have left. The log gives whole
//! microseconds, so half a microsecond of the error is rounding.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::capture::{Capture, Echoes};
use crate::log::Log;
use crate::stage::{self, Pingtest, say};
use crate::support::net::{self, Pair};

const TIME: Duration = Duration::from_secs(10);

#[test]
fn rtt_error_against_a_capture_at_100_per_second() {
    measure("100/s", 10);
}

#[test]
fn rtt_error_against_a_capture_at_10_000_per_second() {
    measure("10,000/s", 1000);
}

/// So many hosts ten times a second, all of them the kernel at the far end of a wire.
fn measure(rate: &str, hosts: u16) {
    let _turn = stage::alone();
    let Some(pair) = Pair::new() else { return };
    if pair.near.command("tcpdump").arg("--version").output().map_or(true, |output| !output.status.success()) {
        return net::skip("tcpdump is not installed");
    }
    pair.far.ip("route add local 10.77.0.0/16 dev lo");
    pair.near.ip("route add 10.77.0.0/16 via 10.99.0.2");
    let capture = Capture::start(&pair.near, "v0");
    let mut config = "[defaults]\ninterval = \"100ms\"\n".to_owned();
    for [high, low] in (1..=hosts).map(u16::to_be_bytes) {
        let _ = writeln!(config, "[[target]]\nhost = \"10.77.{high}.{low}\"");
    }
    let pingtest = Pingtest::start(&pair.near, &config);
    pingtest.run_for(TIME);
    let log = pingtest.stop().log;
    let (echoes, dropped) = capture.stop();
    let errors = Errors::new(&log, &echoes);
    say(&format!("RTT against a capture at {rate}: {errors}; tcpdump missed {dropped} packets"));
    errors.assert_sound(dropped, 8 * 10 * usize::from(hosts));
}

/// pingtest's times less the capture's, µs, sorted.
struct Errors {
    signed: Vec<f64>,
    absolute: Vec<f64>,
    /// Replies in the log of which the capture lacks a packet.
    unmatched: u64,
}

impl Errors {
    fn new(log: &Log, echoes: &Echoes) -> Self {
        let idents = echoes.keys().map(|&(_, ident, _)| ident).collect::<std::collections::BTreeSet<_>>();
        let ident = *idents.first().expect("packets were captured");
        assert_eq!(idents.len(), 1, "all targets share one socket");
        let mut errors = Self { signed: Vec::new(), absolute: Vec::new(), unmatched: 0 };
        for (addr, seq, rtt_ms) in replies(log) {
            let echo = echoes.get(&(addr, ident, (seq & 0xffff) as u16));
            match echo.and_then(|echo| Some((echo.request?, echo.reply?))) {
                Some((request, reply)) => errors.signed.push(rtt_ms * 1e3 - (reply as f64 - request as f64) / 1e3),
                None => errors.unmatched += 1,
            }
        }
        errors.absolute = errors.signed.iter().map(|error| error.abs()).collect();
        errors.signed.sort_by(f64::total_cmp);
        errors.absolute.sort_by(f64::total_cmp);
        errors
    }

    /// What holds on a busy machine as well: a thread that is preempted between its reading of the clock and its call sees a longer
    /// time than the wire, but never a shorter one by more than the step from the tap to the device.
    fn assert_sound(&self, dropped: u64, at_least: usize) {
        assert!(self.signed.len() >= at_least, "only {} replies", self.signed.len());
        assert!(self.unmatched <= dropped, "{} replies were not captured", self.unmatched);
        assert!(self.signed[0] > -1000.0, "a round-trip time is too short by {} µs", -self.signed[0]);
        let median = quantile(&self.absolute, 0.5);
        assert!(median <= 25.0, "half of the round-trip times are off by more than {median} µs");
    }
}

impl std::fmt::Display for Errors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [median, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(&self.absolute, share));
        let [lowest, middle, highest] = [0.01, 0.5, 0.99].map(|share| quantile(&self.signed, share));
        write!(f, "n {}, |error| median {median:.1}, p99 {p99:.1}, max {max:.1} µs; ", self.signed.len())?;
        write!(f, "signed p1 {lowest:.1}, median {middle:.1}, p99 {highest:.1}, min {:.1} µs", self.signed[0])
    }
}

fn replies(log: &Log) -> impl Iterator<Item = (Ipv4Addr, u64, f64)> {
    log.targets.iter().flat_map(|(addr, told)| {
        let IpAddr::V4(addr) = *addr else { panic!("{addr} is not probed here") };
        told.probes.iter().filter_map(move |(&seq, probe)| Some((addr, seq, probe.rtt_ms?)))
    })
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}
