//! Looks at directories, file systems, the control socket and the commands of hooks. It makes and opens nothing: access(2) says what may
//! be done.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Group, Uid, User};
use rustix::fs::{Access, access, major, minor, statfs, statvfs};

use super::super::facts::{
    Control, Daemon, Directory, Foreign, Hook, Place, PlaceState, Role, Unit, Volume, VolumeKind,
};
use super::{PATIENCE, bounded};
use crate::config::{self, Action, Layout, Settings};
use crate::control::client;
use crate::control::protocol::{Request, Text};

/// Locked by whoever writes the logs (`sink::file`).
const LOCK: &str = ".pingtest.lock";
/// The one file of `layout = "combined"` (`daemon::parts`).
const COMBINED: &str = "pingtest.log";

pub(super) fn places(settings: &Settings, unit: Option<&Unit>) -> Vec<Place> {
    let log = (Role::Log, settings.log.dir.clone(), Making::Whole);
    let ledger = settings.ledger.path.as_deref().map(|path| (Role::Ledger, dir_of(path), Making::Last));
    let diagnostics = settings.diagnostics.file.as_deref().map(|path| (Role::Diagnostics, dir_of(path), Making::Whole));
    let max_total = settings.log.max_total.map(u64::from);
    let wanted = [Some(log), ledger, diagnostics].into_iter().flatten();
    let place = |(role, dir, making): (Role, PathBuf, Making)| {
        let own = Own::of(role, settings, max_total);
        let by_systemd = unit.is_some_and(|unit| unit.is_loaded() && unit.directories.contains(&dir));
        let path = dir.clone();
        let state = bounded(PATIENCE, move || look(&path, making, by_systemd, &own)).unwrap_or(PlaceState::Hangs);
        Place { role, dir, state }
    };
    wanted.map(place).collect()
}

/// How much of a path pingtest makes where it is missing.
#[derive(Clone, Copy)]
enum Making {
    /// All of it.
    Whole,
    /// The last directory.
    Last,
}

/// What of a directory is pingtest's.
struct Own {
    role: Role,
    /// The names of its files, or what they begin with.
    file: String,
    max_total: Option<u64>,
    /// The live file of a log that has but one.
    only: Option<String>,
}

impl Own {
    fn of(role: Role, settings: &Settings, max_total: Option<u64>) -> Self {
        let file_name = |path: Option<&PathBuf>| {
            path.and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        match role {
            Role::Log => {
                let only = match settings.log.layout {
                    Layout::PerTarget => None,
                    Layout::Combined => Some(COMBINED.to_owned()),
                };
                Self { role, file: String::new(), max_total, only }
            }
            Role::Ledger => Self { role, file: file_name(settings.ledger.path.as_ref()), max_total: None, only: None },
            Role::Diagnostics => {
                Self { role, file: file_name(settings.diagnostics.file.as_ref()), max_total: None, only: None }
            }
        }
    }

    /// Whether nothing is written without this file.
    fn is_vital(&self, name: &str) -> bool {
        match self.role {
            Role::Log => name == LOCK || self.only.as_deref() == Some(name),
            Role::Ledger | Role::Diagnostics => true,
        }
    }

    fn has(&self, name: &str) -> bool {
        match self.role {
            Role::Log => name.starts_with(".pingtest.") || name.ends_with(".log"),
            Role::Ledger => {
                name.strip_prefix(&self.file).is_some_and(|rest| ["", "-wal", "-shm", ".lock"].contains(&rest))
            }
            Role::Diagnostics => name == self.file,
        }
    }
}

fn dir_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

fn look(dir: &Path, making: Making, by_systemd: bool, own: &Own) -> PlaceState {
    match fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => PlaceState::There(directory(dir, &meta, own)),
        Ok(_) => PlaceState::NotADirectory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => missing(dir, making, by_systemd),
        Err(error) => PlaceState::Missing { above: above(dir), refused: Some(error.to_string()), by_systemd },
    }
}

fn missing(dir: &Path, making: Making, by_systemd: bool) -> PlaceState {
    let above = above(dir);
    let direct = dir_of(dir);
    let refused = match making {
        Making::Last if above != direct => Some(format!("{} is missing as well", direct.display())),
        Making::Last | Making::Whole => refusal(&above),
    };
    PlaceState::Missing { above, refused, by_systemd }
}

/// The nearest directory above that is there.
fn above(dir: &Path) -> PathBuf {
    let found = dir.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()).find(|dir| dir.exists());
    found.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Why nothing can be made in this directory.
fn refusal(dir: &Path) -> Option<String> {
    access(dir, Access::WRITE_OK | Access::EXEC_OK).err().map(|errno| io::Error::from(errno).to_string())
}

fn directory(dir: &Path, meta: &Metadata, own: &Own) -> Directory {
    let files = fs::read_dir(dir).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let (mut used, mut foreign, mut is_vital) = (0, Vec::new(), false);
    for file in files {
        let Ok(kind) = file.metadata() else { continue };
        used += kind.len();
        let path = file.path();
        let name = file.file_name();
        let name = name.to_string_lossy();
        if kind.is_file() && own.has(&name) && access(&path, Access::WRITE_OK).is_err() {
            is_vital |= own.is_vital(&name);
            foreign.push(path);
        }
    }
    foreign.sort();
    let count = foreign.len();
    Directory {
        refused: refusal(dir),
        owner: owner(meta.uid()),
        foreign: foreign.into_iter().next().map(|first| Foreign { count, first, is_vital }),
        is_shut_to_adm: own.role == Role::Log && is_shut_to_adm(dir, meta),
        held_by: if own.role == Role::Log { holder(&dir.join(LOCK)) } else { None },
        volume: volume(dir, own.max_total.map(|total| total.saturating_sub(used))),
    }
}

/// Whether this is the directory that the package's tmpfiles.d(5) opens to the group adm, and it is not open to it.
fn is_shut_to_adm(dir: &Path, meta: &Metadata) -> bool {
    const OPENED: &str = "/var/log/pingtest";
    const OPENER: &str = "/usr/lib/tmpfiles.d/pingtest.conf";
    if !dir.starts_with(OPENED) || !Path::new(OPENER).exists() {
        return false;
    }
    let Ok(Some(group)) = Group::from_name("adm") else { return false };
    let by_mode = meta.mode() & 0o005 == 0o005 || (meta.gid() == group.gid.as_raw() && meta.mode() & 0o050 == 0o050);
    let mut acl = [0; 4096];
    let len = rustix::fs::getxattr(dir, "system.posix_acl_access", &mut acl[..]).unwrap_or(0);
    !by_mode && !lets_in(&acl[..len], group.gid.as_raw())
}

/// Whether an ACL, as the kernel has it (linux/posix_acl_xattr.h: a version, then tag, permissions and number of each entry), lets a
/// group read and search.
fn lets_in(acl: &[u8], group: u32) -> bool {
    const ACL_GROUP: u16 = 0x08;
    const READ_AND_SEARCH: u16 = 0o5;
    acl.get(4..).unwrap_or_default().chunks_exact(8).any(|entry| match *entry {
        [tag0, tag1, may0, may1, id0, id1, id2, id3] => {
            u16::from_le_bytes([tag0, tag1]) == ACL_GROUP
                && u16::from_le_bytes([may0, may1]) & READ_AND_SEARCH == READ_AND_SEARCH
                && u32::from_le_bytes([id0, id1, id2, id3]) == group
        }
        _ => false,
    })
}

fn owner(uid: u32) -> String {
    let found = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    found.map_or_else(|| format!("user {uid}"), |user| user.name)
}

/// The process that holds the lock on a file, by proc(5), `/proc/locks`.
fn holder(lock: &Path) -> Option<u32> {
    let meta = fs::metadata(lock).ok()?;
    let file = format!("{:02x}:{:02x}:{}", major(meta.dev()), minor(meta.dev()), meta.ino());
    holder_in(&fs::read_to_string("/proc/locks").ok()?, &file)
}

/// `1: FLOCK  ADVISORY  WRITE 4711 fe:01:131 0 EOF`; who waits for a lock has `->` behind the number.
fn holder_in(locks: &str, file: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            // Of a process in another namespace the number is 0.
            [_, "FLOCK", _, "WRITE", pid, found, ..] if *found == file => pid.parse().ok().filter(|pid| *pid != 0),
            _ => None,
        }
    })
}

fn volume(dir: &Path, budget: Option<u64>) -> Option<Volume> {
    let (kind, size) = (statfs(dir).ok()?, statvfs(dir).ok()?);
    Some(Volume {
        kind: volume_kind(kind.f_type as u64),
        free: size.f_bavail.saturating_mul(size.f_frsize),
        // A file system that makes inodes as it needs them counts none.
        inodes: (size.f_files > 0).then_some(size.f_favail),
        budget,
    })
}

/// By the numbers of statfs(2), linux/magic.h.
fn volume_kind(magic: u64) -> Option<VolumeKind> {
    match magic & 0xffff_ffff {
        // TMPFS_MAGIC, RAMFS_MAGIC
        0x0102_1994 | 0x8584_58f6 => Some(VolumeKind::Memory),
        // NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC, CEPH_SUPER_MAGIC, AFS_SUPER_MAGIC
        0x6969 | 0x517b | 0xff53_4d42 | 0xfe53_4d42 | 0x00c3_6400 | 0x5346_414f => Some(VolumeKind::Network),
        // OVERLAYFS_SUPER_MAGIC
        0x794c_7630 => Some(VolumeKind::Overlay),
        _ => None,
    }
}

pub(super) fn control(control: &config::Control, unit: Option<&Unit>) -> Option<Control> {
    let socket = control.socket.clone()?;
    let path = socket.clone();
    let daemon = bounded(PATIENCE, move || daemon(&path));
    let silent = || Daemon::Unclear(format!("whoever listens on {} does not answer", socket.display()));
    let group = control.group.clone();
    let unknown_group = group.filter(|group| {
        let name = group.clone();
        bounded(PATIENCE, move || matches!(Group::from_name(&name), Ok(None))).unwrap_or(false)
    });
    let dir = dir_of(&socket);
    let by_systemd = unit.is_some_and(|unit| unit.is_loaded() && unit.directories.contains(&dir));
    let refused = bounded(PATIENCE, move || match missing(&dir, Making::Last, by_systemd) {
        _ if dir.is_dir() => refusal(&dir),
        PlaceState::Missing { by_systemd: true, .. } => None,
        PlaceState::Missing { refused, .. } => refused,
        PlaceState::Hangs | PlaceState::NotADirectory | PlaceState::There(_) => None,
    });
    Some(Control { daemon: daemon.unwrap_or_else(silent), refused: refused.flatten(), unknown_group, socket })
}

fn daemon(socket: &Path) -> Daemon {
    if !fs::symlink_metadata(socket).is_ok_and(|meta| meta.file_type().is_socket()) {
        return Daemon::Nobody;
    }
    let request = Request { request: Text::from("status"), ..Request::default() };
    let answer = client::ask(socket, &request);
    match answer.as_deref().map(client::understood) {
        Ok(Ok(answer)) => Daemon::Answers { version: answer.version.to_string(), pid: answer.pid },
        Ok(Err(error)) => Daemon::Unclear(error.to_string()),
        Err(client::Error::NotThere(..)) => Daemon::Nobody,
        Err(error) => Daemon::Unclear(error.to_string()),
    }
}

pub(super) fn hooks(hooks: &[config::Hook]) -> Vec<Hook> {
    let programs = hooks.iter().filter_map(|hook| match &hook.action {
        Action::Command(words) => words.first().cloned(),
        Action::Webhook(_) => None,
    });
    let look = |program: String| {
        let path = program.clone();
        let refused = bounded(PATIENCE, move || cannot_run(&path));
        Hook { program, refused: refused.unwrap_or_else(|| Some("its file system does not answer".to_owned())) }
    };
    programs.map(look).collect()
}

/// A name without a slash is looked for in `PATH`, as execvp(3) does.
fn cannot_run(program: &str) -> Option<String> {
    if program.contains('/') {
        return not_executable(Path::new(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| not_executable(&dir.join(program)).is_none());
    (!found).then(|| "not found in PATH".to_owned())
}

fn not_executable(path: &Path) -> Option<String> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Some("it is a directory".to_owned()),
        Ok(_) => access(path, Access::EXEC_OK).err().map(|errno| io::Error::from(errno).to_string()),
        Err(error) => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_lock_is_told_and_not_who_waits_for_it() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fe:01:131 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 12 fe:01:131 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 13 fe:01:132 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 0 fe:01:133 0 EOF\n";
        assert_eq!(holder_in(locks, "fe:01:131"), Some(12));
        assert_eq!(holder_in(locks, "fe:01:132"), None);
        assert_eq!(holder_in(locks, "fe:01:133"), None);
    }

    #[test]
    fn an_acl_lets_in_the_group_that_it_names() {
        // As setfacl -m g:4:r-x leaves it.
        let entry =
            |tag: u16, may: u16, id: u32| [&tag.to_le_bytes()[..], &may.to_le_bytes(), &id.to_le_bytes()].concat();
        let none = u32::MAX;
        let entries = [(1, 7, none), (4, 5, none), (8, 5, 4), (8, 4, 9), (0x10, 5, none), (0x20, 0, none)];
        let acl = [2_u32.to_le_bytes().to_vec(), entries.map(|(tag, may, id)| entry(tag, may, id)).concat()].concat();
        assert!(lets_in(&acl, 4));
        assert!(!lets_in(&acl, 9), "it may not search");
        assert!(!lets_in(&acl, 5) && !lets_in(&[], 4));
    }

    #[test]
    fn a_command_is_looked_for_as_it_would_be_run() {
        assert_eq!(cannot_run("sh"), None);
        assert_eq!(cannot_run("/bin/sh"), None);
        assert_eq!(cannot_run("no-such-command").as_deref(), Some("not found in PATH"));
        assert_eq!(cannot_run("/").as_deref(), Some("it is a directory"));
        assert_eq!(cannot_run("/no/such").as_deref(), Some("No such file or directory (os error 2)"));
    }

    #[test]
    fn of_a_missing_directory_as_much_is_made_as_the_daemon_would() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a/b");
        let (whole, last) = (missing(&path, Making::Whole, false), missing(&path, Making::Last, false));
        let above = dir.path().to_owned();
        assert_eq!(whole, PlaceState::Missing { above: above.clone(), refused: None, by_systemd: false });
        let refused = Some(format!("{} is missing as well", dir.path().join("a").display()));
        assert_eq!(last, PlaceState::Missing { above, refused, by_systemd: false });
    }
}
