//! File systems of a test's own: one in memory, one on a loop device. They can be filled, emptied, frozen and hidden.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::net;
use crate::support::program;

/// A mounted file system, gone when this is dropped.
pub(crate) struct Disk {
    dir: TempDir,
}

impl Disk {
    /// In memory, of 1 MiB; `None` where this machine does not allow for it: then the test is skipped, and says so.
    pub(crate) fn in_memory() -> Option<Self> {
        Self::mount(|mount, _| {
            mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]);
            Ok(())
        })
    }

    /// ext4 of so many MiB on a loop device; `None` as above.
    pub(crate) fn on_loop(mib: u64) -> Option<Self> {
        Self::mount(|mount, dir| {
            let image = dir.join("image");
            File::create(&image).and_then(|file| file.set_len(mib << 20)).expect("the directory is ours");
            done(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
            mount.args(["-t", "ext4", "-o", "loop"]).arg(image);
            Ok(())
        })
    }

    fn mount(prepare: impl FnOnce(&mut Command, &Path) -> Result<(), String>) -> Option<Self> {
        let disk = Self { dir: program::directory() };
        let mut mount = Command::new("mount");
        fs::create_dir(disk.path()).expect("the directory is ours");
        let mounted = prepare(&mut mount, disk.dir.path()).and_then(|()| done(mount.arg(disk.path())));
        match mounted {
            Ok(()) => Some(disk),
            Err(error) => {
                net::skip(&format!("file systems cannot be mounted here ({error})"));
                None
            }
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Leaves no room at all.
    pub(crate) fn fill(&self) {
        let mut filler = File::options().append(true).create(true).open(self.filler()).expect("it is ours");
        for size in [1 << 16, 1 << 12, 1] {
            let error = loop {
                if let Err(error) = filler.write_all(&vec![0; size]) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull);
        }
    }

    /// Takes away what filled it; in memory, makes it larger as well, for 1 MiB is less than what waits.
    pub(crate) fn make_room(&self) {
        fs::remove_file(self.filler()).expect("it is there");
        // Of ext4, this changes nothing.
        let _ = done(Command::new("mount").args(["-o", "remount,size=64m"]).arg(self.path()));
    }

    /// How often its device was asked to keep what it was given.
    pub(crate) fn flushes(&self) -> u64 {
        /// Its place in the device's statistics (Documentation/admin-guide/iostats.rst).
        const FLUSHES: usize = 15;
        let device = fs::metadata(self.path()).expect("it is mounted").dev();
        let device = format!("{}:{}", libc::major(device), libc::minor(device));
        let stat = fs::read_to_string(format!("/sys/dev/block/{device}/stat")).expect("it is on a device");
        stat.split_whitespace().nth(FLUSHES).and_then(|count| count.parse().ok()).expect("Linux 5.5 counts flushes")
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// From here on, whoever writes to it waits until the guard is dropped.
    pub(crate) fn freeze(&self) -> Frozen<'_> {
        done(Command::new("fsfreeze").arg("-f").arg(self.path())).expect("root may freeze it");
        Frozen(self)
    }
}

/// A disk that no write to it returns from.
pub(crate) struct Frozen<'a>(&'a Disk);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let thawed = done(Command::new("fsfreeze").arg("-u").arg(self.0.path()));
        assert!(thawed.is_ok() || std::thread::panicking(), "{thawed:?}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Where mounting failed there is nothing to take away.
        let _ = done(Command::new("umount").arg("--lazy").arg(self.path()));
    }
}

/// Hides a directory from a process, which sees an empty one in its place that cannot be written.
pub(crate) fn hide(dir: &Path, from: u32) {
    done(in_mounts_of(from, "mount").args(["-t", "tmpfs", "-o", "ro", "tmpfs"]).arg(dir)).expect("root may mount");
}

/// Shows it again.
pub(crate) fn show(dir: &Path, to: u32) {
    done(in_mounts_of(to, "umount").arg(dir)).expect("it was hidden, and nobody has anything open in what hides it");
}

/// A command that sees the mounts of a process: ip(8) gives each that it starts its own.
fn in_mounts_of(process: u32, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--mount=/proc/{process}/ns/mnt")).arg(program);
    command
}

fn done(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")),
        Err(error) => Err(format!("{}: {error}", command.get_program().display())),
    }
}
