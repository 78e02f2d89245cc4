//! One output: its files, which line goes into which of them, and what becomes of a line that cannot be written.
//!
//! A line whose file fails is kept, within bounds, and tried again. Beyond them lines are given up, counted, and told of in
//! the file itself. The operator hears of an output's trouble, not of each of its files.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::mem;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use chrono::Local;
use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

use super::log_file::{Access, FileId, LogFile, MAX_PENDING, OpenFiles, Way, open_append, words};
use super::own::{Found, Own};
use super::queue::{Gap, Missed, Steps};
use super::tenants::Tenants;
use super::{Error, Layout, Losses, Notice, Notify, Output, Place};
use crate::monitor::record::Record;
use crate::monitor::target::Name;
use crate::monitor::time::Wall;
use crate::sink::line::Renderer;
use crate::sink::rotation::SUFFIX;

/// Why a line is missing that the queue had no room for.
const QUEUE_FULL: &str = "log queue full";

pub(super) type Zones = Box<dyn FnMut(u32) -> Option<Arc<str>> + Send>;

/// What the outputs share.
pub(super) struct Desk {
    pub(super) open: OpenFiles,
    /// Bytes in the buffers of files that fail.
    pub(super) kept: usize,
    /// Counts looks at what became of the files.
    pub(super) look: u32,
    losses: Arc<Losses>,
    pub(super) steps: Arc<Steps>,
    zones: Zones,
    pub(super) notify: Notify,
}

impl Desk {
    pub(super) fn new(
        open_files: NonZeroUsize,
        losses: Arc<Losses>,
        steps: Arc<Steps>,
        zones: Zones,
        notify: Notify,
    ) -> Self {
        // Built with its capacity at once, the cache would allocate for all the descriptors a system may have.
        let mut open = OpenFiles::unbounded();
        open.resize(open_files);
        Self { open, kept: 0, look: 1, losses, steps, zones, notify }
    }

    /// Closes every file.
    pub(super) fn close_all(&mut self) {
        // One by one: close(2) may wait for a server to take what was written (nfs(5)).
        while self.open.pop_lru().is_some() {
            self.steps.step();
        }
    }

    pub(super) fn tell(&self, notice: Notice) {
        (self.notify)(notice);
    }
}

/// An output and its files.
#[derive(Debug)]
pub(super) struct Sink {
    id: usize,
    output: Output,
    /// Where it leads, for whoever is to be told.
    path: PathBuf,
    scheme: Scheme,
    renderer: Renderer,
    files: Vec<LogFile>,
    /// The files of targets; empty where they share one.
    by_name: HashMap<Name, usize>,
    /// Files with lines rendered since the last write.
    dirty: Vec<usize>,
    episode: Episode,
    /// The directory, where it is ours.
    own: Option<Own>,
}

/// Which line goes to which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    PerTarget,
    Shared,
}

/// A time during which some of an output's files cannot be written.
#[derive(Debug, Default)]
struct Episode {
    failing: usize,
    /// The kinds of error already told of.
    told: Vec<Option<i32>>,
    not_written: u64,
}

impl Sink {
    /// Makes outputs ready: their directories exist and they can be written.
    pub(super) fn prepare_all(outputs: &[Output], tenants: &Tenants) -> Result<Vec<Self>, Error> {
        outputs.iter().map(|output| Self::prepare(output, tenants)).collect()
    }

    fn prepare(output: &Output, tenants: &Tenants) -> Result<Self, Error> {
        let id = tenants.number();
        let mut sink = Self {
            id,
            output: output.clone(),
            path: place_path(&output.place).to_owned(),
            scheme: Scheme::Shared,
            renderer: Renderer::new(&output.style, Local),
            files: Vec::new(),
            by_name: HashMap::new(),
            dirty: Vec::new(),
            episode: Episode::default(),
            own: None,
        };
        let unusable = |source| Error::Unusable { path: place_path(&output.place).to_owned(), source };
        let shared = match &output.place {
            Place::Directory { dir, layout, keeping } => {
                let own = Own::new(tenants.take(dir, *keeping)?, *keeping, &output.style.stamp);
                match eaccess(dir, AccessFlags::W_OK | AccessFlags::X_OK) {
                    // It was taken; where it could not be made, the disk is full, and it will be as soon as there is room.
                    Ok(()) | Err(Errno::ENOENT) => {}
                    Err(errno) => return Err(unusable(errno.into())),
                }
                sink.own = Some(own);
                match layout {
                    Layout::PerTarget => None,
                    Layout::Combined(name) => {
                        let path = dir.join(format!("{name}{SUFFIX}"));
                        match eaccess(&path, AccessFlags::W_OK) {
                            Ok(()) | Err(Errno::ENOENT) => {}
                            Err(errno) => return Err(Error::Unusable { path, source: errno.into() }),
                        }
                        Some(Way::Own(path))
                    }
                }
            }
            Place::File { path } => {
                make_parent(path).and_then(|()| open_append(path)).map_err(unusable)?;
                Some(Way::Path(path.clone()))
            }
            Place::Stdout => Some(Way::Stream(io::stdout().as_fd().try_clone_to_owned().map_err(unusable)?.into())),
        };
        match shared {
            Some(way) => sink.files.push(LogFile::new(FileId(id, 0), way, None)),
            None => sink.scheme = Scheme::PerTarget,
        }
        Ok(sink)
    }

    /// Ends what goes on in the background, for good.
    pub(super) fn retire(&self) {
        if let Some(own) = &self.own {
            own.close();
        }
    }

    /// Whether the files of `other` are the same, with the same lines in them.
    pub(super) fn goes_on_as(&self, other: &Self) -> bool {
        let layout = |output: &Output| match &output.place {
            Place::Directory { layout, .. } => Some(layout.clone()),
            Place::File { .. } | Place::Stdout => None,
        };
        let same_lines = self.output.style == other.output.style && layout(&self.output) == layout(&other.output);
        let same_directory = self.own.as_ref().zip(other.own.as_ref()).is_some_and(|(a, b)| a.is_same_directory(b));
        same_lines && same_directory
    }

    /// Has the limits of `other`, or its own, hold from here on.
    pub(super) fn take_over(&mut self, other: Option<&Self>) {
        if let Some(own) = &mut self.own {
            own.take_over(other.and_then(|other| other.own.as_ref()));
            for file in &mut self.files {
                file.begun = file.begun.map(|begun| own.begin(begun.at()));
            }
        }
    }

    /// Whether something is kept for a later try.
    pub(super) fn is_failing(&self) -> bool {
        self.episode.failing > 0
    }

    /// Renders a record into its file's buffer.
    pub(super) fn record(&mut self, record: &Record, desk: &mut Desk) {
        let index = self.file_of(&record.target.name);
        self.turn_the_page(index, record.at, desk);
        let file = &mut self.files[index];
        if !file.has_room(desk.kept) {
            return self.give_up(index, Gap::one(record.at), desk);
        }
        let before = file.pending.len();
        self.renderer.record(record, &mut desk.zones, &mut file.pending);
        self.rendered(index, before, desk);
    }

    /// Renders what the queue had no room for: a note in each target's file, or one in all for a file that they share.
    pub(super) fn missed(&mut self, missed: &[Missed], desk: &mut Desk) {
        match self.scheme {
            Scheme::PerTarget => {
                for Missed { name, gap } in missed {
                    let index = self.file_of(name);
                    self.note(index, *gap, QUEUE_FULL, desk);
                }
            }
            Scheme::Shared => {
                if let Some(gap) = missed.iter().map(|missed| missed.gap).reduce(Gap::join) {
                    self.note(0, gap, QUEUE_FULL, desk);
                }
            }
        }
    }

    /// Writes the lines rendered since the last time.
    pub(super) fn write(&mut self, desk: &mut Desk) {
        let mut dirty = mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            self.files[index].dirty = false;
            // What failed is tried again at its time, not with each line.
            if self.files[index].failure.is_none() {
                self.write_file(index, desk);
            }
        }
        self.dirty = dirty;
    }

    /// Tries again to write what failed.
    pub(super) fn retry(&mut self, desk: &mut Desk) {
        for index in 0..self.files.len() {
            if self.files[index].failure.is_some() {
                self.write_file(index, desk);
            }
        }
    }

    /// Takes note that its files are to be closed, and may be others when they are opened again.
    pub(super) fn reopen(&mut self, desk: &mut Desk) {
        self.look(Thoroughly::Yes, desk);
        if let Some(own) = &mut self.own
            && own.syncs()
            && own.is_syncer_idle()
        {
            // What was moved away is not found by its name any more.
            take_unsynced(&mut self.files).for_each(drop);
            own.sync(Vec::new(), true);
        }
        self.files.iter_mut().for_each(|file| file.checked = false);
        if let Scheme::Shared = self.scheme {
            // Where it cannot be made, opening the file in it will tell why.
            let _ = make_parent(&self.path);
        }
    }

    /// Whether somebody else may move or delete its files.
    pub(super) fn is_exposed(&self) -> bool {
        !matches!(self.files.first().map(|file| &file.way), Some(Way::Stream(_) | Way::Closed))
    }

    /// Looks what became of the files: a file that was deleted or moved away is made anew, and with it its directory.
    pub(super) fn look(&mut self, thoroughly: Thoroughly, desk: &mut Desk) {
        let is_failing = self.is_failing();
        let found = self.own.as_mut().map_or(Found::Touched, |own| own.look(is_failing));
        if found != Found::AsItWas || thoroughly == Thoroughly::Yes {
            self.look_at_all(found, desk);
        }
        if found == Found::Lost {
            // Opening them anew takes the directory first.
            self.close_files(desk);
        }
        self.relieve(desk);
    }

    fn look_at_all(&mut self, found: Found, desk: &mut Desk) {
        let mut replaced = Vec::new();
        for (index, file) in self.files.iter_mut().enumerate() {
            let before = file.size;
            let saved = file.look(&mut desk.open, desk.look);
            desk.steps.step();
            let Some(saved) = saved else { continue };
            if file.failure.is_some() {
                desk.kept += saved as usize;
            }
            if let Some(own) = &self.own {
                own.live_shrank(before);
            }
            replaced.push((index, saved));
        }
        replaced.iter().for_each(|(index, _)| self.write_file(*index, desk));
        // What could not be made anew has failed, and that is told.
        replaced.retain(|(index, _)| found != Found::Lost && self.files[*index].failure.is_none());
        let Some((first, _)) = replaced.first() else { return };
        let path = self.files[*first].way.path().to_owned();
        let saved = replaced.iter().map(|(_, saved)| saved).sum();
        desk.tell(Notice::Replaced { path, files: replaced.len(), saved });
    }

    fn close_files(&mut self, desk: &mut Desk) {
        for file in &mut self.files {
            desk.open.pop(&file.id);
            file.checked = false;
        }
    }

    /// Rotates the largest files where live files alone go beyond the budget.
    fn relieve(&mut self, desk: &mut Desk) {
        let mut wanted = self.own.as_ref().map_or(0, Own::relief);
        if wanted == 0 {
            return;
        }
        let mut sizes: Vec<_> = self.files.iter().enumerate().map(|(index, file)| (file.size, index)).collect();
        sizes.sort_unstable();
        while let Some((size, index)) = sizes.pop()
            && wanted > 0
        {
            wanted = wanted.saturating_sub(size);
            if self.is_written(index, desk) {
                self.rotate(index, desk);
            }
        }
    }

    /// Has the disk make sure of what was written, if it is time.
    pub(super) fn sync(&mut self, now: Instant) {
        let Some(own) = &mut self.own else { return };
        if own.sync_is_due(now) {
            own.sync(take_unsynced(&mut self.files).map(|file| file.way.path().to_owned()).collect(), false);
        }
    }

    /// When [`Sink::sync`] is to be called at the latest.
    pub(super) fn sync_at(&self) -> Option<Instant> {
        self.own.as_ref().and_then(Own::sync_at)
    }

    /// Waits until the disk has made sure of what was written.
    pub(super) fn sync_now(&mut self, desk: &mut Desk) {
        if let Some(own) = &mut self.own {
            own.sync_now(take_unsynced(&mut self.files).map(|file| file.way.path().to_owned()).collect(), desk);
        }
    }

    /// Writes what can be written, for the last time, and gives up the rest.
    pub(super) fn finish(&mut self, desk: &mut Desk) {
        self.retry(desk);
        self.abandon(desk);
    }

    fn abandon(&mut self, desk: &mut Desk) {
        if !self.is_failing() {
            return;
        }
        for index in 0..self.files.len() {
            let file = &mut self.files[index];
            if file.failure.is_some() {
                let lines = file.pending.iter().filter(|byte| **byte == b'\n').count() as u64;
                desk.kept -= file.pending.len();
                file.discard();
                desk.losses.add_write_failed(lines);
                self.episode.not_written += lines;
            }
        }
        let Episode { not_written, .. } = mem::take(&mut self.episode);
        desk.tell(Notice::Abandoned { path: self.path.clone(), not_written });
    }

    fn file_of(&mut self, name: &Name) -> usize {
        if let Scheme::Shared = self.scheme {
            return 0;
        }
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let index = self.files.len();
        let way = Way::Own(self.path.join(format!("{name}{SUFFIX}")));
        self.files.push(LogFile::new(FileId(self.id, index), way, Some(name.clone())));
        self.by_name.insert(name.clone(), index);
        index
    }

    /// Begins a new file before a line that does not belong to the present one any more.
    fn turn_the_page(&mut self, index: usize, at: Wall, desk: &mut Desk) {
        let Some(own) = &mut self.own else { return };
        own.see(at);
        if self.files[index].failure.is_some() {
            // What waits belongs to the present file, which is to be whole before it goes.
            return;
        }
        if !self.files[index].learned {
            self.learn(index, desk);
        }
        if self.is_over(index, at, desk) && self.is_written(index, desk) && self.is_over(index, at, desk) {
            self.rotate(index, desk);
        }
        if let Some(own) = &mut self.own {
            self.files[index].begun.get_or_insert_with(|| own.begin(at));
        }
    }

    fn is_over(&mut self, index: usize, at: Wall, desk: &Desk) -> bool {
        let file = &self.files[index];
        self.own.as_mut().is_some_and(|own| own.is_over(file, at, desk.look))
    }

    /// Writes what is pending and looks how large the file is then; says whether all is written.
    fn is_written(&mut self, index: usize, desk: &mut Desk) -> bool {
        self.write_file(index, desk);
        self.files[index].measure(&desk.open);
        self.files[index].failure.is_none()
    }

    /// Finds out what a file held before, when it was begun above all.
    fn learn(&mut self, index: usize, desk: &mut Desk) {
        let (Some(own), file) = (&mut self.own, &mut self.files[index]) else { return };
        let Desk { open, look, steps, .. } = desk;
        let mut access = Access { open, home: Some(own.directory()), look: *look, steps };
        // What cannot be opened cannot be written either, and then the operator will hear of it.
        if file.ensure_open(&mut access).is_ok() && !file.learned {
            file.learned = true;
            file.begun = own.begun(file.way.path());
        }
    }

    /// Rotates a file whose lines are all written.
    fn rotate(&mut self, index: usize, desk: &mut Desk) {
        if let Some(own) = &mut self.own {
            own.rotate(&mut self.files[index], desk);
        }
    }

    fn note(&mut self, index: usize, gap: Gap, cause: &str, desk: &mut Desk) {
        let file = &mut self.files[index];
        if !file.has_room(desk.kept) {
            // The queue has counted these as its own; here they only widen the gap that the file will tell of.
            return file.widen(gap);
        }
        let before = file.pending.len();
        file.note(gap, cause, &mut self.renderer);
        self.rendered(index, before, desk);
    }

    fn rendered(&mut self, index: usize, before: usize, desk: &mut Desk) {
        let file = &mut self.files[index];
        if file.failure.is_some() {
            desk.kept += file.pending.len() - before;
        }
        if !mem::replace(&mut file.dirty, true) {
            self.dirty.push(index);
        }
        if file.failure.is_none() && file.pending.len() >= MAX_PENDING {
            self.write_file(index, desk);
        }
    }

    fn give_up(&mut self, index: usize, gap: Gap, desk: &mut Desk) {
        if self.files[index].is_closed() {
            return;
        }
        self.files[index].widen(gap);
        self.episode.not_written += gap.count;
        desk.losses.add_write_failed(gap.count);
    }

    fn write_file(&mut self, index: usize, desk: &mut Desk) {
        let file = &mut self.files[index];
        if file.failure.is_some() {
            desk.kept -= file.pending.len();
        }
        let written = loop {
            let Desk { open, look, steps, .. } = &mut *desk;
            let mut access = Access { open, home: self.own.as_ref().map(Own::directory), look: *look, steps };
            match file.write(&mut self.renderer, &mut access) {
                // Old lines are given up before new ones.
                Err(error) if self.own.as_mut().is_some_and(|own| own.made_room(&error, file, desk)) => {}
                written => break written,
            }
        };
        if let Some(own) = &self.own {
            own.live_grew(mem::take(&mut file.gained));
        }
        match written {
            Ok(()) => self.succeeded(index, desk),
            Err(error) if self.files[index].is_broken_pipe(&error) => self.close(index, desk),
            Err(error) => self.failed(index, error, desk),
        }
    }

    fn succeeded(&mut self, index: usize, desk: &mut Desk) {
        if self.files[index].failure.take().is_none() {
            return;
        }
        self.episode.failing -= 1;
        if self.episode.failing == 0 {
            let Episode { not_written, .. } = mem::take(&mut self.episode);
            desk.tell(Notice::Recovered { path: self.path.clone(), not_written });
        }
    }

    fn failed(&mut self, index: usize, error: io::Error, desk: &mut Desk) {
        let file = &mut self.files[index];
        desk.kept += file.pending.len();
        if file.fail(words(&error)) {
            self.episode.failing += 1;
        }
        let kind = error.raw_os_error();
        if !self.episode.told.contains(&kind) {
            self.episode.told.push(kind);
            let path = file.way.path().to_owned();
            desk.tell(Notice::Failed { path, error });
        }
    }

    /// Nobody reads standard output any more.
    fn close(&mut self, index: usize, desk: &mut Desk) {
        let file = &mut self.files[index];
        file.way = Way::Closed;
        file.discard();
        self.episode = Episode::default();
        desk.open.pop(&file.id);
        desk.tell(Notice::StdoutClosed);
    }
}

/// Whether to look at each file even if nothing seems to have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thoroughly {
    Yes,
    No,
}

/// The files with something unsynced in them, which is to be synced hereby.
fn take_unsynced(files: &mut [LogFile]) -> impl Iterator<Item = &LogFile> {
    files.iter_mut().filter(|file| file.unsynced).map(|file| {
        file.unsynced = false;
        &*file
    })
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn place_path(place: &Place) -> &Path {
    match place {
        Place::Directory { dir, .. } => dir,
        Place::File { path } => path,
        Place::Stdout => Path::new("stdout"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::sync::mpsc;

    use super::*;
    use crate::sink::fixture::{reply, style};

    #[test]
    fn a_reader_of_stdout_that_goes_ends_that_output_alone() {
        let (reader, writer) = io::pipe().unwrap();
        let tenants = Tenants::new(Arc::new(|_| {}));
        let mut sink = Sink::prepare(&Output { place: Place::Stdout, style: style() }, &tenants).unwrap();
        sink.files = vec![LogFile::new(FileId(0, 0), Way::Stream(OwnedFd::from(writer).into()), None)];
        let (notices, told) = mpsc::channel();
        let mut desk = desk(move |notice| notices.send(format!("{notice:?}")).unwrap());

        sink.record(&reply("web", 1), &mut desk);
        sink.write(&mut desk);
        assert_eq!(told.try_recv().ok(), None);
        drop(reader);
        for seq in 2..4 {
            sink.record(&reply("web", seq), &mut desk);
            sink.write(&mut desk);
        }
        assert_eq!(told.try_iter().collect::<Vec<_>>(), ["StdoutClosed"]);
        assert!(!sink.is_failing());
        assert_eq!((desk.kept, desk.losses.write_failed()), (0, 0));
    }

    fn desk(notify: impl Fn(Notice) + Send + Sync + 'static) -> Desk {
        Desk::new(NonZeroUsize::MIN, Arc::default(), Arc::default(), Box::new(|_| None), Arc::new(notify))
    }
}
