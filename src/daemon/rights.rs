//! Whether this process may do what the configuration asks for.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;

use super::{Error, output, runtime};
use crate::config::Settings;
use crate::icmp::socket::{Kind, OpenError, Socket};
use crate::logging;
use crate::monitor::SocketKey;
use crate::monitor::target::{IpVersion, Target};
use crate::sink::file;

/// Opens and closes a socket for each set of options, so that missing rights are told at the start and not once a second. What is
/// missing otherwise, an interface or an address, may come later. Must be called within a tokio runtime.
///
/// # Errors
/// [`Error::NotPermitted`] and [`Error::OptionNotPermitted`].
pub(crate) fn permitted(targets: &[Arc<Target>]) -> Result<&'static str, Error> {
    let plain = [IpVersion::V4, IpVersion::V6]
        .map(|version| open(SocketKey { version, options: Default::default(), variant: 0 }));
    if let Some(error) = plain.iter().filter_map(|opened| opened.as_ref().err()).find(|error| is_denial(error))
        && plain.iter().all(Result::is_err)
    {
        return Err(Error::NotPermitted(*error));
    }
    let mut options: Vec<_> = targets.iter().map(|target| &target.options).collect();
    options.sort();
    options.dedup();
    for options in options {
        let version = if options.source.is_some_and(|source| source.is_ipv6()) { IpVersion::V6 } else { IpVersion::V4 };
        if let Err(error) = open(SocketKey { version, options: options.clone(), variant: 0 })
            && is_denial(&error)
        {
            return Err(Error::OptionNotPermitted(error));
        }
    }
    Ok(match plain.into_iter().flatten().next() {
        Some(Kind::Raw) => "raw",
        Some(Kind::Datagram) | None => "datagram",
    })
}

fn open(key: SocketKey) -> Result<Kind, OpenError> {
    /// Nothing will be received.
    const BUFFER: usize = 4096;
    Socket::open(&key, 0, BUFFER).map(|socket| socket.kind())
}

fn is_denial(error: &OpenError) -> bool {
    matches!(error.errno, Errno::EPERM | Errno::EACCES)
}

/// Whether the daemon, started on this machine by this user, would take these settings: for whoever asks before. It takes nothing that
/// a running daemon has, and makes nothing that is missing; whether another process has the log's directory, it does not look.
///
/// # Errors
/// What the daemon would refuse them with.
pub(crate) fn fit_here(settings: &Settings) -> Result<(), Error> {
    let runtime = runtime()?;
    let _within = runtime.enter();
    permitted(&settings.targets)?;
    file::check(&output(&settings.log))?;
    settings.diagnostics.file.as_deref().map_or(Ok(()), appendable)
}

/// Whether diagnostics can be appended there.
fn appendable(path: &Path) -> Result<(), Error> {
    // Of what is there, opening it tells, and makes nothing; neither does it where nothing can be made.
    let would_be_made = fs::symlink_metadata(path).is_err() && file::could_be_made(path).is_ok();
    if !would_be_made {
        logging::open(path)?;
    }
    Ok(())
}
