//! Whether an output could be written, as far as can be told without taking it or making anything.

use std::fs;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

use super::directory::LOCK;
use super::{Error, Layout, Output, Place};
use crate::sink::rotation::SUFFIX;

/// Whether this process could write to an output. Its directory may be in use: by whom, it does not look.
///
/// # Errors
/// [`Error::Unusable`], as starting a log would meet it.
pub fn check(output: &Output) -> Result<(), Error> {
    let of = |path: &Path, checked: io::Result<()>| {
        checked.map_err(|source| Error::Unusable { path: path.to_owned(), source })
    };
    match &output.place {
        Place::Directory { dir, layout, keeping: _ } => {
            of(dir, could_take(dir))?;
            match layout {
                Layout::PerTarget => Ok(()),
                Layout::Combined(name) => {
                    let path = dir.join(format!("{name}{SUFFIX}"));
                    of(&path, writable_if_there(&path))
                }
            }
        }
        Place::File { path } => of(path, writable_if_there(path).and_then(|()| could_be_made(path))),
        Place::Stdout => Ok(()),
    }
}

/// Whether a file or directory is there, or could be made with all directories above that are missing.
///
/// # Errors
/// Why not (access(2), mkdir(2)).
pub fn could_be_made(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match path.parent() {
        // Of a relative path, what is above is where the process is.
        Some(above) if above.as_os_str().is_empty() => could_make_in(Path::new(".")),
        Some(above) => could_be_made(above).and_then(|()| if above.exists() { could_make_in(above) } else { Ok(()) }),
        None => Ok(()),
    }
}

fn could_take(dir: &Path) -> io::Result<()> {
    could_be_made(dir)?;
    if !dir.exists() {
        return Ok(());
    }
    could_make_in(dir)?;
    writable_if_there(&dir.join(LOCK))
}

fn could_make_in(dir: &Path) -> io::Result<()> {
    if !fs::metadata(dir)?.is_dir() {
        return Err(Errno::ENOTDIR.into());
    }
    Ok(eaccess(dir, AccessFlags::W_OK | AccessFlags::X_OK)?)
}

fn writable_if_there(path: &Path) -> io::Result<()> {
    match eaccess(path, AccessFlags::W_OK) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
