//! Packing one file, and clearing up after a packing that was killed.
//!
//! At every instant either the original stands or the packed file is whole and synced; what is half done has a name that no log
//! has. Low priority is the caller's affair: the thread that calls has it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use nix::fcntl::OFlag;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::read::Archive;
use super::table::{Frame, table};
use crate::sink::rotation::{Packing, RotatedName};

/// Bytes of lines in a frame: small enough to be unpacked in a millisecond, large enough that a larger one would hardly pack
/// better.
pub(super) const FRAME: usize = 1 << 20;
/// What `zstd` itself takes where nothing is said.
const ZSTD_LEVEL: i32 = 3;
/// What the name of a file ends with until it is whole.
const PART: &str = ".part";

/// Packs the file at `path` and removes it, in this order: write under a hidden name, sync, rename, sync the directory, remove.
/// Returns the path of the packed file, which has the owner, mode and time of modification of the original. [`Packing::Plain`]
/// leaves everything as it is.
///
/// # Errors
/// Those of the system; `AlreadyExists` where there is a file of the packed name; `Interrupted` soon after `halt`, which is asked before
/// each mebibyte, says so; and where the file changes while it is read. Then the original stands as it was, and no part is left unless
/// removing it fails too.
pub fn pack(path: &Path, packing: Packing, halt: &dyn Fn() -> bool) -> io::Result<PathBuf> {
    if packing == Packing::Plain {
        return Ok(path.to_owned());
    }
    let target = with_suffix(path, packing.suffix());
    if target.try_exists()? {
        return Err(already_exists(&target));
    }
    let part = part_of(path, packing)?;
    write_part(path, &part, packing, halt).and_then(|()| rename_to_new(&part, &target)).inspect_err(|_| {
        // The first error is the one to tell; a part that stays is removed by `recover`.
        let _ = fs::remove_file(&part);
    })?;
    sync_directory(path)?;
    fs::remove_file(path)?;
    Ok(target)
}

fn write_part(path: &Path, part: &Path, packing: Packing, halt: &dyn Fn() -> bool) -> io::Result<()> {
    let no_wait = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let original = OpenOptions::new().read(true).custom_flags(no_wait).open(path)?;
    let before = original.metadata()?;
    if !before.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    match fs::remove_file(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part)?;
    let size = match packing {
        Packing::Zstd => write_zstd(&original, &mut out, halt)?,
        Packing::Gzip => write_gzip(&original, &mut out, halt)?,
        Packing::Plain => io::copy(&mut &original, &mut out)?,
    };
    // Whoever may not give files away keeps them.
    let _ = fchown(&out, Some(before.uid()), Some(before.gid()));
    out.set_permissions(fs::Permissions::from_mode(before.mode() & 0o7777))?;
    out.set_modified(before.modified()?)?;
    out.sync_all()?;
    let after = fs::symlink_metadata(path)?;
    let identity = |meta: &fs::Metadata| (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec());
    if size != before.len() || identity(&before) != identity(&after) {
        return Err(io::Error::other("the file changed while it was packed"));
    }
    Ok(())
}

/// Returns how many bytes it packed.
fn write_zstd(original: &File, out: &mut File, halt: &dyn Fn() -> bool) -> io::Result<u64> {
    let mut compressor = Compressor::new(ZSTD_LEVEL)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    let mut frames = Vec::new();
    let mut size = 0;
    in_blocks(original, halt, |block| {
        let packed = compressor.compress(block)?;
        out.write_all(&packed)?;
        size += block.len() as u64;
        // A block is of `FRAME` bytes at most, and what does not shrink grows by a few.
        frames.push(Frame { packed: packed.len() as u32, plain: block.len() as u32 });
        Ok(())
    })?;
    out.write_all(&table(&frames)?)?;
    Ok(size)
}

/// Returns how many bytes it packed.
fn write_gzip(original: &File, out: &mut File, halt: &dyn Fn() -> bool) -> io::Result<u64> {
    let mut encoder = GzEncoder::new(io::BufWriter::new(out), Compression::default());
    let mut size = 0;
    in_blocks(original, halt, |block| {
        size += block.len() as u64;
        encoder.write_all(block)
    })?;
    encoder.finish()?.flush()?;
    Ok(size)
}

/// Hands on a file in blocks of [`FRAME`] bytes at most. Each ends with a line; only a line that fills a block is cut.
fn in_blocks(
    mut file: impl Read,
    halt: &dyn Fn() -> bool,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut block = Vec::with_capacity(FRAME);
    loop {
        if halt() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let room = FRAME - block.len();
        let read = file.by_ref().take(room as u64).read_to_end(&mut block)?;
        let is_last = read < room;
        let whole_lines = block.iter().rposition(|&byte| byte == b'\n').map(|at| at + 1);
        let cut = if is_last { block.len() } else { whole_lines.unwrap_or(block.len()) };
        if cut > 0 {
            each(&block[..cut])?;
        }
        if is_last {
            return Ok(());
        }
        block.drain(..cut);
    }
}

/// Renames a file unless there is one of the new name.
///
/// # Errors
/// `AlreadyExists` where there is, and those of rename(2).
pub(in crate::sink) fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system does not know the flag. A hard link does not replace either.
        Err(Errno::INVAL | Errno::NOSYS) => match fs::hard_link(from, to) {
            Ok(()) => fs::remove_file(from),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // No hard links either. Nobody else makes files of this name.
            Err(_) if to.try_exists()? => Err(already_exists(to)),
            Err(_) => fs::rename(from, to),
        },
        result => Ok(result?),
    }
}

fn already_exists(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("there is a file {} already", path.display()))
}

/// Makes what was renamed or removed beside `path` last.
fn sync_directory(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// What the packed form of `path` is called until it is whole: `.alidns-2026-11-22.log.zst.part`.
fn part_of(path: &Path, packing: Packing) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("not the path of a file"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(std::ffi::OsStr::from_bytes(name.as_bytes()));
    hidden.push(packing.suffix());
    hidden.push(PART);
    Ok(path.with_file_name(hidden))
}

/// What was found of a packing that was killed.
#[derive(Debug)]
pub enum Recovered {
    /// A packing had not come to its end; its part is gone and the original as it was.
    PartRemoved(PathBuf),
    /// The packed file was whole; the original, which it holds, is gone.
    OriginalRemoved(PathBuf),
    /// The packed file does not hold the original: both were left as they are.
    Differs {
        /// The file as it was written.
        original: PathBuf,
        /// What should hold it.
        packed: PathBuf,
    },
    /// A file could not be read or removed, and stands.
    Failed(PathBuf, io::Error),
}

/// Clears up what a kill has left of packing the files `names` in `dir`, and tells what it did. Files of other names are not touched.
pub fn recover<'a>(dir: &Path, names: impl IntoIterator<Item = &'a RotatedName>) -> Vec<Recovered> {
    let plain = names.into_iter().map(|name| name.packed(Packing::Plain).to_string());
    let mut plain: Vec<_> = plain.filter(|name| !name.contains('/')).map(|name| dir.join(name)).collect();
    plain.dedup();
    let both = plain.iter().flat_map(|path| [Packing::Zstd, Packing::Gzip].map(|packing| (path, packing)));
    both.flat_map(|(path, packing)| recover_part(path, packing).into_iter().chain(recover_original(path, packing)))
        .collect()
}

fn recover_part(path: &Path, packing: Packing) -> Option<Recovered> {
    let part = part_of(path, packing).ok()?;
    match fs::remove_file(&part) {
        Ok(()) => Some(Recovered::PartRemoved(part)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Recovered::Failed(part, error)),
    }
}

fn recover_original(path: &Path, packing: Packing) -> Option<Recovered> {
    let packed = with_suffix(path, packing.suffix());
    let is_file = |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
    if !is_file(path) || !is_file(&packed) {
        return None;
    }
    let size = match Archive::open(&packed).and_then(Archive::whole_size) {
        Ok(size) => size,
        Err(error) => return Some(Recovered::Failed(packed, error)),
    };
    Some(match fs::symlink_metadata(path) {
        Ok(meta) if meta.len() != size => Recovered::Differs { original: path.to_owned(), packed },
        Err(error) => Recovered::Failed(path.to_owned(), error),
        // The packed file's name may not have reached the disk before the kill.
        Ok(_) => match sync_directory(path).and_then(|()| fs::remove_file(path)) {
            Ok(()) => Recovered::OriginalRemoved(path.to_owned()),
            Err(error) => Recovered::Failed(path.to_owned(), error),
        },
    })
}
