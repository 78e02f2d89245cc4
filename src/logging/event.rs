//! The kinds of events that the program tells its operator of, pure.
//!
//! Each has a word, the one that hooks and JSON lines use where they know it as well, and in the journal a MESSAGE_ID
//! (systemd.journal-fields(7)) by which the catalog explains it: `packaging/usr/lib/systemd/catalog/pingtest.catalog`. Whoever tells of
//! one names the word in the field `PINGTEST_EVENT`; the identifier is added where it is written to the journal.

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its word.
    pub word: &'static str,
    /// Its MESSAGE_ID: 32 lower-case hexadecimal digits, drawn at random (sd-id128(3)), and the same in every release.
    pub message_id: &'static str,
}

/// A constant for each word, and the table of all of them.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $message_id:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $word;)*

        /// All kinds of events.
        pub const KINDS: &[Kind] = &[$(Kind { word: $word, message_id: $message_id }),*];
    };
}

kinds! {
    /// Probing has begun.
    STARTED = "started", "ebcedcd3e9a443eaae7d767cfca6073c";
    /// The daemon was told to stop.
    STOPPING = "stopping", "5540a44c5d904c329fc8ef2d96412c6d";
    /// Another configuration is in force.
    RELOADED = "reloaded", "dd60b8860c844cb08b5d2593f572f3ba";
    /// The configuration could not be read again; the one in force stays.
    RELOAD_FAILED = "reload_failed", "cf15083357d14b9385cc76df975d04d6";
    /// A part of the program makes no progress, and systemd's watchdog is no longer fed.
    STALLED = "stalled", "85394c3ab78f44e68efa97d4b619479b";
    /// A part that made no progress does so again.
    GOES_ON = "goes_on", "54983c440ce14c9eb14cbba59b6c762c";
    /// That packets are received cannot be proved, and the watchdog is fed without that proof.
    UNPROVABLE = "unprovable", "ffe44a036b3e425fa715a029a332837e";
    /// There is no control socket, so that nobody can ask for the status.
    CONTROL_FAILED = "control_failed", "1a290cb90bf84876a95c45e7829531d8";
    /// A target does not answer any more.
    OUTAGE_BEGAN = "outage_began", "92dcdcdc233946528999e402fb6cb801";
    /// A target answers again.
    OUTAGE_ENDED = "outage_ended", "5b48c61910c8480a875e7091ec5472c1";
    /// A target answered for the first time, after losses.
    FIRST_REPLY = "first_reply", "5f61ef6102b54f29a8b52326537fd1e3";
    /// A target answers, but worse than its configuration allows.
    DEGRADED_BEGAN = "degraded_began", "82713b317cfa4abca8eeff56897debff";
    /// A target is degraded no more.
    DEGRADED_ENDED = "degraded_ended", "64a8a1a8aa97426581bce1b5daf8fc8b";
    /// A target is no longer probed, by order.
    PAUSED = "paused", "4243cd556c514bb6bd54b87e8030f860";
    /// A target that was paused is probed again.
    RESUMED = "resumed", "a139910d8f244e22bf0750419e7cd2b8";
    /// The name of a target leads to another address.
    ADDRESS_CHANGED = "address_changed", "583f97659156464f96d7bea245a542a1";
    /// The name of a target leads nowhere.
    NOT_RESOLVED = "not_resolved", "ef1cbf1d1b154c0a9cdface5efb2974b";
    /// The name of a target leads somewhere, for the first time or again.
    RESOLVED = "resolved", "da7febc9b9e343fba2202a6289014f79";
    /// There was more to tell of targets than could be told.
    FINDINGS_UNTOLD = "findings_untold", "bbad2cc9b17c4635a2b9a95a0d4662f9";
    /// A target was left out.
    TOO_MANY_TARGETS = "too_many_targets", "28f12ed949504f3ea39ebdced10b5712";
    /// The wall clock was set.
    CLOCK_SET = "clock_set", "9db6c01835c64ced95908064f56056a4";
    /// The system was suspended.
    SUSPENDED = "suspended", "a7227f521a3241d4b690f160547865c6";
    /// No ICMP socket could be opened; it is tried again.
    SOCKET_FAILED = "socket_failed", "3f139fdddd944ec49515ef0baa2f9570";
    /// An ICMP socket was opened anew.
    SOCKET_REOPENED = "socket_reopened", "dc26b5f190f74b8281e307a2856b6f35";
    /// The system grants less receive buffer than the load asks for.
    SMALL_BUFFER = "small_buffer", "1d8cdb9f788c43e294b9be2594089a92";
    /// The kernel dropped packets before they were read.
    PACKETS_DROPPED = "packets_dropped", "9bb69d7e619c4067929f25b51321ce72";
    /// A file of the log cannot be written.
    LOG_FAILED = "log_failed", "f0f46e48029c44e2af343252f29bae5c";
    /// A file of the log is written again.
    LOG_RECOVERED = "log_recovered", "dab0f5687d8146a6aca9da54c66552ac";
    /// Lines of a log that could not be written were given up at its end.
    LOG_ABANDONED = "log_abandoned", "52d636650f4f4e468343d0c357e63417";
    /// Somebody else moved or deleted a live file of the log, and it was made anew.
    LOG_REPLACED = "log_replaced", "a458a448850348068f00515f4934c597";
    /// A file of the log cannot be rotated.
    LOG_NOT_ROTATED = "log_not_rotated", "8830abc142814896a333d9d7088baf9f";
    /// A rotated file cannot be compressed.
    LOG_NOT_PACKED = "log_not_packed", "ecc8cbb09e0d449eae88b07e3e630d07";
    /// A rotated file cannot be deleted.
    LOG_NOT_DELETED = "log_not_deleted", "09cbf2c5f7fc47eba5b4f7123a6e28c3";
    /// It is not sure that the last lines are on the disk.
    LOG_NOT_SYNCED = "log_not_synced", "746e94d397214c2888915806db6931e8";
    /// Files are called like rotated logs, but were not rotated by pingtest.
    LOG_UNLISTED = "log_unlisted", "63da2fa48c544275a01cf5221df38c27";
    /// Rotated files were deleted, as configured or because the disk is full.
    LOG_DELETED = "log_deleted", "cb3ed5876e8f4eb8bfb6c270f233b0ec";
    /// The ledger cannot be written.
    LEDGER_FAILED = "ledger_failed", "d6aa6522b395446bae5966477305731e";
    /// The ledger is written again.
    LEDGER_RECOVERED = "ledger_recovered", "d68a40d8cb514750a720312b85f2063e";
    /// Somebody else moved or deleted the ledger.
    LEDGER_TAKEN_AWAY = "ledger_taken_away", "a62a3be4a5fe428f8b8d42d6945bea85";
    /// The ledger was broken, and another one is begun.
    LEDGER_SET_ASIDE = "ledger_set_aside", "1776c3a8620d47df99f45fd9443af76d";
    /// The ledger is too slow for what it is given.
    LEDGER_BEHIND = "ledger_behind", "2dcbd05865b84e1f99e0812367824b36";
    /// The ledger was not written to its end.
    LEDGER_ABANDONED = "ledger_abandoned", "340ac7c6e43b40fdbf02712b12ea03e9";
    /// A hook could not tell of an event.
    HOOK_FAILED = "hook_failed", "31dc0df9be154c06be1acbc2465f559a";
    /// A hook works again.
    HOOK_RECOVERED = "hook_recovered", "f822c992bc354a5494d55405cfb8d934";
    /// A hook is too slow for the events it is to tell of.
    HOOK_MISSED = "hook_missed", "50278e228db14cdd93d4bc0c9899dd46";
    /// Events still waited for a hook when it was stopped.
    HOOK_ABANDONED = "hook_abandoned", "85beeed424864df7ae3cd331b3185138";
    /// The journal did not take messages in time, and they are lost.
    MESSAGES_DROPPED = "messages_dropped", "2f92f73dbc93447bbda8a32c90c9bd89";
}

/// What is normal but significant (syslog(3)'s notice) among what is told at level info.
const NOTABLE: [&str; 6] = [STARTED, STOPPING, RELOADED, OUTAGE_ENDED, FIRST_REPLY, DEGRADED_ENDED];

/// The kind of this word.
pub(super) fn kind(word: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.word == word)
}

/// Whether somebody who reads notices, and nothing below them, should read of it.
pub(super) fn is_notable(word: &str) -> bool {
    NOTABLE.contains(&word)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_kinds_share_a_word_or_an_identifier() {
        let words: BTreeSet<_> = KINDS.iter().map(|kind| kind.word).collect();
        let ids: BTreeSet<_> = KINDS.iter().map(|kind| kind.message_id).collect();
        assert_eq!((words.len(), ids.len()), (KINDS.len(), KINDS.len()));
    }

    #[test]
    fn identifiers_are_as_sd_id128_writes_them() {
        for Kind { word, message_id } in KINDS {
            let digits = message_id.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
            assert!(digits && message_id.len() == 32, "{word}: {message_id}");
        }
    }
}
