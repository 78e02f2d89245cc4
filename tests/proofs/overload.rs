//! Ten times what the machine can do: pingtest says what it could not measure, and stays within bounds.

use std::time::Duration;

use crate::matrix::Matrix;
use crate::stage::{self, Pingtest, Stage, Stopped, say};
use crate::truth::Outcome;
use crate::weather::{PATIENT, Weather};

/// A million probes a second are asked for.
const OVERLOAD: Weather = Weather { kinds: PATIENT, targets_of_each: 10_000, interval: "10ms" };
const TIME: Duration = Duration::from_secs(10);
/// That of [`PATIENT`].
const TIMEOUT: Duration = Duration::from_secs(5);

/// SIGTERM stops within two seconds; the rest is for a machine that does something else meanwhile.
const STOPS_WITHIN: Duration = Duration::from_secs(3);

/// How an overload ended.
struct Played {
    matrix: Matrix,
    stopped: Stopped,
    /// Packets that the device had no room for.
    at_device: u64,
}

/// Without a queueing discipline the kernel tells the sender what the device had no room for, as it does of a network card's queue.
#[test]
fn overload_is_called_not_measured_and_memory_stays_bounded() {
    let _turn = stage::alone();
    let Some(played) = play(|network| network.namespace.tc("qdisc replace dev sim0 root noqueue")) else { return };
    assert_sound(&played);
    assert_eq!(played.matrix.told(Outcome::Lost), 0, "the network lost nothing");
    let not_sent = played.matrix.told(Outcome::NotSent);
    assert!(not_sent <= played.at_device, "{not_sent} not sent, and the device dropped {} only", played.at_device);
}

/// With one, nobody is told, and a short queue makes it happen often: a probe that vanishes there is lost (README.md, "Limits"), but no
/// other.
#[test]
fn overload_of_a_device_that_tells_nobody_loses_what_the_device_dropped_and_nothing_else() {
    let _turn = stage::alone();
    let Some(played) = play(|network| network.namespace.ip("link set sim0 txqueuelen 50")) else { return };
    assert_sound(&played);
    let lost = played.matrix.told(Outcome::Lost);
    assert_eq!(lost, played.matrix.cell(Outcome::Absent, Outcome::Lost), "lost though it reached the network");
    let vanished = lost + played.matrix.cell(Outcome::Absent, Outcome::Stopped);
    assert!(vanished <= played.at_device, "{vanished} vanished, and the device dropped {} only", played.at_device);
}

fn play(prepare: impl FnOnce(&Stage)) -> Option<Played> {
    let network = Stage::new(&OVERLOAD.script())?;
    prepare(&network);
    let pingtest = Pingtest::start(&network.namespace, &OVERLOAD.config());
    pingtest.run_for(TIME);
    let at_socket = network.namespace.drops();
    let stopped = pingtest.stop();
    let at_device = network.dropped();
    let matrix = Matrix::new(OVERLOAD.targets(), &network.end(), &stopped.log);
    let played = Played { matrix, stopped, at_device };
    played.tell(at_socket);
    Some(played)
}

impl Played {
    fn tell(&self, at_socket: u64) {
        let Stopped { log, took, peak_memory, .. } = &self.stopped;
        say(&format!(
            "overload, 1,000,000 probes a second asked for, for {TIME:?}:\n{}\n{} lines, {} records not written; dropped by the \
             device {}, by the sockets {at_socket}; stopped within {took:.1?}; peak memory {} MiB, bound {} MiB",
            self.matrix,
            log.lines,
            log.not_written,
            self.at_device,
            peak_memory >> 20,
            self.memory_bound() >> 20
        ));
    }

    /// What may be held: what ten thousand targets cost at rest, the queue of lines, and the probes that may still change their
    /// verdict. None of those is forgotten before the end here, so all that left count.
    fn memory_bound(&self) -> u64 {
        /// Configuration, targets, receive and line buffers.
        const AT_REST: u64 = 64 << 20;
        /// 131,072 records of 152 bytes, and as much again in spent batches.
        const QUEUE: u64 = 38 << 20;
        /// A probe and its place on the agenda, each in a vector that has doubled.
        const PROBE: u64 = 2 * (40 + 32);
        /// A verdict that waits for those on earlier probes, likewise: until these have had their timeout.
        const VERDICT: u64 = 2 * 88;
        let probes = self.matrix.probes() + self.at_device;
        let waiting = probes * TIMEOUT.as_secs() / TIME.as_secs();
        AT_REST + QUEUE + probes * PROBE + waiting * VERDICT
    }
}

/// What was answered in time is called a reply, or not measured where a buffer here overflowed or its sending took too long, or it has
/// no line and the log says that lines are missing.
fn assert_sound(played: &Played) {
    let Played { matrix, stopped, .. } = played;
    let honest = [Outcome::Reply, Outcome::Overflowed, Outcome::Stalled, Outcome::Stopped, Outcome::Absent];
    let dishonest: Vec<_> = Outcome::ALL
        .into_iter()
        .filter(|told| !honest.contains(told) && matrix.cell(Outcome::Reply, *told) > 0)
        .collect();
    assert!(dishonest.is_empty(), "answered in time and called {dishonest:?}:\n{}", matrix.errors().1);
    let unwritten = matrix.cell(Outcome::Reply, Outcome::Absent);
    assert!(unwritten <= stopped.log.not_written, "{unwritten} replies have no line and no word of it");
    assert!(matrix.told(Outcome::Stalled) > matrix.probes(), "most of it cannot be measured, and that is told");
    assert!(stopped.took <= STOPS_WITHIN, "it takes {:?} to stop", stopped.took);
    let bound = played.memory_bound();
    assert!(stopped.peak_memory <= bound, "{} bytes, not {bound} at most", stopped.peak_memory);
}
