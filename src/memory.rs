//! Memory that is no longer needed, back to the system.
//!
//! Reading a configuration takes several times the memory of what it says, in pieces so small and so mixed with what remains that the
//! C library keeps them for later. There is no later: the next reading may be months away.

#![allow(unsafe_code, reason = "malloc_trim(3) has no safe wrapper")]

/// Gives the system back what the C library's allocator holds and nobody uses, where the C library can (malloc_trim(3): glibc).
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer, locks what it touches, and leaves every allocation where it is.
    unsafe {
        libc::malloc_trim(0);
    }
}
