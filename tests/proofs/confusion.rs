//! Every probe in every weather against the journal of truth.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::details::Details;
use crate::matrix::Matrix;
use crate::stage::{self, Pingtest, Stage, Stopped, say};
use crate::support::journal::{Journal, Kind};
use crate::truth::Outcome;
use crate::weather::{BAD_CHECKSUMS, MIXED, Weather};

#[test]
fn every_probe_of_mixed_weather_is_called_what_it_was() {
    let _turn = stage::alone();
    let weather = Weather { kinds: MIXED, targets_of_each: 20, interval: "100ms" };
    let Some(Played { matrix, details, journal }) = play(weather, Duration::from_secs(16)) else { return };
    let kinds = kinds(&journal);
    say(&format!("mixed weather, {} kinds, IPv4 and IPv6\n{matrix}\n{details}\nanswers: {kinds:?}", MIXED.len()));
    let calm = Kind::ALL.into_iter().find(|kind| !kinds.contains_key(kind));
    assert_eq!(calm, None, "there was no such answer");
    assert!(matrix.probes() >= 100_000, "{} probes are too few", matrix.probes());
    assert_right(&matrix, &details);
}

/// The kernel drops such a reply where no process sees it, and its counter of drops does not tell it from one dropped for want of room.
#[test]
fn a_wrong_checksum_over_ipv6_is_not_measured_and_costs_no_neighbour_a_reply() {
    let _turn = stage::together();
    let weather = Weather { kinds: BAD_CHECKSUMS, targets_of_each: 20, interval: "100ms" };
    let Some(Played { matrix, details, .. }) = play(weather, Duration::from_secs(8)) else { return };
    say(&format!("wrong checksums over IPv6\n{matrix}\n{details}"));
    assert!(matrix.told(Outcome::Overflowed) > 0, "none was noticed");
    assert_right(&matrix, &details);
}

/// What came of a weather.
struct Played {
    matrix: Matrix,
    details: Details,
    journal: Journal,
}

fn play(weather: Weather, time: Duration) -> Option<Played> {
    let network = Stage::new(&weather.script())?;
    let pingtest = Pingtest::start(&network.namespace, &weather.config());
    pingtest.run_for(time);
    let Stopped { log, .. } = pingtest.stop();
    assert_eq!((log.not_written, network.dropped()), (0, 0), "lines not written, packets that the device dropped");
    let journal = network.end();
    let matrix = Matrix::new(weather.targets(), &journal, &log);
    let details = Details::new(weather.targets(), &journal, &log);
    Some(Played { matrix, details, journal })
}

/// How many answers of each kind there were.
fn kinds(journal: &Journal) -> BTreeMap<Kind, u64> {
    let mut kinds = BTreeMap::new();
    for answer in journal.requests().flat_map(|(_, request)| &request.answers) {
        *kinds.entry(answer.kind).or_default() += 1;
    }
    kinds
}

fn assert_right(matrix: &Matrix, details: &Details) {
    assert!(matrix.doubtful() * 100 <= matrix.probes(), "{} probes were sent too slowly", matrix.doubtful());
    let (errors, examples) = matrix.errors();
    assert_eq!(errors, 0, "off the diagonal; of each kind of weather one:\n{examples}");
    let answered = [Outcome::Reply, Outcome::Late, Outcome::Damaged, Outcome::DifferentAddress, Outcome::Unreachable];
    let answered = answered.map(|outcome| matrix.told(outcome)).iter().sum();
    assert!(details.compared() >= answered, "{} lines for {answered} answered probes", details.compared());
    let (wrong, examples) = details.wrong();
    assert_eq!(wrong, 0, "lines say otherwise than it was; of each detail one:\n{examples}");
}
