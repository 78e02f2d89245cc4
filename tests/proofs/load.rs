//! Many probes for a minute: none of them is lost, for the network loses none.

use std::time::Duration;

use crate::matrix::Matrix;
use crate::stage::{self, Pingtest, Stage, say};
use crate::truth::Outcome;
use crate::weather::{FAIR, Weather};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn ten_thousand_targets_each_second_lose_nothing() {
    lose_nothing("10,000 targets each second", Weather { kinds: FAIR, targets_of_each: 10_000, interval: "1s" });
}

#[test]
fn a_thousand_targets_ten_times_a_second_lose_nothing() {
    lose_nothing("1,000 targets ten times a second", Weather { kinds: FAIR, targets_of_each: 1000, interval: "100ms" });
}

fn lose_nothing(what: &str, weather: Weather) {
    let _turn = stage::together();
    let Some(network) = Stage::new(&weather.script()) else { return };
    let pingtest = Pingtest::start(&network.namespace, &weather.config());
    pingtest.run_for(MINUTE);
    let (at_device, at_socket) = (network.dropped(), network.namespace.drops());
    let stopped = pingtest.stop();
    let matrix = Matrix::new(weather.targets(), &network.end(), &stopped.log);
    let [reply, lost, stalled, open] =
        [Outcome::Reply, Outcome::Lost, Outcome::Stalled, Outcome::Stopped].map(|outcome| matrix.told(outcome));
    say(&format!(
        "{what} for a minute: {} sent, {reply} replies, {lost} lost, {stalled} not measured (stalled), {open} open at the end; \
         dropped by the device {at_device}, by the sockets {at_socket}; peak memory {} MiB",
        matrix.probes(),
        stopped.peak_memory >> 20
    ));
    assert_eq!(
        (at_device, at_socket, stopped.log.not_written),
        (0, 0, 0),
        "dropped by device and sockets, not written"
    );
    assert!(matrix.doubtful() * 100 <= matrix.probes(), "{} probes were sent too slowly", matrix.doubtful());
    let (errors, examples) = matrix.errors();
    assert_eq!((lost, errors), (0, 0), "lost, told otherwise than became of them:\n{matrix}\n{examples}");
}
