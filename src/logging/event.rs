//! The kinds of events that the program tells its operator of, pure.
//!
//! Each has a word, the one that hooks and JSON lines use where they know it as well, and in the journal a MESSAGE_ID
//! (systemd.journal-fields(7)) by which a catalog explains it. Whoever tells of one names the word in the field `PINGTEST_EVENT`; the
//! identifier is added where it is written to the journal.

/// Probing has begun.
pub(crate) const STARTED: &str = "started";
/// The daemon was told to stop.
pub(crate) const STOPPING: &str = "stopping";
/// Another configuration is in force.
pub(crate) const RELOADED: &str = "reloaded";
/// The configuration could not be read again; the one in force stays.
pub(crate) const RELOAD_FAILED: &str = "reload_failed";
/// A part of the program makes no progress, and systemd's watchdog is no longer fed.
pub(crate) const STALLED: &str = "stalled";
