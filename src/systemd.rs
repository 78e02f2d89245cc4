//! What the service manager is told (sd_notify(3)), and when its watchdog is fed.
//!
//! Messages are sent by a thread of their own: the manager may not read for a while, and nobody here is to wait for it. What is outdated
//! by then is left out. Whether the program is ready or gets on, this module is told.

mod mailbox;
pub(crate) mod watchdog;
pub(crate) mod words;

use std::sync::Arc;
use std::time::Duration;
use std::{env, io};

use sd_notify::NotifyState;

use self::mailbox::{Kind, Mailbox};

/// Tells the service manager how the program is; where there is none, nobody.
#[derive(Debug)]
pub(crate) struct Notifier(Option<Mailbox>);

impl Notifier {
    /// Where to is what the environment says. Until [`Self::ready`], the manager is asked for patience whenever the start takes long.
    /// `failed` is called by another thread when a message cannot be sent and those before it could.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub(crate) fn from_environment(failed: impl Fn(io::Error) + Send + 'static) -> io::Result<Self> {
        let has_address = env::var_os("NOTIFY_SOCKET").is_some_and(|address| !address.is_empty());
        let mailbox =
            has_address.then(|| Mailbox::open(mailbox::ASK_EVERY, mailbox::send_to_manager, failed)).transpose()?;
        Ok(Self(mailbox))
    }

    /// Whether there is anybody to tell.
    pub(crate) fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// The start, or a reload, is over.
    pub(crate) fn ready(&self, status: &str) {
        self.post(Kind::Change, &[NotifyState::Ready, NotifyState::Status(&words::in_one_line(status))]);
        self.0.iter().for_each(Mailbox::end_start);
    }

    /// A reload begins. systemd wants the time in the same message.
    pub(crate) fn reloading(&self, status: &str) {
        let status = words::in_one_line(status);
        let mut states = vec![NotifyState::Reloading];
        states.extend(NotifyState::monotonic_usec_now());
        states.push(NotifyState::Status(&status));
        self.post(Kind::Change, &states);
    }

    /// The start has come to nothing, for this reason.
    pub(crate) fn failed(&self, status: &str) {
        self.0.iter().for_each(Mailbox::end_start);
        self.status(status);
    }

    /// How the program is.
    pub(crate) fn status(&self, status: &str) {
        self.post(Kind::Status, &[NotifyState::Status(&words::in_one_line(status))]);
    }

    /// The end begins, of a start as well: time is asked for no more, for systemd would give it to the end.
    pub(crate) fn stopping(&self, status: &str) {
        self.0.iter().for_each(Mailbox::end_start);
        self.post(Kind::Change, &[NotifyState::Stopping, NotifyState::Status(&words::in_one_line(status))]);
    }

    /// The program gets on.
    pub(crate) fn feed_watchdog(&self) {
        self.post(Kind::Watchdog, &[NotifyState::Watchdog]);
    }

    fn post(&self, kind: Kind, states: &[NotifyState<'_>]) {
        let Some(mailbox) = &self.0 else { return };
        mailbox.post(kind, states.iter().map(|state| format!("{state}\n")).collect::<String>().into());
    }
}

/// The time within which the manager wants its watchdog fed, where it does (sd_watchdog_enabled(3)).
pub(crate) fn watchdog_time() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|time| !time.is_zero())
}

/// A message as it is sent.
type Text = Arc<str>;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_start_that_is_told_to_stop_asks_for_no_more_time() {
        let (said, heard) = mpsc::channel();
        let send = move |text: &str| said.send(text.to_owned()).map_err(io::Error::other);
        let mailbox = Mailbox::open(Duration::from_millis(1), send, |_| {}).expect("a thread");
        assert_eq!(heard.recv().as_deref(), Ok("EXTEND_TIMEOUT_USEC=30000000\n"));
        let notifier = Notifier(Some(mailbox));
        notifier.stopping("stopping on SIGTERM");
        let stopping = |text: &String| text == "STOPPING=1\nSTATUS=stopping on SIGTERM\n";
        assert!(heard.iter().any(|text| stopping(&text)), "it is said");
        // Ten times as long as it would take.
        assert_eq!(heard.recv_timeout(Duration::from_millis(10)), Err(mpsc::RecvTimeoutError::Timeout));
    }
}
