//! Ten times what the machine can do: it says what it could not measure, and stays within bounds.

use std::time::Duration;

use crate::matrix::Matrix;
use crate::stage::{self, Pingtest, Simnet, Stopped, say};
use crate::truth::Outcome;
use crate::weather::{FAIR, Weather};

/// A million probes a second are asked for.
const OVERLOAD: Weather = Weather { kinds: FAIR, targets_of_each: 10_000, interval: "10ms" };
const TIME: Duration = Duration::from_secs(10);

/// SIGTERM stops within two seconds; the rest is for a machine that does something else meanwhile.
const STOPS_WITHIN: Duration = Duration::from_millis(3000);

#[test]
fn overload_is_called_not_measured_and_memory_stays_bounded() {
    let _turn = stage::alone();
    let Some(simnet) = Simnet::start(&OVERLOAD.script()) else { return };
    let pingtest = Pingtest::start(&simnet.namespace, &OVERLOAD.config());
    pingtest.run_for(TIME);
    let at_socket = simnet.namespace.drops();
    let stopped = pingtest.stop();
    let at_device = simnet.dropped();
    let matrix = Matrix::new(OVERLOAD.targets(), &simnet.stop(), &stopped.log);
    tell(&matrix, &stopped, at_device, at_socket);
    assert_no_false_loss(&matrix, at_device);
    assert!(matrix.told(Outcome::Stalled) > matrix.probes(), "most of it cannot be measured, and that is told");
    assert!(stopped.took <= STOPS_WITHIN, "it takes {:?} to stop", stopped.took);
    let bound = memory_bound(matrix.probes() + at_device);
    assert!(stopped.peak_memory <= bound, "{} of {bound} bytes", stopped.peak_memory);
}

fn tell(matrix: &Matrix, stopped: &Stopped, at_device: u64, at_socket: u64) {
    let Stopped { log, took, peak_memory, .. } = stopped;
    let bound = memory_bound(matrix.probes() + at_device);
    say(&format!(
        "overload, 1,000,000 probes a second asked for, {TIME:?}:\n{matrix}\n{} lines, {} records not written; dropped by the \
         device {at_device}, by the sockets {at_socket}; stopped within {took:.1?}; peak memory {} MiB, bound {} MiB",
        log.lines,
        log.not_written,
        peak_memory >> 20,
        bound >> 20
    ));
}

/// A reply that came in time is never called lost, whatever became of it on its last step. What is called lost and never reached the
/// network was dropped at the device's full queue, of which the kernel tells the sender nothing (README, "Limits").
fn assert_no_false_loss(matrix: &Matrix, at_device: u64) {
    let (_, examples) = matrix.errors();
    assert_eq!(matrix.cell(Outcome::Reply, Outcome::Lost), 0, "answered in time and called lost:\n{examples}");
    let vanished = matrix.cell(Outcome::Absent, Outcome::Lost);
    assert!(vanished <= at_device, "{vanished} lost that never left, and the device dropped only {at_device}");
}

/// What may be held: what ten thousand targets cost at rest, the queue of lines, and the probes that may still change their verdict.
/// None is forgotten here before the end, so all that left count.
fn memory_bound(probes: u64) -> u64 {
    /// Configuration, targets, receive and line buffers.
    const AT_REST: u64 = 96 << 20;
    /// 131,072 records of a hundred-odd bytes, and as much again in spent batches.
    const QUEUE: u64 = 32 << 20;
    /// A probe and its place on the agenda, each in a vector that has doubled.
    const PROBE: u64 = 2 * (40 + 32);
    AT_REST + QUEUE + probes * PROBE
}
