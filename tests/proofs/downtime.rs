//! A plan of outages: when the network fails whom and how, and what weather there is between, as the network's script and as pingtest's
//! configuration.
//!
//! Every target has an address, a rhythm and a fate of its own. The weather, single losses or late replies, keeps away from the edges
//! of the outages by more than two probes, so that those are the network's doing alone.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// What a target's probes are like, and how many targets are so.
#[derive(Debug, Clone, Copy)]
struct Shape {
    interval: u64,
    timeout: u64,
    /// The way there and back, and the most that is added to it at random.
    delay: (u64, u64),
}

const fn shape(interval: u64, timeout: u64, delay: (u64, u64)) -> Shape {
    Shape { interval, timeout, delay }
}

/// Milliseconds. With some, a dozen probes are under way, and outages are shorter than the timeout.
const SHAPES: [Shape; 10] = [
    shape(100, 300, (1, 0)),
    shape(100, 500, (20, 5)),
    shape(100, 2000, (40, 10)),
    shape(150, 400, (80, 20)),
    shape(200, 1000, (5, 2)),
    shape(250, 500, (10, 10)),
    shape(300, 2000, (60, 20)),
    shape(500, 1000, (1, 1)),
    shape(500, 2000, (30, 10)),
    shape(1000, 2000, (15, 5)),
];

/// A target and what becomes of it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) addr: IpAddr,
    pub(crate) interval: Duration,
    timeout: Duration,
    /// The least and the most that a reply takes.
    pub(crate) delay: Range<Duration>,
    pub(crate) downs: Vec<Down>,
    weather: Vec<(Range<Duration>, Weather)>,
}

/// A time in which the network fails a target, counted from when the network is ready.
#[derive(Debug, Clone)]
pub(crate) struct Down {
    pub(crate) time: Range<Duration>,
    pub(crate) fault: Fault,
}

/// How it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Silence,
    /// A router says that it does not know the way.
    Unreachable,
}

/// What is no outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Losses,
    LateReplies,
}

/// All targets.
#[derive(Debug)]
pub(crate) struct Plan(pub(crate) Vec<Place>);

impl Plan {
    /// So many targets, whose outages begin and end within `time`.
    pub(crate) fn new(targets: u16, time: Duration) -> Self {
        let mut chance = Xoshiro256PlusPlus::seed_from_u64(5);
        Self((0..targets).map(|index| Place::new(index, time, &mut chance)).collect())
    }

    /// The network's script.
    pub(crate) fn script(&self) -> String {
        self.0.iter().fold("seed = 5\n".to_owned(), |script, place| script + &place.script())
    }

    /// pingtest's configuration, but for the log.
    pub(crate) fn config(&self) -> String {
        self.0.iter().map(Place::config).collect()
    }

    /// How many outages there are.
    pub(crate) fn downs(&self) -> usize {
        self.0.iter().map(|place| place.downs.len()).sum()
    }
}

impl Place {
    fn new(index: u16, time: Duration, chance: &mut Xoshiro256PlusPlus) -> Self {
        let Shape { interval, timeout, delay: (least, more) } = SHAPES[usize::from(index) % SHAPES.len()];
        let [interval, timeout, least, more] = [interval, timeout, least, more].map(Duration::from_millis);
        let (downs, weather) = (Vec::new(), Vec::new());
        let mut place = Self { addr: addr(index), interval, timeout, delay: least..least + more, downs, weather };
        place.fill(time, chance);
        place
    }

    /// Three to eight lost probes each, and six to ten answered ones at least between.
    fn fill(&mut self, time: Duration, chance: &mut Xoshiro256PlusPlus) {
        /// The first probes have left by then, and been answered.
        const START: Duration = Duration::from_secs(3);
        /// Less than that is hardly a time with weather in it.
        const UP: Duration = Duration::from_millis(1500);
        let calm = self.interval * 5 / 2;
        let mut up = START;
        loop {
            let from = up + UP.max(self.interval.mul_f64(chance.random_range(6.0..10.0)));
            let to = from + self.interval.mul_f64(chance.random_range(3.2..8.2));
            if to > time {
                return;
            }
            let (fault, weather) = if chance.random() {
                (Fault::Silence, Weather::Losses)
            } else {
                (Fault::Unreachable, Weather::LateReplies)
            };
            self.weather.push((up + calm..from - calm, weather));
            self.downs.push(Down { time: from..to, fault });
            up = to;
        }
    }

    fn script(&self) -> String {
        let (least, most) = (self.delay.start.as_micros(), self.delay.end.as_micros());
        let router = self.router();
        let kind = if self.addr.is_ipv6() { "address_unreachable" } else { "host_unreachable" };
        let mut script =
            format!("[[net]]\nprefix = \"{}\"\ndelay = {{ uniform = [\"{least}us\", \"{most}us\"] }}\n", self.addr);
        for Down { time, fault } in &self.downs {
            script += &change(time);
            match fault {
                Fault::Silence => script += "down = true\n",
                Fault::Unreachable => {
                    let _ = writeln!(script, "error = {{ type = \"{kind}\", router = \"{router}\" }}");
                }
            }
        }
        for (time, weather) in &self.weather {
            script += &change(time);
            script += "duplicate = { probability = 0.05, copies = 1, after = \"3ms\" }\n";
            match weather {
                Weather::Losses => script += "loss = 0.02\n",
                Weather::LateReplies => {
                    let late = (self.timeout + LATE).as_millis();
                    let _ = writeln!(
                        script,
                        "delay = {{ list = [\"{least}us\", \"{least}us\", \"{most}us\", \"{late}ms\"], then = \"repeat\" }}"
                    );
                }
            }
        }
        script
    }

    fn config(&self) -> String {
        let (interval, timeout) = (self.interval.as_millis(), self.timeout.as_millis());
        format!("[[target]]\nhost = \"{}\"\ninterval = \"{interval}ms\"\ntimeout = \"{timeout}ms\"\n", self.addr)
    }

    /// Who speaks where the target cannot be reached.
    pub(crate) fn router(&self) -> &'static str {
        if self.addr.is_ipv6() { "fd0e::1" } else { "10.254.0.1" }
    }
}

/// How long after the timeout late replies come.
const LATE: Duration = Duration::from_millis(150);

fn change(time: &Range<Duration>) -> String {
    let (at, length) = (time.start.as_micros(), (time.end - time.start).as_micros());
    format!("[[net.change]]\nat = \"{at}us\"\nfor = \"{length}us\"\n")
}

/// Of either family by turns of ten, so that each shape is met in both.
fn addr(index: u16) -> IpAddr {
    let [high, low] = (index + 1).to_be_bytes();
    if (index / 10).is_multiple_of(2) {
        Ipv4Addr::new(10, 1, high, low).into()
    } else {
        Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, index + 1).into()
    }
}
