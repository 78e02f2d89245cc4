//! The socket as a file: made so that nobody else can ever use it, taken over from the dead but not from the living, removed at the end.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::unistd::Group;
use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

/// Daemon's user and group may ask, nobody else.
const MODE: u32 = 0o660;

/// Of a directory that is made for the socket: who may use the socket is said by that.
const DIR_MODE: u32 = 0o755;

/// Clients that may wait to be accepted, as many as the kernel lets wait anyhow (net.core.somaxconn once was this).
const BACKLOG: i32 = 128;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else answers there.
    #[error("another process listens on {path}", path = .0.display())]
    InUse(PathBuf),
    /// There is a file that is no socket, and not ours to delete.
    #[error("{path} is not a socket", path = .0.display())]
    NotASocket(PathBuf),
    /// The system refuses.
    #[error("cannot listen on {path}: {1}", path = .0.display())]
    Io(PathBuf, #[source] io::Error),
}

/// Why only the daemon's own group may use the socket.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// There is no such group.
    #[error("there is no group {0:?}: only the daemon's own may use {path}", path = .1.display())]
    Unknown(String, PathBuf),
    /// It cannot be given to that group.
    #[error("cannot give {path} to the group {0:?}: {2}", path = .1.display())]
    Io(String, PathBuf, #[source] io::Error),
}

/// A socket that is listened on.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
    pub(super) group: Result<(), GroupError>,
}

/// The file of a socket of ours. Dropping it removes the file, if it still is the one that was made.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // Where it cannot be removed, the next daemon replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on `path`, without ever waiting for anybody.
///
/// The socket is made under another name and takes its place only when it can be used, so that whoever asks meets the old one or the
/// new one and never neither. Linux gives the file the mode that its socket has, less the umask (unix(7), net/unix/af_unix.c): it is
/// never wider than [`MODE`]. What the umask took is given back afterwards, to the right group.
///
/// # Errors
/// See [`Error`].
pub(super) fn bind(path: &Path, group: Option<&str>) -> Result<Bound, Error> {
    let failed = |error| Error::Io(path.to_owned(), error);
    make_dir(path).map_err(failed)?;
    check_vacant(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    fchmod(&socket, Mode::from_raw_mode(MODE)).map_err(|error| failed(error.into()))?;
    let made = made_as(path);
    // A process of the same number left it when it died at this very place.
    let _ = fs::remove_file(&made);
    socket.bind(&SockAddr::unix(&made).map_err(failed)?).map_err(failed)?;
    let result = open_to(&made, path, group).and_then(|group| {
        socket.listen(BACKLOG)?;
        let file = SocketFile { path: path.to_owned(), identity: identity(&made)? };
        fs::rename(&made, path)?;
        Ok((file, group))
    });
    let (file, group) = result.map_err(|error| {
        let _ = fs::remove_file(&made);
        failed(error)
    })?;
    Ok(Bound { listener: socket.into(), file, group })
}

/// One level: a whole path that is missing is a slip of the pen.
fn make_dir(path: &Path) -> io::Result<()> {
    let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) else { return Ok(()) };
    match DirBuilder::new().mode(DIR_MODE).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether `path` is free, or was left by somebody who died: only a socket on which nobody listens refuses.
fn check_vacant(path: &Path) -> Result<(), Error> {
    let failed = |error| Error::Io(path.to_owned(), error);
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => return Err(Error::NotASocket(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    let caller = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    // A daemon that hangs lets nobody in once enough are waiting: it is not to be waited for (EAGAIN).
    caller.set_nonblocking(true).map_err(failed)?;
    match caller.connect(&SockAddr::unix(path).map_err(failed)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(failed(error)),
        Ok(()) | Err(_) => Err(Error::InUse(path.to_owned())),
    }
}

/// Beside its place, so that it can be moved there, and with a name no longer than `control.sock`: a socket's path has 107 bytes.
fn made_as(path: &Path) -> PathBuf {
    path.with_file_name(format!(".ctl{}", std::process::id()))
}

fn open_to(made: &Path, path: &Path, group: Option<&str>) -> io::Result<Result<(), GroupError>> {
    let given = group.map_or(Ok(()), |group| give_to(made, path, group));
    fs::set_permissions(made, fs::Permissions::from_mode(MODE))?;
    Ok(given)
}

fn give_to(made: &Path, path: &Path, name: &str) -> Result<(), GroupError> {
    let failed = |error| GroupError::Io(name.to_owned(), path.to_owned(), error);
    let found = Group::from_name(name).map_err(|errno| failed(errno.into()))?;
    let group = found.ok_or_else(|| GroupError::Unknown(name.to_owned(), path.to_owned()))?;
    lchown(made, None, Some(group.gid.as_raw())).map_err(failed)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}
