//! The configuration: from files to [`Settings`], or to all their [`Problems`] at once.
//!
//! Three stages, each with a type of its own: text becomes tables in which everything has its place (`reader`), these
//! become a file as written (`file`: form and keys), and files become the settings as used ([`settings`]: bounds,
//! defaults, inheritance, names), each value by its own rule ([`value`]). Only this file touches the disk, through the
//! two methods of `Files`. The environment comes in as an argument, and nothing here knows what settings are used for.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod error;
mod file;
mod pattern;
mod reader;
mod secrets;
pub mod settings;
pub mod value;

pub use error::{Problem, Problems};
pub use settings::{
    Action, Compress, Control, Diagnostics, Format, Hook, Layout, Ledger, Log, Rotate, Settings, Trigger,
};

use error::Place;
use file::{File, Role};
use reader::Written;

/// What the configuration takes from the environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// `LOGS_DIRECTORY` as systemd sets it for `LogsDirectory=` (systemd.exec(5)): directories, separated by colons.
    pub logs_directory: Option<OsString>,
    /// `STATE_DIRECTORY`, likewise, for `StateDirectory=`.
    pub state_directory: Option<OsString>,
    /// `RUNTIME_DIRECTORY`, likewise, for `RuntimeDirectory=`.
    pub runtime_directory: Option<OsString>,
}

/// Whether some of `address` is not for everybody's eyes: more than scheme and host.
pub(crate) fn has_secret(address: &str) -> bool {
    secrets::hidden(address) != address
}

/// The first of the directories that systemd names in a variable.
fn first(directories: Option<&OsString>) -> Option<PathBuf> {
    let first = directories?.as_bytes().split(|&byte| byte == b':').next()?;
    (!first.is_empty()).then(|| OsString::from_vec(first.to_vec()).into())
}

/// Reads the configuration at `path` with the files it includes.
///
/// # Errors
///
/// Every problem of every file, in the order of the files and their lines.
pub fn load(path: &Path, environment: &Environment) -> Result<Settings, Problems> {
    Reading::of(path, &Disk).settle(environment)
}

/// Reads `text` as the configuration `name` would hold it, without touching the disk: what it includes counts as empty.
///
/// # Errors
///
/// As [`load`], less the problems of included files.
pub fn parse_str(text: &str, name: &Path, environment: &Environment) -> Result<Settings, Problems> {
    Reading::of(name, &Alone(text)).settle(environment)
}

/// A larger file is none of ours: a million targets take a tenth of it.
const MAX_FILE: u64 = 1 << 30;

/// What is needed of the disk.
trait Files {
    /// The whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Paths that fit `pattern`, whose last component may have wildcards. Without wildcards: the path itself, even if
    /// there is no such file.
    fn matching(&self, pattern: &Path) -> io::Result<Vec<PathBuf>>;
}

struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let meta = std::fs::metadata(path)?;
        // A pipe may hang and a device may never end. A directory's own error will do.
        if !meta.is_file() && !meta.is_dir() {
            return Err(io::Error::other("not a regular file"));
        }
        if meta.len() > MAX_FILE {
            return Err(io::Error::other(format!("larger than {} MiB", MAX_FILE >> 20)));
        }
        std::fs::read(path)
    }

    fn matching(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let wild = pattern.file_name().map(|name| name.to_string_lossy()).filter(|name| pattern::is_wild(name));
        let (Some(wild), Some(dir)) = (wild, pattern.parent()) else { return Ok(vec![pattern.into()]) };
        let listed = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let entries = match std::fs::read_dir(listed) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        let fits = |name: &OsString| pattern::matches(&wild, &name.to_string_lossy());
        Ok(names.into_iter().filter(fits).map(|name| dir.join(name)).collect())
    }
}

/// A text that is not on the disk.
struct Alone<'a>(&'a str);

impl Files for Alone<'_> {
    fn read(&self, _path: &Path) -> io::Result<Vec<u8>> {
        Ok(self.0.into())
    }

    fn matching(&self, _pattern: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
}

/// A configuration while its files are read.
#[derive(Default)]
struct Reading {
    /// Every file opened, the main one first.
    paths: Vec<Arc<Path>>,
    /// Those of them that could be read.
    files: Vec<File>,
    problems: Vec<Problem>,
    /// Whether something was left out, so that what seems missing may stand there.
    has_gaps: bool,
}

impl Reading {
    fn of(main: &Path, disk: &impl Files) -> Self {
        let mut reading = Self::default();
        match disk.read(main) {
            Ok(bytes) => reading.add(main.into(), &bytes, Role::Main),
            Err(error) => reading.problems.push(Problem::in_file(&main.into(), format!("cannot be read: {error}"))),
        }
        let includes = reading.files.first().map(|file| file.include.clone()).unwrap_or_default();
        for include in &includes {
            reading.include(main, include, disk);
        }
        reading
    }

    fn include(&mut self, main: &Path, include: &Written<String>, disk: &impl Files) {
        let paths = match expand(main, &include.value, disk) {
            Ok(paths) => paths,
            Err(reason) => return self.leave_out(&include.place, reason),
        };
        for path in paths {
            // A file that fits two patterns is read once, and `*.toml` beside the main file does not mean that one.
            if self.paths.iter().any(|read| **read == *path) {
                continue;
            }
            match disk.read(&path) {
                Ok(bytes) => self.add(path.into(), &bytes, Role::Included),
                Err(error) => self.leave_out(&include.place, format!("cannot read {}: {error}", shown(&path))),
            }
        }
    }

    fn add(&mut self, path: Arc<Path>, bytes: &[u8], role: Role) {
        let file = match std::str::from_utf8(bytes) {
            Ok(text) => file::read(&path, text, role, &mut self.problems),
            Err(error) => {
                self.problems.push(not_utf8(&path, bytes, error.valid_up_to()));
                None
            }
        };
        self.has_gaps |= file.is_none();
        self.files.extend(file);
        self.paths.push(path);
    }

    fn leave_out(&mut self, place: &Place, reason: String) {
        self.problems.push(place.problem(reason));
        self.has_gaps = true;
    }

    fn settle(mut self, environment: &Environment) -> Result<Settings, Problems> {
        let mentions_targets = self.files.iter().any(|file| file.mentions_targets);
        // The main file is the first: without it, no other was read.
        let Some(main) = self.files.first_mut() else {
            return Err(Problems::sorted(self.problems, &self.paths));
        };
        if !mentions_targets && !self.has_gaps {
            self.problems
                .push(Problem::in_file(&main.path, "needs at least one target: a table [[target]] with a host"));
        }
        let (defaults, log) = (std::mem::take(&mut main.defaults), std::mem::take(&mut main.log));
        let diagnostics = std::mem::take(&mut main.diagnostics);
        let (ledger, control) = (std::mem::take(&mut main.ledger), std::mem::take(&mut main.control));
        let hooks = std::mem::take(&mut main.hooks);
        let log = settings::log(log, environment, &mut self.problems);
        let diagnostics = settings::diagnostics(diagnostics, &log.dir, &mut self.problems);
        let ledger = settings::ledger(ledger, environment, &log.dir, &mut self.problems);
        let control = settings::control(control, environment, &log.dir, ledger.path.as_deref(), &mut self.problems);
        let targets = settings::targets(defaults, self.files, self.has_gaps, &mut self.problems);
        let hooks = settings::hooks(hooks, &targets.names, &mut self.problems);
        if !self.problems.is_empty() {
            return Err(Problems::sorted(self.problems, &self.paths));
        }
        let files = self.paths.iter().map(|path| path.to_path_buf()).collect();
        Ok(Settings { targets: targets.all, log, diagnostics, ledger, control, hooks, files })
    }
}

/// The files that `pattern` of the file `main` stands for, sorted, or why it cannot stand for any.
fn expand(main: &Path, pattern: &str, disk: &impl Files) -> Result<Vec<PathBuf>, String> {
    let written = Path::new(pattern);
    if written.file_name().is_none() || pattern.contains('\0') {
        return Err("must be the path of a file, such as \"targets.d/*.toml\"".into());
    }
    if written.parent().is_some_and(|dir| pattern::is_wild(&dir.to_string_lossy())) {
        return Err("must have its wildcards in the last part of the path only".into());
    }
    let full = main.parent().unwrap_or(Path::new("")).join(written);
    let mut paths = disk.matching(&full).map_err(|error| format!("cannot list {}: {error}", shown(&full)))?;
    paths.sort();
    Ok(paths)
}

fn shown(path: &Path) -> String {
    error::escaped(&path.to_string_lossy())
}

fn not_utf8(path: &Arc<Path>, bytes: &[u8], valid_up_to: usize) -> Problem {
    let (before, rest) = bytes.split_at(valid_up_to);
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let bad = rest.first().copied().unwrap_or_default();
    let reason = format!("is not UTF-8: there is a byte 0x{bad:02x} on this line");
    Problem { line: Some(line), ..Problem::in_file(path, reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_dir(text: &str, logs_directory: Option<&str>) -> PathBuf {
        let environment = Environment { logs_directory: logs_directory.map(Into::into), ..Environment::default() };
        let text = format!("{text}\n[[target]]\nhost = \"::1\"");
        parse_str(&text, Path::new("f"), &environment).expect("must be accepted").log.dir
    }

    #[test]
    fn the_log_directory_is_the_keys_then_systemds_then_the_default() {
        let key = "[log]\ndir = \"mine\"";
        assert_eq!(log_dir(key, Some("/var/log/a")), Path::new("mine"));
        assert_eq!(log_dir("", Some("/var/log/a:/var/log/b")), Path::new("/var/log/a"));
        for unset in [None, Some(""), Some(":/var/log/b")] {
            assert_eq!(log_dir("", unset), Path::new("/var/log/pingtest"));
        }
    }

    #[test]
    fn a_text_alone_includes_nothing() {
        let text = "include = [\"no-such-file\", \"*\"]\n[[target]]\nhost = \"::1\"";
        let settings = parse_str(text, Path::new("f"), &Environment::default()).expect("must be accepted");
        assert_eq!(settings.files, [Path::new("f")]);
    }

    #[test]
    fn a_pattern_names_files_beside_the_including_one() {
        struct Echo;
        impl Files for Echo {
            fn read(&self, _path: &Path) -> io::Result<Vec<u8>> {
                Ok(Vec::new())
            }
            fn matching(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
                Ok(vec![pattern.with_extension("z"), pattern.into()])
            }
        }
        let expanded = |main, pattern| expand(Path::new(main), pattern, &Echo).expect("must be accepted");
        assert_eq!(expanded("a/b.toml", "c.toml"), [Path::new("a/c.toml"), Path::new("a/c.z")]);
        assert_eq!(expanded("b.toml", "/c.toml"), [Path::new("/c.toml"), Path::new("/c.z")]);
        for pattern in ["", "/", "..", "a*/b", "?/b", "a\0b"] {
            assert!(expand(Path::new("b.toml"), pattern, &Echo).is_err(), "{pattern:?}");
        }
    }
}
