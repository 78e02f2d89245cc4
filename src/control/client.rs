//! The asking end of the socket. It blocks, but not for ever.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Gid, Group};
use serde::Deserialize;
use socket2::{Domain, SockAddr, Socket, Type};

use super::protocol::{Answer, REQUEST_AT_MOST, Request};
use crate::printable::printable;

/// How long the daemon may do nothing: it answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer that is taken: some hundred thousand targets.
const ANSWER_AT_MOST: u64 = 256 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens.
    #[error("cannot reach the daemon at {path}: {1}; is the daemon running? (systemctl status pingtest)", path = .0.display())]
    NotThere(PathBuf, #[source] io::Error),
    /// Others may ask.
    #[error("cannot reach the daemon at {path}: {2}{who}", path = .0.display(), who = Members(.1.as_deref()))]
    Denied(PathBuf, Option<String>, #[source] io::Error),
    /// It could not be asked, or broke off.
    #[error("cannot ask the daemon at {path}: {1}", path = .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// The request is too long.
    #[error("too many names at once: a request has at most {REQUEST_AT_MOST} bytes")]
    TooLong,
    /// It does not do as asked.
    #[error("{}{of}", printable(.error), of = OtherVersion(.version))]
    Refused {
        /// Why.
        error: String,
        /// The daemon's version.
        version: String,
    },
    /// It answers, but in words unknown here.
    #[error("the daemon's answer is not understood: {}{of}", printable(&.error.to_string()), of = OtherVersion(.version))]
    NotUnderstood {
        /// What is wrong with it.
        error: serde_json::Error,
        /// The daemon's version, as far as it can be told.
        version: String,
    },
}

/// `; members of the group adm may`
struct Members<'a>(Option<&'a str>);

impl fmt::Display for Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(group) => write!(f, "; the user it runs as and members of the group {group} may use it"),
            None => Ok(()),
        }
    }
}

/// ` (the daemon is pingtest 0.1.0, this is 0.2.0)`, where they differ.
struct OtherVersion<'a>(&'a str);

impl fmt::Display for OtherVersion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, env!("CARGO_PKG_VERSION")) {
            (theirs, ours) if theirs == ours => Ok(()),
            ("", ours) => write!(f, " (the daemon does not tell its version, this is {ours})"),
            (theirs, ours) => write!(f, " (the daemon is pingtest {}, this is {ours})", printable(theirs)),
        }
    }
}

/// Asks the daemon that listens on `path`: the line it answers, without its end.
///
/// # Errors
/// Where there is none, or none that answers in time.
pub fn ask(path: &Path, request: &Request) -> Result<String, Error> {
    let mut line = serde_json::to_vec(request).map_err(|error| Error::Io(path.to_owned(), error.into()))?;
    if line.len() > REQUEST_AT_MOST {
        return Err(Error::TooLong);
    }
    line.push(b'\n');
    let mut stream = connect(path).map_err(|error| not_connected(path, error))?;
    // A daemon that refuses may do so before it has read everything.
    let asked = stream.write_all(&line);
    let answer = answer(stream).map_err(|error| Error::Io(path.to_owned(), timed_out(error)))?;
    match (asked, answer.is_empty()) {
        (_, false) => Ok(answer),
        (Err(error), true) => Err(Error::Io(path.to_owned(), error)),
        (Ok(()), true) => Err(Error::Io(path.to_owned(), io::Error::other("it broke off without an answer"))),
    }
}

/// What a line says, if it does not refuse.
///
/// # Errors
/// Where it refuses, or is not understood.
pub fn understood(line: &str) -> Result<Answer<'_>, Error> {
    let answer: Answer = serde_json::from_str(line).map_err(|error| not_understood(line, error))?;
    match (answer.ok, &answer.error) {
        (true, _) => Ok(answer),
        (false, error) => Err(Error::Refused {
            error: error.as_deref().unwrap_or("the daemon refuses and does not say why").to_owned(),
            version: answer.version.to_string(),
        }),
    }
}

/// Whatever else has changed: the version is where it was.
fn not_understood(line: &str, error: serde_json::Error) -> Error {
    #[derive(Deserialize)]
    struct Versioned {
        version: String,
    }
    let version = serde_json::from_str(line).map_or_else(|_| String::new(), |Versioned { version }| version);
    Error::NotUnderstood { error, version }
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // It also bounds the wait to be accepted (unix(7)).
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(&SockAddr::unix(path)?).map_err(timed_out)?;
    Ok(socket.into())
}

/// One line. What follows it is of no interest, nor is how it ends.
fn answer(stream: UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    BufReader::with_capacity(1 << 18, stream.take(ANSWER_AT_MOST)).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if !line.is_empty() {
        return Err(io::Error::other("it broke off in the middle of its answer"));
    }
    String::from_utf8(line).map_err(io::Error::other)
}

/// A socket's timeout calls itself "Resource temporarily unavailable".
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::WouldBlock {
        return error;
    }
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {PATIENCE:?}"))
}

fn not_connected(path: &Path, error: io::Error) -> Error {
    let is = |kind| error.kind() == kind;
    if is(io::ErrorKind::NotFound) || is(io::ErrorKind::ConnectionRefused) {
        Error::NotThere(path.to_owned(), error)
    } else if is(io::ErrorKind::PermissionDenied) {
        Error::Denied(path.to_owned(), group_of(path), error)
    } else {
        Error::Io(path.to_owned(), error)
    }
}

fn group_of(path: &Path) -> Option<String> {
    let group = fs::metadata(path).ok()?.gid();
    let name = Group::from_gid(Gid::from_raw(group)).ok().flatten().map(|group| group.name);
    Some(name.unwrap_or_else(|| group.to_string()))
}
