//! What an output does with the files of a directory that is its own: when they are rotated, how large they may be, when they are
//! synced, and what is given up where the disk is full.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use chrono::Local;

use super::catalogue::Stage;
use super::directory::{Directory, Look, is_full};
use super::log_file::LogFile;
use super::output::Desk;
use super::syncer::Batch;
use super::tenants::Tenancy;
use super::{Keeping, Notice, Why};
use crate::monitor::time::Wall;
use crate::sink::line::StampFormat;
use crate::sink::line::parse::Parser;
use crate::sink::rotation::{Begun, Calendar, SUFFIX};

/// Bytes beyond those that wait that may be given up on a full disk at a time: what is written meanwhile, and what file systems round
/// up to.
const ALLOWANCE: u64 = 1 << 20;
/// Looks, about a second each, for which nothing is given up after that did not help: somebody else fills the disk, or something
/// else holds what was deleted, such as a snapshot.
const FUTILE: u32 = 60;
/// Bytes of a file in which its first line ends, if it is one of ours.
const FIRST_LINE: u64 = 4096;
/// How much earlier than the one before a line may be without the clock having been set back: lines are in the order of judgement.
const DISORDER: i64 = 1_000_000_000;

/// A directory of one's own.
#[derive(Debug)]
pub(super) struct Own {
    tenancy: Arc<Tenancy>,
    keeping: Keeping,
    calendar: Calendar<Local>,
    parser: Parser,
    /// Time of the latest line since the clock was last set back.
    latest: Option<Wall>,
    /// What the last look found, and whether that was another thing than before.
    seen: Option<Look>,
    changing: bool,
    synced_at: Option<Instant>,
    /// Whether it was told that a file cannot be rotated.
    not_rotated: bool,
    /// Bytes that were given up for want of room since the last look.
    given_up: u64,
    /// Looks for which nothing is given up.
    futile: u32,
    /// Whether the keeper was asked to leave what fills the disk, in this time of trouble.
    halted: bool,
    /// Files that were rotated since the last time files were synced.
    rotated: Vec<PathBuf>,
}

/// What became of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    AsItWas,
    /// Something was changed in it.
    Touched,
    /// It is gone and cannot be made, or another process has it.
    Lost,
}

impl Own {
    pub(super) fn new(tenancy: Arc<Tenancy>, keeping: Keeping, stamp: &StampFormat) -> Self {
        Self {
            tenancy,
            keeping,
            calendar: Calendar::new(keeping.rotate, Local),
            parser: Parser::new(std::slice::from_ref(stamp), Local),
            latest: None,
            seen: None,
            changing: false,
            synced_at: None,
            not_rotated: false,
            given_up: 0,
            futile: 0,
            halted: false,
            rotated: Vec::new(),
        }
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.tenancy.directory
    }

    /// Takes over from the output before: from here on its limits hold.
    pub(super) fn take_over(&mut self, other: Option<&Self>) {
        if let Some(other) = other {
            self.keeping = other.keeping;
            self.calendar = Calendar::new(self.keeping.rotate, Local);
        }
        self.directory().keep(self.keeping);
    }

    pub(super) fn is_same_directory(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tenancy, &other.tenancy)
    }

    /// Takes note of a line's time.
    pub(super) fn see(&mut self, at: Wall) {
        let latest = self.latest.unwrap_or(at);
        if at.as_nanos() < latest.as_nanos().saturating_sub(DISORDER) {
            self.directory().note_set_back(latest, at);
            self.latest = Some(at);
        } else {
            self.latest = Some(latest.max(at));
        }
    }

    pub(super) fn begin(&mut self, at: Wall) -> Begun {
        self.calendar.begin(at)
    }

    /// When a file was begun that an earlier process left: by its first line or, where that cannot be read, by its last change.
    pub(super) fn begun(&mut self, path: &Path) -> Option<Begun> {
        let at = first_line(path).and_then(|line| self.parser.moment(&line)).map(|moment| moment.earliest);
        at.or_else(|| modified(path)).map(|at| self.begin(at))
    }

    /// Whether a line of `at` belongs to another file.
    pub(super) fn is_over(&mut self, file: &LogFile, at: Wall, look: u32) -> bool {
        let Some(begun) = file.begun else { return false };
        let size = file.size + file.pending.len() as u64;
        let full = self.keeping.max_size.is_some_and(|max| size >= max.get());
        // What cannot be rotated is not tried again with each line.
        (full || self.calendar.is_over(begun, at)) && file.not_rotated != Some(look)
    }

    /// Gives a file that is written the name under which it is kept.
    pub(super) fn rotate(&mut self, file: &mut LogFile, desk: &mut Desk) {
        let Some(begun) = file.begun else { return };
        let mut rotated = self.try_rotate(file, begun, desk);
        desk.steps.step();
        if let Err(error) = &rotated
            && self.made_room(error, file, desk)
        {
            rotated = self.try_rotate(file, begun, desk);
            desk.steps.step();
        }
        match rotated {
            Ok(path) => {
                self.not_rotated = false;
                if self.syncs() {
                    self.rotated.push(path);
                }
                desk.open.pop(&file.id);
                file.forget();
            }
            Err(error) => {
                file.not_rotated = Some(desk.look);
                // A file that is gone is made anew at the next look.
                if error.kind() != io::ErrorKind::NotFound && !mem::replace(&mut self.not_rotated, true) {
                    desk.tell(Notice::NotRotated { path: file.way.path().to_owned(), error });
                }
            }
        }
    }

    fn try_rotate(&self, file: &LogFile, begun: Begun, desk: &Desk) -> io::Result<PathBuf> {
        let path = file.way.path();
        let meta = fs::symlink_metadata(path)?;
        if !meta.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        if !file.is(&meta, &desk.open) {
            // Somebody has put another in its place.
            return Err(io::ErrorKind::NotFound.into());
        }
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(SUFFIX));
        let live = name.ok_or(io::ErrorKind::InvalidFilename)?;
        self.directory().rotate(live, self.calendar.label(begun.at()), meta.len())
    }

    /// What others did to the directory since the last look. One that is gone is made anew; one whose lock is gone is locked again.
    pub(super) fn look(&mut self, is_failing: bool) -> Found {
        self.futile = match (self.given_up, is_failing) {
            (_, false) => 0,
            (0, true) => self.futile.saturating_sub(1),
            (_, true) => FUTILE,
        };
        self.given_up = 0;
        self.halted &= is_failing;
        let directory = &self.tenancy.directory;
        let mut look = directory.look();
        if look == Look::Gone {
            directory.let_go();
            if directory.ensure().is_ok() {
                look = directory.look();
            }
        }
        let changed = self.seen.replace(look) != Some(look);
        // The clock that stamps a directory is coarse: what happened in the same tick shows at the next look only by looking.
        let touched = mem::replace(&mut self.changing, changed) || changed;
        match look {
            Look::Gone => Found::Lost,
            Look::There(..) if touched => Found::Touched,
            Look::There(..) => Found::AsItWas,
        }
    }

    /// Bytes in live files that are to be rotated for the sake of the budget.
    pub(super) fn relief(&self) -> u64 {
        self.directory().relief()
    }

    /// Gives up the oldest rotated file where an error says that the disk is full; says whether there may be room now. No more is given
    /// up than lines wait for, and nothing for a while once that did not help.
    pub(super) fn made_room(&mut self, error: &io::Error, file: &LogFile, desk: &Desk) -> bool {
        let waiting = (desk.kept + file.pending.len()) as u64;
        // Through a link, it is another disk that is full.
        let is_here = || fs::symlink_metadata(file.way.path()).is_ok_and(|meta| meta.is_file());
        if !is_full(error) || self.futile > 0 || self.given_up > waiting + ALLOWANCE || !is_here() {
            return false;
        }
        if !mem::replace(&mut self.halted, true) && self.directory().halt_keeper() {
            // What it leaves may be room enough.
            return false;
        }
        let Some((path, bytes)) = self.directory().make_room() else { return false };
        // Even an empty one counts.
        self.given_up += bytes.max(1);
        desk.tell(Notice::Deleted { paths: vec![path], bytes, why: Why::DiskFull });
        true
    }

    pub(super) fn live_grew(&self, by: u64) {
        self.directory().live_grew(by);
    }

    pub(super) fn live_shrank(&self, by: u64) {
        self.directory().live_shrank(by);
    }

    pub(super) fn syncs(&self) -> bool {
        self.keeping.sync.is_some()
    }

    /// When files are to be synced next.
    pub(super) fn sync_at(&self) -> Option<Instant> {
        self.synced_at.zip(self.keeping.sync).map(|(last, every)| last + every)
    }

    pub(super) fn sync_is_due(&mut self, now: Instant) -> bool {
        if !self.syncs() || self.sync_at().is_some_and(|at| now < at) {
            return false;
        }
        // At the first time there is nothing to sync yet; and a disk that is slower than the wish sets the pace.
        let first = self.synced_at.replace(now).is_none();
        !first && self.is_syncer_idle()
    }

    /// Has files synced by the thread that is there for it; `others` where some that were moved away are among them.
    pub(super) fn sync(&mut self, mut files: Vec<PathBuf>, others: bool) {
        files.append(&mut self.rotated);
        let batch = Batch { dir: self.directory().path().to_owned(), files, others };
        if !batch.is_empty() {
            self.tenancy.syncer.sync(batch);
        }
    }

    /// Waits until files are synced, and what was rotated as well.
    pub(super) fn sync_now(&mut self, files: Vec<PathBuf>, desk: &Desk) {
        let others = self.directory().oldest(|stage| stage != Stage::Done).is_some();
        let batch = Batch { dir: self.directory().path().to_owned(), files, others };
        if !batch.is_empty()
            && let Some(failed) = batch.sync()
        {
            desk.tell(failed.into());
        }
    }

    pub(super) fn is_syncer_idle(&self) -> bool {
        self.tenancy.syncer.is_idle()
    }

    /// Sends the keeper home, and waits until it has brought what it is at to an end or back to its beginning.
    pub(super) fn close(&self) {
        self.directory().end();
        self.directory().wait_for_keeper();
    }
}

fn first_line(path: &Path) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(File::open(path).ok()?.take(FIRST_LINE)).read_until(b'\n', &mut line).ok()?;
    Some(line)
}

fn modified(path: &Path) -> Option<Wall> {
    let modified = fs::metadata(path).and_then(|meta| meta.modified()).ok()?;
    let nanos = modified.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    i64::try_from(nanos).ok().map(Wall::from_nanos)
}
