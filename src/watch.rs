//! A descriptor that an asynchronous loop can wait for: the safe face of tokio's registration.
//!
//! It knows nothing of what the descriptor is; it serves those that stay what they are, an epoll instance or a timer.

#![allow(unsafe_code, reason = "tokio asks its caller to promise that a registered descriptor stays open")]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor registered with the present runtime.
#[derive(Debug)]
pub(crate) struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Registers `fd`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Those of epoll_ctl(2): out of memory or watches.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is owned, so it is open; it is only ever lent as a shared reference, and an `OwnedFd` cannot be
        // closed or replaced through that; so it stays open and the same until the registration has gone with it.
        Ok(Self(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?))
    }

    /// The descriptor.
    pub(crate) fn fd(&self) -> &OwnedFd {
        self.0.get_ref()
    }

    /// Waits until the descriptor has become readable since this last returned. Cancel safe.
    ///
    /// # Errors
    /// Only if the runtime is shutting down.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}
