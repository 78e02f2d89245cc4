//! A log directory as a stranger finds it: live files, rotated ones, packed ones, and the lines in them.
//!
//! It knows how files are named (README.md) and has packed ones read by zstd(1) and gzip(1). Targets bear their addresses as names
//! here, so that the first dash begins a date.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::support::net::Namespace;
use crate::support::program::{self, Ended, Program, Rights};
use crate::support::wait::{self, PATIENCE};

/// A directory of logs, which outlives the programs that write it.
pub(crate) struct Shelf(PathBuf);

/// What becomes of a file, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Live,
    Rotated,
    Packed,
}

/// What is in a directory that nobody is writing to.
#[derive(Debug)]
pub(crate) struct Found {
    /// All whole lines, the oldest files of each name first.
    pub(crate) lines: Vec<String>,
    /// What stands behind the last line in live files.
    pub(crate) torn: Vec<String>,
    /// How many rotated files are there packed as well.
    pub(crate) pairs: usize,
}

impl Shelf {
    /// The directory need not be there yet.
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// Starts `pingtest run` with these further keys of `[log]` and the rest of its configuration.
    pub(crate) fn start(&self, namespace: &Namespace, keys: &str, config: &str) -> Program {
        let dir = program::directory();
        let log = format!("[log]\ndir = {:?}\nformat = \"json\"\n{keys}\n", self.0);
        fs::write(dir.path().join("pingtest.toml"), log + &program::kept_here(config) + config)
            .expect("the directory is ours");
        Program::start_in(dir, namespace, Rights::Root, &["run", "--config", "pingtest.toml"])
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The names of all files in this state, the oldest of each live name first.
    pub(crate) fn names(&self, state: State) -> Vec<String> {
        let mut names: Vec<_> = self.all_names().into_iter().filter(|name| state_of(name) == Some(state)).collect();
        // `t-2026-11-22` is before `t-2026-11-22@0002`, as `t-2026-11-22.log` is not.
        names.sort_by_cached_key(|name| stem(name).to_owned());
        names
    }

    /// The names of files that are being made.
    pub(crate) fn parts(&self) -> Vec<String> {
        self.all_names().into_iter().filter(|name| name.starts_with('.') && name.ends_with(".part")).collect()
    }

    fn all_names(&self) -> Vec<String> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
            Err(error) => panic!("{}: {error}", self.0.display()),
        };
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("it can be listed").file_name().into_string();
        entries.map(|entry| name(entry).expect("names are UTF-8")).collect()
    }

    /// Bytes of all these files together.
    pub(crate) fn size(&self, names: &[String]) -> u64 {
        names.iter().filter_map(|name| fs::metadata(self.path(name)).ok()).map(|meta| meta.len()).sum()
    }

    /// Whole lines that can be read while somebody writes. A file goes on from state to state meanwhile: it is looked for in the order
    /// in which it does, so that none is missed.
    pub(crate) fn readable(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        let mut add = |text: &str| lines.extend(whole(text).0.lines().map(str::to_owned));
        for state in [State::Live, State::Rotated, State::Live] {
            self.names(state).iter().filter_map(|name| self.text(name)).for_each(|text| add(&text));
        }
        add(&self.unpacked(&self.names(State::Packed)));
        lines
    }

    /// Everything, when nobody writes.
    pub(crate) fn found(&self) -> Found {
        let (packed, rotated) = (self.names(State::Packed), self.names(State::Rotated));
        let twin = |name: &&String| packed.iter().find(|packed| stem(packed) == stem(name));
        let mut text = self.unpacked(&packed);
        let (mut torn, mut pairs) = (Vec::new(), 0);
        for name in &rotated {
            let plain = self.text(name).expect("nobody takes it away");
            match twin(&name) {
                Some(twin) => {
                    assert!(self.unpacked(std::slice::from_ref(twin)) == plain, "{twin} is not what {name} is");
                    pairs += 1;
                }
                None => text += &plain,
            }
            assert!(whole(&plain).1.is_empty(), "{name} ends amid a line");
        }
        assert!(whole(&text).1.is_empty(), "a packed file ends amid a line");
        for name in self.names(State::Live) {
            let live = self.text(&name).expect("nobody takes it away");
            let (lines, rest) = whole(&live);
            text += lines;
            torn.extend(Some(rest.to_owned()).filter(|rest| !rest.is_empty()));
        }
        Found { lines: text.lines().map(str::to_owned).collect(), torn, pairs }
    }

    /// Takes away what has been packed and is not there unpacked as well.
    pub(crate) fn clear(&self) {
        let rotated = self.names(State::Rotated);
        for name in self.names(State::Packed) {
            if rotated.iter().all(|rotated| stem(rotated) != stem(&name)) {
                fs::remove_file(self.path(&name)).expect("it is there");
            }
        }
    }

    /// `None` where the file has gone on meanwhile.
    fn text(&self, name: &str) -> Option<String> {
        match fs::read(self.path(name)) {
            // The end may be amid a character of what is being written.
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => panic!("{name}: {error}"),
        }
    }

    /// The texts of packed files, one after the other: each of them is whole at any time.
    fn unpacked(&self, names: &[String]) -> String {
        let mut text = String::new();
        for (tool, ending) in [("zstd", ".zst"), ("gzip", ".gz")] {
            let names: Vec<_> = names.iter().filter(|name| name.ends_with(ending)).collect();
            if names.is_empty() {
                continue;
            }
            let mut command = Command::new(tool);
            command.args(["-d", "-c", "-q", "--"]).args(&names).current_dir(&self.0).stdin(Stdio::null());
            let output = command.output().unwrap_or_else(|error| panic!("{tool}: {error}"));
            assert!(output.status.success(), "{}: {names:?}", String::from_utf8_lossy(&output.stderr));
            text += &String::from_utf8(output.stdout).expect("the log is text");
        }
        text
    }
}

/// Stops a program as systemd does: once it has started, for before it minds signals SIGTERM kills it.
pub(crate) fn stop(mut program: Program) -> Ended {
    program.wait_for("stderr", "word of having started", |said| said.contains("probing "));
    program.signal(Signal::SIGTERM);
    let ended = program.ended(PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

/// Kills a program, and tells when, ns of the wall clock.
pub(crate) fn kill(mut program: Program) -> u64 {
    let at = wait::wall_nanos();
    program.signal(Signal::SIGKILL);
    let ended = program.ended(PATIENCE);
    assert_eq!(ended.code, None, "it ended by itself: {ended:?}");
    at
}

fn state_of(name: &str) -> Option<State> {
    if name.starts_with('.') {
        return None;
    }
    let stem = name.strip_suffix(".log");
    match stem {
        Some(stem) if stem.contains('-') => Some(State::Rotated),
        Some(_) => Some(State::Live),
        None => (name.ends_with(".log.zst") || name.ends_with(".log.gz")).then_some(State::Packed),
    }
}

/// What is said of deletions.
pub(crate) fn deletions(stderr: &str) -> String {
    stderr.lines().filter(|line| line.contains("deleted from")).collect::<Vec<_>>().join("\n")
}

/// A name but for its endings.
pub(crate) fn stem(name: &str) -> &str {
    name.rfind(".log").map_or(name, |end| &name[..end])
}

/// The files of each live file, the oldest first.
pub(crate) fn by_name(names: &[String]) -> BTreeMap<&str, Vec<&String>> {
    let mut files = BTreeMap::<_, Vec<_>>::new();
    for name in names {
        files.entry(name.split('-').next().unwrap_or(name)).or_default().push(name);
    }
    files.values_mut().for_each(|files| files.sort_by_key(|name| stem(name)));
    files
}

/// Whole lines, and what stands behind the last.
fn whole(text: &str) -> (&str, &str) {
    text.split_at(text.rfind('\n').map_or(0, |end| end + 1))
}

#[test]
fn files_are_known_by_their_names_and_a_rotated_one_beside_its_packed_twin_counts_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("the directory is ours");
    write("10.1.0.7.log", "5\n6\n7");
    write("10.1.0.7-2026-11-22.log", "1\n2\n");
    write("10.1.0.7-2026-11-22@0002.log", "3\n4\n");
    write(".10.1.0.7-2026-11-22.log.part", "rubbish");
    let gzip = Command::new("gzip").args(["-k", "10.1.0.7-2026-11-22.log"]).current_dir(dir.path()).status();
    assert!(gzip.expect("gzip can be run").success());
    let shelf = Shelf::new(dir.path());
    let found = shelf.found();
    assert_eq!((found.lines.concat(), found.torn, found.pairs), ("123456".into(), vec!["7".into()], 1));
    assert_eq!(shelf.names(State::Rotated), ["10.1.0.7-2026-11-22.log", "10.1.0.7-2026-11-22@0002.log"]);
    assert_eq!(shelf.readable().len(), 6);
    shelf.clear();
    assert_eq!(shelf.names(State::Packed), ["10.1.0.7-2026-11-22.log.gz"]);
    fs::remove_file(shelf.path("10.1.0.7-2026-11-22.log")).expect("it is there");
    shelf.clear();
    assert_eq!((shelf.names(State::Packed).len(), shelf.parts().len()), (0, 1));
}
