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

use chrono::Local;
use nix::unistd::{AccessFlags, eaccess};

use super::log_file::{FileId, LogFile, MAX_PENDING, OpenFiles, Way, open_append, words};
use super::queue::{Gap, Missed};
use super::{Error, Losses, Notice, Output, Place};
use crate::monitor::record::Record;
use crate::monitor::target::Name;
use crate::sink::line::Renderer;

/// Why a line is missing that the queue had no room for.
const QUEUE_FULL: &str = "log queue full";

pub(super) type Zones = Box<dyn FnMut(u32) -> Option<Arc<str>> + Send>;
pub(super) type Notify = Box<dyn FnMut(Notice) + Send>;

/// What the outputs share.
pub(super) struct Desk {
    open: OpenFiles,
    /// Bytes in the buffers of files that fail.
    kept: usize,
    losses: Arc<Losses>,
    zones: Zones,
    notify: Notify,
}

impl Desk {
    pub(super) fn new(open_files: NonZeroUsize, losses: Arc<Losses>, zones: Zones, notify: Notify) -> Self {
        // Built with its capacity at once, the cache would allocate for all the descriptors a system may have.
        let mut open = OpenFiles::unbounded();
        open.resize(open_files);
        Self { open, kept: 0, losses, zones, notify }
    }

    /// Closes every file.
    pub(super) fn close_all(&mut self) {
        self.open.clear();
    }
}

/// An output and its files.
#[derive(Debug)]
pub(super) struct Sink {
    id: usize,
    place: Place,
    renderer: Renderer,
    files: Vec<LogFile>,
    /// The files of targets; empty where they share one.
    by_name: HashMap<Name, usize>,
    /// Files with lines rendered since the last write.
    dirty: Vec<usize>,
    episode: Episode,
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
    pub(super) fn prepare_all(outputs: &[Output]) -> Result<Vec<Self>, Error> {
        outputs.iter().enumerate().map(|(id, output)| Self::prepare(id, output)).collect()
    }

    fn prepare(id: usize, output: &Output) -> Result<Self, Error> {
        let place = output.place.clone();
        let shared =
            prepare_place(&place).map_err(|source| Error::Unusable { path: place_path(&place).to_owned(), source })?;
        Ok(Self {
            id,
            place,
            renderer: Renderer::new(&output.style, Local),
            files: shared.into_iter().map(|way| LogFile::new(FileId(id, 0), way, None)).collect(),
            by_name: HashMap::new(),
            dirty: Vec::new(),
            episode: Episode::default(),
        })
    }

    /// Whether something is kept for a later try.
    pub(super) fn is_failing(&self) -> bool {
        self.episode.failing > 0
    }

    /// Renders a record into its file's buffer.
    pub(super) fn record(&mut self, record: &Record, desk: &mut Desk) {
        let index = self.file_of(&record.target.name);
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
        match &self.place {
            Place::PerTarget { .. } => {
                for Missed { name, gap } in missed {
                    let index = self.file_of(name);
                    self.note(index, *gap, QUEUE_FULL, desk);
                }
            }
            Place::File { .. } | Place::Stdout => {
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
            self.write_file(index, desk);
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

    /// Takes note that the files were closed and may be others when they are opened again.
    pub(super) fn reopen(&mut self) {
        self.files.iter_mut().for_each(|file| file.checked = false);
        // Where a directory cannot be made, opening the file in it will tell why.
        let _ = make_dirs(&self.place);
    }

    /// Gives up whatever is still unwritten.
    pub(super) fn abandon(&mut self, desk: &mut Desk) {
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
        (desk.notify)(Notice::Abandoned { path: self.path(), not_written });
    }

    fn file_of(&mut self, name: &Name) -> usize {
        let Place::PerTarget { dir } = &self.place else { return 0 };
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let index = self.files.len();
        let way = Way::Path(dir.join(format!("{name}.log")));
        self.files.push(LogFile::new(FileId(self.id, index), way, Some(name.clone())));
        self.by_name.insert(name.clone(), index);
        index
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
        match file.write(&mut self.renderer, &mut desk.open) {
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
            (desk.notify)(Notice::Recovered { path: self.path(), not_written });
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
            (desk.notify)(Notice::Failed { path, error });
        }
    }

    /// Nobody reads standard output any more.
    fn close(&mut self, index: usize, desk: &mut Desk) {
        let file = &mut self.files[index];
        file.way = Way::Closed;
        file.discard();
        self.episode = Episode::default();
        desk.open.pop(&file.id);
        (desk.notify)(Notice::StdoutClosed);
    }

    fn path(&self) -> PathBuf {
        place_path(&self.place).to_owned()
    }
}

/// Makes what a place needs and proves that it can be written; returns the file where there is only one.
fn prepare_place(place: &Place) -> io::Result<Option<Way>> {
    make_dirs(place)?;
    match place {
        Place::PerTarget { dir } => {
            eaccess(dir, AccessFlags::W_OK | AccessFlags::X_OK)?;
            Ok(None)
        }
        Place::File { path } => {
            open_append(path)?;
            Ok(Some(Way::Path(path.clone())))
        }
        Place::Stdout => Ok(Some(Way::Stream(io::stdout().as_fd().try_clone_to_owned()?.into()))),
    }
}

fn make_dirs(place: &Place) -> io::Result<()> {
    match place {
        Place::PerTarget { dir } => fs::create_dir_all(dir),
        Place::File { path } => path.parent().map_or(Ok(()), fs::create_dir_all),
        Place::Stdout => Ok(()),
    }
}

fn place_path(place: &Place) -> &Path {
    match place {
        Place::PerTarget { dir } => dir,
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
        let mut sink = Sink::prepare(0, &Output { place: Place::Stdout, style: style() }).unwrap();
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

    fn desk(notify: impl FnMut(Notice) + Send + 'static) -> Desk {
        Desk::new(NonZeroUsize::MIN, Arc::default(), Box::new(|_| None), Box::new(notify))
    }
}
