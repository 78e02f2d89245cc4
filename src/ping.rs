//! `pingtest ping`: the daemon's engine without a configuration. Lines go to standard output, a summary follows.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::daemon::{self, Error, Parts, StopSignals, Tap, Told};
use crate::monitor::record::{AnswerKind, Event, Record};
use crate::monitor::target::{Name, Target};
use crate::monitor::window::{Losses, Window};
use crate::monitor::{Monitor, Start};
use crate::sink::file::{self, Output};
use crate::sink::line::Format;

/// How long somebody who has asked it to stop waits for a summary that nobody reads.
const IMPATIENT: Duration = Duration::from_millis(500);

/// What `pingtest ping` is asked to do.
#[derive(Debug)]
pub struct Request {
    /// Whom to probe and how.
    pub targets: Vec<Arc<Target>>,
    /// Where the lines go.
    pub outputs: Vec<Output>,
    /// Stop after this time, whatever is still in flight.
    pub deadline: Option<Duration>,
    /// What the lines are written in. The summary stays out of the way of JSON: it goes to standard error then.
    pub format: Format,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every target answered at least once.
    AllAnswered,
    /// At least one never did.
    SomeSilent,
}

/// Pings until the counts are reached, the deadline has passed or it is told to stop; then prints the summary.
///
/// # Errors
/// Why it could not start, or not go on.
pub fn ping(request: Request) -> Result<Outcome, Error> {
    let runtime = daemon::runtime()?;
    let outcome = runtime.block_on(run(request));
    // Whoever does not read the summary must not keep the process.
    runtime.shutdown_background();
    outcome
}

async fn run(request: Request) -> Result<Outcome, Error> {
    let mut signals = StopSignals::new()?;
    daemon::permitted(&request.targets)?;
    let spreads = Spreads::default();
    let tap = Tap::Ping(spreads.tap());
    let mut parts = Parts::start(request.targets, Start::AtOnce, &request.outputs, tap)?;
    let deadline = tokio::time::sleep(request.deadline.unwrap_or(Duration::MAX));
    tokio::pin!(deadline);
    let (monitor, patience) = loop {
        tokio::select! {
            ended = &mut parts.driver.ended => {
                parts.ended().await;
                break (ended.map_err(|_| Error::Died("probing"))??, Duration::MAX);
            }
            Some(told) = parts.notices.recv() => match told {
                Told::Log(file::Notice::StdoutClosed) => break (parts.stop().await?, IMPATIENT),
                told @ (Told::Driver(_) | Told::Found(_) | Told::Log(_) | Told::Ledger(_) | Told::Hook(_)) => daemon::tell(&told),
            },
            _ = signals.recv() => break (parts.stop().await?, IMPATIENT),
            () = &mut deadline => break (parts.stop().await?, Duration::MAX),
        }
    };
    let summary = summary(&monitor, &spreads);
    let printed = tokio::task::spawn_blocking(move || print(&summary, request.format));
    tokio::select! {
        _ = printed => {}
        () = tokio::time::sleep(patience) => {}
        _ = signals.recv() => {}
    }
    Ok(outcome(&monitor))
}

fn outcome(monitor: &Monitor) -> Outcome {
    let all_answered = monitor.targets().all(|(_, _, window)| window.replies > 0);
    if all_answered { Outcome::AllAnswered } else { Outcome::SomeSilent }
}

/// Whoever reads the summary may have gone by now; then there is nobody to tell.
fn print(summary: &str, format: Format) {
    let _ = match format {
        Format::Text => io::stdout().lock().write_all(summary.as_bytes()),
        Format::Json => io::stderr().lock().write_all(summary.as_bytes()),
    };
}

/// The spread of each target's round-trip times, for its quantiles.
#[derive(Debug, Clone, Default)]
struct Spreads(Arc<Mutex<BTreeMap<Name, Histogram<u32>>>>);

impl Spreads {
    /// Unit of the histograms: fine enough for loopback, coarse enough for small numbers.
    const UNIT: Duration = Duration::from_nanos(100);

    /// Significant figures of a quantile: 0.1 %.
    const FIGURES: u8 = 3;

    /// Sees every reply. The lock is free: it is taken elsewhere only when the loop has ended.
    fn tap(&self) -> Box<dyn FnMut(&Record) + Send> {
        let spreads = self.clone();
        Box::new(move |record| {
            if let Event::Answer(answer) = &record.event
                && matches!(answer.kind, AnswerKind::Reply | AnswerKind::Late)
            {
                spreads.add(&record.target.name, answer.rtt);
            }
        })
    }

    fn add(&self, name: &Name, rtt: Duration) {
        let mut spreads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !spreads.contains_key(name)
            && let Ok(empty) = Histogram::new(Self::FIGURES)
        {
            spreads.insert(name.clone(), empty);
        }
        if let Some(spread) = spreads.get_mut(name) {
            let units = u64::try_from(rtt.as_nanos() / Self::UNIT.as_nanos()).unwrap_or(u64::MAX);
            // A histogram that cannot grow any further keeps what it has.
            let _ = spread.record(units);
        }
    }

    /// The given quantiles of one target; zero where it never answered.
    fn quantiles<const N: usize>(&self, name: &Name, quantiles: [f64; N]) -> [Duration; N] {
        let spreads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        quantiles.map(|quantile| {
            let units = spreads.get(name).map_or(0, |spread| spread.value_at_quantile(quantile));
            Self::UNIT * u32::try_from(units).unwrap_or(u32::MAX)
        })
    }
}

fn summary(monitor: &Monitor, spreads: &Spreads) -> String {
    let mut text = String::new();
    for (target, _, window) in monitor.targets() {
        let summary = Summary { target, window, quantiles: spreads.quantiles(&target.name, [0.5, 0.95, 0.99]) };
        // Writing to a string cannot fail.
        let _ = write!(text, "{summary}");
    }
    text
}

/// What is printed about one target.
struct Summary<'a> {
    target: &'a Target,
    window: &'a Window,
    /// Median, 95th and 99th percentile.
    quantiles: [Duration; 3],
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Window { sent, replies, late, in_flight, duplicates, not_sent, not_measured, ignored, rtt, .. } =
            self.window;
        writeln!(f, "--- {} ping statistics ---", self.target.host)?;
        write!(f, "{sent} sent, {replies} received")?;
        if *late > 0 {
            write!(f, " ({late} of them late)")?;
        }
        write!(f, ", {} lost{}", self.window.lost.total(), Causes(&self.window.lost))?;
        for (count, what) in [(in_flight, "in flight"), (duplicates, "duplicates")] {
            if *count > 0 || what == "duplicates" {
                write!(f, ", {count} {what}")?;
            }
        }
        if let Some(loss) = self.window.loss() {
            write!(f, ", {} % loss", percent(loss))?;
        }
        let ignored =
            [(ignored.forged, "forged"), (ignored.stale, "stale"), (ignored.redundant, "redundant replies ignored")];
        for (count, what) in [(*not_sent, "not sent"), (*not_measured, "not measured")].into_iter().chain(ignored) {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        writeln!(f)?;
        let Some(mean) = rtt.mean() else { return Ok(()) };
        let [median, p95, p99] = self.quantiles.map(|quantile| quantile.clamp(rtt.min(), rtt.max()));
        let [min, mean, median, p95, p99, max] = [rtt.min(), mean, median, p95, p99, rtt.max()].map(milliseconds);
        let jitter = milliseconds(rtt.jitter());
        writeln!(
            f,
            "rtt min/mean/median/p95/p99/max = {min}/{mean}/{median}/{p95}/{p99}/{max} ms, jitter (RFC 3550) {jitter} ms"
        )
    }
}

/// ` (3 unanswered, 1 unreachable)`, or nothing where nothing was lost.
struct Causes<'a>(&'a Losses);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Losses { unanswered, unreachable, damaged, different_address } = *self.0;
        let causes = [
            (unanswered, "unanswered"),
            (unreachable, "unreachable"),
            (damaged, "damaged"),
            (different_address, "answered by another address"),
        ];
        let causes: Vec<_> = causes.iter().filter(|(n, _)| *n > 0).map(|(n, cause)| format!("{n} {cause}")).collect();
        if causes.is_empty() { Ok(()) } else { write!(f, " ({})", causes.join(", ")) }
    }
}

/// Per cent with as many decimals as say something: `0`, `0.02`, `12.5`.
fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_cent_says_what_is_to_be_said() {
        assert_eq!([0.0, 1.0, 0.125, 0.000_2].map(percent), ["0", "100", "12.5", "0.02"]);
    }

    #[test]
    fn causes_are_named_where_there_are_some() {
        assert_eq!(Causes(&Losses::default()).to_string(), "");
        let lost = Losses { unanswered: 3, damaged: 1, ..Losses::default() };
        assert_eq!(Causes(&lost).to_string(), " (3 unanswered, 1 damaged)");
    }
}
