//! Messages on their way to the service manager, and the thread that sends them.
//!
//! Bounded whatever the manager does: a status takes the place of an older one that was not sent yet, and so does a sign of life. What a
//! message means, this module does not know.

use std::collections::VecDeque;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{env, io, thread};

use sd_notify::NotifyState;

use super::Text;

/// Messages that may wait: changes are a handful, of the other kinds there is one each.
const WAITING: usize = 64;

/// The patience asked for while the start lasts: one that hangs is noticed when it is used up after the last time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Times it is asked for: ten minutes together. A ledger of gigabytes that must be recovered takes less.
const ASKED: u32 = 300;

/// From the start on, for as long as it lasts, the manager is asked for patience this often.
pub(super) const ASK_EVERY: Duration = Duration::from_secs(2);

/// How long the end waits for what was said last.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The state of the service: each is sent, in their order.
    Change,
    /// Only the newest counts.
    Status,
    /// One says as much as several.
    Watchdog,
}

/// Takes messages without making anybody wait. Dropping it waits a moment for what was said last.
#[derive(Debug)]
pub(super) struct Mailbox {
    shared: Arc<Shared>,
    ended: Receiver<()>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(Kind, Text)>,
    has_started: bool,
    is_closed: bool,
}

impl Mailbox {
    /// Starts the thread. Until the start is over, it asks for patience every `ask_every`. `send` sends one message and may take its time;
    /// `failed` hears of the first failure of several.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub(super) fn open(
        ask_every: Duration,
        send: impl Fn(&str) -> io::Result<()> + Send + 'static,
        failed: impl Fn(io::Error) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (end, ended) = mpsc::channel();
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name("notify".into()).spawn(move || run(&theirs, ask_every, &send, &failed, end))?;
        Ok(Self { shared, ended })
    }

    pub(super) fn post(&self, kind: Kind, text: Text) {
        let mut state = self.shared.lock();
        match kind {
            Kind::Change => {}
            Kind::Status | Kind::Watchdog => state.waiting.retain(|(other, _)| *other != kind),
        }
        if state.waiting.len() == WAITING {
            state.waiting.pop_front();
        }
        state.waiting.push_back((kind, text));
        self.shared.changed.notify_one();
    }

    /// The start is over: no more patience is asked for.
    pub(super) fn end_start(&self) {
        self.shared.lock().has_started = true;
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_one();
        // Nothing is sent through it: it ends with the thread.
        let _ = self.ended.recv_timeout(LAST_WORDS);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message; `None` when all is said.
    fn next(&self, ask_every: Duration, asked: &mut u32) -> Option<Text> {
        let mut state = self.lock();
        loop {
            if let Some((_, text)) = state.waiting.pop_front() {
                return Some(text);
            }
            if state.is_closed {
                return None;
            }
            if state.has_started || *asked == ASKED {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.changed.wait_timeout(state, ask_every).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            if waited.1.timed_out() && !state.has_started && state.waiting.is_empty() && !state.is_closed {
                *asked += 1;
                return Some(patience());
            }
        }
    }
}

fn patience() -> Text {
    let micros = u32::try_from(PATIENCE.as_micros()).unwrap_or(u32::MAX);
    format!("{}\n", NotifyState::ExtendTimeoutUsec(micros)).into()
}

fn run(
    shared: &Shared,
    ask_every: Duration,
    send: &impl Fn(&str) -> io::Result<()>,
    failed: &impl Fn(io::Error),
    _end: Sender<()>,
) {
    let (mut asked, mut is_failing) = (0, false);
    while let Some(text) = shared.next(ask_every, &mut asked) {
        let sent = send(&text);
        let was_failing = std::mem::replace(&mut is_failing, sent.is_err());
        if let Some(error) = sent.err().filter(|_| !was_failing) {
            failed(error);
        }
    }
}

/// Sends a message to where NOTIFY_SOCKET says. May wait for the manager to read what came before. An address in the abstract namespace
/// (unix(7)), which sd-notify takes for a path, is seen to here.
pub(super) fn send_to_manager(text: &str) -> io::Result<()> {
    let address = env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    match address.as_bytes().strip_prefix(b"@") {
        Some(name) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?;
            socket.send(text.as_bytes()).map(drop)
        }
        None => sd_notify::notify(&[NotifyState::Custom(text.trim_end())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mailbox whose manager reads one message for each token.
    fn mailbox() -> (Mailbox, Sender<()>, Receiver<String>) {
        let (token, tokens) = mpsc::channel();
        let (said, heard) = mpsc::channel();
        let send = move |text: &str| {
            let _ = said.send(text.to_owned());
            tokens.recv().map_err(io::Error::other)
        };
        (Mailbox::open(ASK_EVERY, send, |_| {}).expect("a thread"), token, heard)
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nobody_up_and_gets_the_newest_status_only() {
        let (mailbox, token, heard) = mailbox();
        mailbox.post(Kind::Change, "stuck".into());
        assert_eq!(heard.recv().as_deref(), Ok("stuck"));
        for number in 0..1000 {
            mailbox.post(Kind::Status, format!("status {number}").into());
            mailbox.post(Kind::Watchdog, "alive".into());
        }
        mailbox.post(Kind::Change, "one".into());
        mailbox.post(Kind::Change, "two".into());
        (0..5).for_each(|_| token.send(()).expect("it is read"));
        let rest: Vec<_> = (0..4).map(|_| heard.recv().expect("it is said")).collect();
        assert_eq!(rest, ["status 999", "alive", "one", "two"]);
        drop(mailbox);
        assert!(heard.recv().is_err(), "nothing else is said");
    }

    #[test]
    fn changes_beyond_all_bounds_push_out_the_oldest() {
        let (mailbox, token, heard) = mailbox();
        mailbox.post(Kind::Change, "stuck".into());
        assert_eq!(heard.recv().as_deref(), Ok("stuck"));
        (0..WAITING + 3).for_each(|number| mailbox.post(Kind::Change, format!("{number}").into()));
        (0..WAITING + 1).for_each(|_| token.send(()).expect("it is read"));
        assert_eq!(heard.recv().as_deref(), Ok("3"));
    }

    #[test]
    fn patience_is_asked_for_again_and_again_until_the_start_is_over() {
        let (said, heard) = mpsc::channel();
        let send = move |text: &str| said.send(text.to_owned()).map_err(io::Error::other);
        let mailbox = Mailbox::open(Duration::from_millis(1), send, |_| {}).expect("a thread");
        (0..3).for_each(|_| assert_eq!(heard.recv().as_deref(), Ok("EXTEND_TIMEOUT_USEC=30000000\n")));
        mailbox.post(Kind::Change, "ready".into());
        mailbox.end_start();
        drop(mailbox);
        let rest: Vec<_> = heard.iter().skip_while(|text| text != "ready").collect();
        assert!(rest.len() <= 2, "one may have been on its way: {rest:?}");
    }

    #[test]
    fn patience_is_not_asked_for_without_end() {
        let (said, heard) = mpsc::channel();
        let send = move |text: &str| said.send(text.to_owned()).map_err(io::Error::other);
        let mailbox = Mailbox::open(Duration::from_micros(1), send, |_| {}).expect("a thread");
        (0..ASKED).for_each(|_| drop(heard.recv().expect("it is asked")));
        mailbox.post(Kind::Change, "ready".into());
        assert_eq!(heard.recv().as_deref(), Ok("ready"));
    }

    #[test]
    fn of_several_failures_the_first_is_told() {
        let (failed, failures) = mpsc::channel();
        let send = |text: &str| if text == "good" { Ok(()) } else { Err(io::Error::other(text.to_owned())) };
        let told = move |error: io::Error| failed.send(error.to_string()).expect("it is heard");
        let mailbox = Mailbox::open(ASK_EVERY, send, told).expect("a thread");
        for text in ["first", "second", "good", "third"] {
            mailbox.post(Kind::Change, text.into());
        }
        drop(mailbox);
        assert_eq!(failures.iter().collect::<Vec<_>>(), ["first", "third"]);
    }
}
