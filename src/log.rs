//! `pingtest log`: reads the lines of a target back, from the live file and from rotated ones, packed or not, text or JSON.
//!
//! It needs no daemon and disturbs none: a directory is all it knows. Times are searched for by halving, among files and within
//! each, so that a minute is found as fast in ten gigabytes as in ten megabytes.

mod files;
mod follow;
mod search;
mod show;
mod when;
mod window;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use chrono::Local;

pub use self::follow::pause;
pub use self::when::BadTime;
pub use self::window::Range;

use self::files::{Listing, Log, Rotated};
use self::follow::Follower;
use self::search::Lines;
use self::show::{Flow, Judge, Printer, Verdict, Wanted};
use self::window::SetBacks;
use crate::clock;
use crate::sink::archive::Archive;
use crate::sink::line::{Format, Moment, Outcome, Parser, StampFormat};
use crate::sink::rotation::Packing;

/// The file that all targets share in the layout `combined`, without its ending.
const COMBINED: &str = "pingtest";
/// Bytes by which the last lines are looked for, from the end of a file on.
const STEP: u64 = 1 << 20;
/// Names that are told where the one that was asked for is none.
const NAMES_TOLD: usize = 8;

/// What `pingtest log` is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The directory of the log.
    pub dir: PathBuf,
    /// The target.
    pub name: String,
    /// Time formats that lines may have, the likeliest first: JSON becomes text in that.
    pub stamps: Vec<StampFormat>,
    /// From when to when.
    pub range: Range,
    /// Only lines of these outcomes; all if there are none.
    pub outcomes: Vec<Outcome>,
    /// What lines are shown in.
    pub format: Format,
    /// Only so many of the last lines.
    pub last: Option<usize>,
    /// Whether to go on with lines as they come.
    pub follow: bool,
}

/// Why nothing, or not everything, was read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be read.
    #[error("cannot read {path}: {1}", path = .0.display())]
    Dir(PathBuf, #[source] io::Error),
    /// A file cannot be read.
    #[error("cannot read {path}: {1}", path = .0.display())]
    File(PathBuf, #[source] io::Error),
    /// There is no such log.
    #[error("there is no log of {1} in {dir}{names}", dir = .0.display(), names = told(.2))]
    NoSuchLog(PathBuf, String, Vec<String>),
    /// The lines' stamps tell no date.
    #[error("the time format of the log tells no date, so that times and outcomes cannot be found in it")]
    NoDate,
    /// Whoever was to read the lines does not.
    #[error("cannot write: {0}")]
    Output(#[source] io::Error),
    /// Lines that are none of ours.
    #[error("{lines} not understood, {how}", lines = counted(*.count), how = if *.shown { "shown as found" } else { "left out" })]
    Foreign {
        /// How many.
        count: u64,
        /// Whether they were shown all the same.
        shown: bool,
    },
}

fn counted(lines: u64) -> String {
    format!("{} of the range", crate::counted::counted(lines, "line"))
}

/// ` (there are: alidns, web001, …)`
fn told(names: &[String]) -> String {
    let more = if names.len() > NAMES_TOLD { ", …" } else { "" };
    match names {
        [] => " (there is none of any other either)".to_owned(),
        _ => format!(" (there are: {}{more})", names[..names.len().min(NAMES_TOLD)].join(", ")),
    }
}

/// Told of what went wrong without ending everything.
type Complain<'a> = &'a mut dyn FnMut(&Error);

/// Shows what is asked for on `out`. Tells `complain` of files that cannot be read, and goes on with the others. Where it follows,
/// `wait` says after each look whether there is to be another.
///
/// # Errors
/// See [`Error`].
pub fn run(
    request: &Request,
    out: &mut dyn Write,
    complain: &mut dyn FnMut(&Error),
    wait: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<(), Error> {
    let stamps: Vec<_> = request.stamps.iter().filter(|stamp| stamp.is_readable()).cloned().collect();
    let is_read_only = request.range.is_everything() && request.outcomes.is_empty() && request.format == Format::Text;
    if stamps.first() != request.stamps.first() && !is_read_only {
        return Err(Error::NoDate);
    }
    let set_backs = SetBacks::read(&request.dir);
    let mut printer = Printer::new(out, request.last);
    let mut chains = chains(request, &stamps, &set_backs)?;
    let mut flow = Flow::More;
    for chain in &mut chains {
        flow = chain.show(request.last, &mut printer, complain)?;
    }
    printer.release().map_err(Error::Output)?;
    if let (true, Flow::More, Some(chain)) = (request.follow, flow, chains.pop()) {
        chain.follow(&mut printer, complain, wait)?;
    }
    let foreign = printer.foreign();
    if foreign > 0 && stamps.first() == request.stamps.first() {
        let shown = request.outcomes.is_empty() && request.format == Format::Text;
        complain(&Error::Foreign { count: foreign, shown });
    }
    Ok(())
}

/// The logs in which lines of the target are: its own and the one that all share, that which is written to last.
fn chains(request: &Request, stamps: &[StampFormat], set_backs: &SetBacks) -> Result<Vec<Chain>, Error> {
    let failed = |error| Error::Dir(request.dir.clone(), error);
    let own = (request.name.as_str(), None);
    let shared = (COMBINED, Some(request.name.clone()));
    let mut chains = Vec::new();
    for (stem, only) in [shared, own] {
        let log = Log::new(&request.dir, stem);
        let listing = log.list().map_err(failed)?;
        let is_listed_again = only.is_some() && request.name == COMBINED;
        if is_listed_again || listing.live.is_none() && listing.rotated.is_empty() {
            continue;
        }
        let wanted = Wanted {
            range: request.range,
            window: request.range.window(set_backs, &Local),
            outcomes: request.outcomes.clone(),
            target: (stem != COMBINED).then(|| request.name.clone()),
            only,
            format: request.format,
        };
        let judge = Judge::new(Parser::new(stamps, Local), wanted, set_backs.clone());
        chains.push(Chain::new(log, listing, judge, request.follow));
    }
    if chains.is_empty() {
        let names = files::names(&request.dir).map_err(failed)?;
        return Err(Error::NoSuchLog(request.dir.clone(), request.name.clone(), names));
    }
    chains.sort_by_cached_key(|chain| chain.written());
    Ok(chains)
}

/// A file of a log.
enum Source {
    Rotated(Rotated),
    Live(PathBuf, std::fs::File),
}

impl Source {
    fn path(&self) -> &Path {
        match self {
            Self::Rotated(file) => file.path(),
            Self::Live(path, _) => path,
        }
    }

    /// `None` where it has gone.
    fn open(&self) -> io::Result<Option<Lines>> {
        let archive = match self {
            Self::Rotated(file) => file.open()?,
            Self::Live(_, file) => Some(Archive::of(file.try_clone()?, Packing::Plain)?),
        };
        Ok(archive.map(Lines::new))
    }
}

/// The files of a log, one after the other.
struct Chain {
    log: Log,
    sources: Vec<Source>,
    judge: Judge,
    /// Whether the live file's last line may still get its end.
    follow: bool,
    /// The live file, as far as it has been read.
    live: Option<Lines>,
}

impl Chain {
    fn new(log: Log, listing: Listing, judge: Judge, follow: bool) -> Self {
        let live = listing.live.map(|file| Source::Live(log.live_path(), file));
        let sources = listing.rotated.into_iter().map(Source::Rotated).chain(live).collect();
        let mut chain = Self { log, sources, judge, follow, live: None };
        if !listing.is_ordered {
            chain.sort();
        }
        chain
    }

    /// Files whose names do not tell their order have it by what stands in them.
    fn sort(&mut self) {
        let mut sources = std::mem::take(&mut self.sources);
        sources.sort_by_cached_key(|source| match source {
            Source::Rotated(_) => (false, self.beginning(source).map(|moment| moment.earliest)),
            Source::Live(..) => (true, None),
        });
        self.sources = sources;
    }

    /// When its live file was last written to, and before that which has none.
    fn written(&self) -> Option<std::time::SystemTime> {
        match self.sources.last()? {
            Source::Live(_, file) => file.metadata().ok()?.modified().ok(),
            Source::Rotated(_) => None,
        }
    }

    /// Time of a file's first line; `None` where that cannot be had, which is told when the file is read.
    fn beginning(&mut self, source: &Source) -> Option<Moment> {
        source.open().ok()??.beginning(&mut self.judge.parser).ok()?
    }

    /// The file in which lines that may be wanted begin: none before it has any.
    fn first(&mut self) -> usize {
        let Some(from) = self.judge.wanted().window.from() else { return 0 };
        self.first_after(|moment| moment.latest < from).saturating_sub(1)
    }

    /// The first file that does not begin `before`.
    fn first_after(&mut self, before: impl Fn(Moment) -> bool) -> usize {
        let sources = std::mem::take(&mut self.sources);
        let (mut low, mut high) = (0, sources.len());
        while low < high {
            let middle = low + (high - low) / 2;
            // A file that cannot tell, such as an empty one, begins with the next that can.
            let found = (middle..high).find_map(|at| Some((at, self.beginning(&sources[at])?)));
            match found {
                Some((at, moment)) if before(moment) => low = at + 1,
                Some(_) | None => high = middle,
            }
        }
        self.sources = sources;
        low
    }

    /// Shows what is wanted of all its files.
    fn show(&mut self, last: Option<usize>, printer: &mut Printer, complain: Complain) -> Result<Flow, Error> {
        let first = self.first();
        let (mut first, mut start) = (first, None);
        if let Some(last) = last {
            let (file, at) = self.last_lines(last, first);
            (first, start) = (file, Some(at));
        }
        self.judge.restart();
        for at in first..self.sources.len() {
            let start = start.take();
            match self.show_file(at, at == first, start, printer) {
                Ok(Flow::More) => {}
                Ok(Flow::Past) => return Ok(Flow::Past),
                Err(error @ Error::File(..)) => complain(&error),
                Err(error) => return Err(error),
            }
        }
        Ok(Flow::More)
    }

    fn show_file(&mut self, at: usize, search: bool, start: Option<u64>, printer: &mut Printer) -> Result<Flow, Error> {
        let source = &self.sources[at];
        let failed = |error| Error::File(source.path().to_owned(), error);
        let Some(mut lines) = source.open().map_err(failed)? else { return Ok(Flow::More) };
        let start = match (start, self.judge.wanted().window.from()) {
            (Some(start), _) => start,
            (None, Some(from)) if search => {
                lines.boundary(&mut self.judge.parser, |moment| moment.latest < from).map_err(failed)?.0
            }
            (None, _) => 0,
        };
        lines.seek(start).map_err(failed)?;
        let mut flow = Flow::More;
        while let Some(piece) = lines.next().map_err(failed)? {
            if self.follow && matches!(source, Source::Live(..)) && piece.is_unfinished() {
                let (at, begins) = (piece.at, piece.begins);
                lines.unread(at, begins).map_err(failed)?;
                break;
            }
            flow = printer.show(&piece, &mut self.judge).map_err(Error::Output)?;
            if flow == Flow::Past {
                break;
            }
        }
        printer.end_line().map_err(Error::Output)?;
        if let Source::Live(..) = source {
            self.live = Some(lines);
        }
        Ok(flow)
    }

    /// File and position from which on there are `count` wanted lines, or as many as there are from the file `first` on.
    fn last_lines(&mut self, count: usize, first: usize) -> (usize, u64) {
        let window = self.judge.wanted().window;
        let end = self.first_after(|moment| !window.is_behind(moment));
        let mut found = 0;
        let mut place = (first, 0);
        for at in (first..end).rev() {
            // What cannot be read is told when it is to be shown.
            place = (at, self.count_back(at, count, &mut found).unwrap_or(0));
            if found >= count {
                break;
            }
        }
        place
    }

    /// Counts the wanted lines of a file from its end on, until all of them are `found`. Returns the position of the first.
    fn count_back(&mut self, at: usize, count: usize, found: &mut usize) -> io::Result<u64> {
        let Some(mut lines) = self.sources[at].open()? else { return Ok(0) };
        let window = self.judge.wanted().window;
        let (_, mut end) = lines.boundary(&mut self.judge.parser, |moment| !window.is_behind(moment))?;
        while end > 0 && *found < count {
            let begin = if end == u64::MAX { 0 } else { end.saturating_sub(STEP) };
            lines.seek_line(begin)?;
            self.judge.restart();
            while let Some(piece) = lines.next()?.filter(|piece| piece.at < end) {
                match self.judge.judge(piece.text) {
                    Verdict::Shown(..) | Verdict::Foreign { shown: true } if piece.begins => *found += 1,
                    Verdict::Past => break,
                    Verdict::Shown(..) | Verdict::Foreign { .. } | Verdict::Hidden => {}
                }
            }
            end = begin;
        }
        lines.seek_line(end)?;
        Ok(lines.archive().position())
    }

    /// Shows lines as they come.
    fn follow(
        self,
        printer: &mut Printer,
        complain: Complain,
        wait: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let Self { log, sources, mut judge, live, .. } = self;
        let rotated = sources.into_iter().filter_map(|source| match source {
            Source::Rotated(file) => Some(file.key),
            Source::Live(..) => None,
        });
        let mut follower = Follower::new(log, rotated.collect(), live);
        while wait().is_continue() {
            let is_over = judge.wanted().range.is_over(clock::now().wall);
            let flow = follower.look(&mut judge, printer, complain)?;
            printer.flush().map_err(Error::Output)?;
            if is_over || flow == Flow::Past {
                break;
            }
        }
        Ok(())
    }
}
