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
/// [`Error::NotPermitted`], [`Error::NoProtocol`] and [`Error::OptionNotPermitted`]; [`Error::System`] where there is no descriptor left.
pub(crate) fn permitted(targets: &[Arc<Target>]) -> Result<&'static str, Error> {
    let plain = [IpVersion::V4, IpVersion::V6]
        .map(|version| open(SocketKey { version, options: Default::default(), variant: 0 }));
    if let [Err(v4), Err(v6)] = plain {
        hopeless([v4, v6])?;
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

/// What keeps either version from a socket, unless it may pass.
fn hopeless(errors: [OpenError; 2]) -> Result<(), Error> {
    if let Some(error) = errors.into_iter().find(is_denial) {
        return Err(Error::NotPermitted(error));
    }
    if errors.iter().all(|error| matches!(error.errno, Errno::EAFNOSUPPORT | Errno::EPROTONOSUPPORT)) {
        return Err(Error::NoProtocol(errors[0]));
    }
    match errors.iter().find(|error| matches!(error.errno, Errno::EMFILE | Errno::ENFILE)) {
        Some(error) => Err(Error::System(error.errno.into())),
        None => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_both_versions_from_a_socket_for_good_is_told_and_what_may_pass_is_not() {
        let told = |errnos: [Errno; 2]| {
            let opened = hopeless(errnos.map(|errno| OpenError { step: "socket", errno }));
            opened.map_err(|error| error.to_string().split(' ').take(4).collect::<Vec<_>>().join(" "))
        };
        let neither = Err("neither IPv4 nor IPv6".to_owned());
        let denied = Err("not allowed to open".to_owned());
        assert_eq!(told([Errno::EAFNOSUPPORT; 2]), neither);
        assert_eq!(told([Errno::EPROTONOSUPPORT, Errno::EAFNOSUPPORT]), neither);
        assert_eq!(told([Errno::EAFNOSUPPORT, Errno::EPERM]), denied);
        assert_eq!(told([Errno::EACCES, Errno::EPERM]), denied);
        assert_eq!(told([Errno::EMFILE; 2]), Err("Too many open files".to_owned()));
        assert_eq!(told([Errno::ENOBUFS, Errno::EAFNOSUPPORT]), Ok(()));
    }

    #[test]
    fn a_lack_of_descriptors_names_the_limit() {
        let told = Error::System(Errno::EMFILE.into()).to_string();
        assert!(told.contains("LimitNOFILE=") && told.contains("ulimit -n"), "{told}");
        assert!(!Error::System(Errno::ENOMEM.into()).to_string().contains("limit"));
    }
}
