//! What the kernel says of the wall clock itself: whether somebody keeps it right (adjtimex(2)).
//!
//! It reads and sets nothing. Who keeps the clock, and how well, it does not know.

#![allow(unsafe_code, reason = "adjtimex(2) has no safe wrapper in the crates that are used here")]

use std::io;
use std::mem;

/// Whether the wall clock is kept right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discipline {
    /// Somebody does so: NTP, PTP, or the host of a virtual machine that tells the kernel.
    Synchronised,
    /// Nobody does, or nobody who tells the kernel (STA_UNSYNC).
    Unsynchronised,
}

/// Asks the kernel.
///
/// # Errors
/// EPERM where a filter of system calls forbids to ask.
pub fn discipline() -> io::Result<Discipline> {
    // SAFETY: all-zero bytes are a valid timex: it has numbers only.
    let mut timex: libc::timex = unsafe { mem::zeroed() };
    // No mode is set, so the kernel changes nothing.
    // SAFETY: `timex` is a valid timex that lives until after the call.
    let state = unsafe { libc::adjtimex(&mut timex) };
    match state {
        -1 => Err(io::Error::last_os_error()),
        _ if timex.status & libc::STA_UNSYNC != 0 || state == libc::TIME_ERROR => Ok(Discipline::Unsynchronised),
        _ => Ok(Discipline::Synchronised),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers_or_says_that_it_may_not() {
        match discipline() {
            Ok(Discipline::Synchronised | Discipline::Unsynchronised) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}"),
        }
    }
}
