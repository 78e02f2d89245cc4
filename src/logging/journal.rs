//! Events as datagrams of the journal's native protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL>), with fields to query by.
//!
//! The crate tracing-journald speaks it as well. It sends on the thread that has something to say, which a journal that is busy makes
//! wait, and what the socket refuses it drops without a word. Here a message goes to a thread of its own, as those for standard error
//! do, and that thread alone waits.
//!
//! A journal that is slow is waited for. Meanwhile messages gather, and those that find no room are counted and told of when the journal
//! takes some again. A journal that is not there is found again by its path with the next message; until then lines go to standard
//! error, whose other end systemd keeps open over a restart of the journal.

use std::borrow::Cow;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustix::net::{SendFlags, send};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, WorkerGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::event;
use super::field::Said;
use super::written_aside;
use crate::counted::{counted, either};

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// Bytes of a value at most, so that a dozen such values fit into a datagram of the size that Linux allows by default (wmem_default,
/// 208 KiB): no memfd is needed, and none is made.
const LONGEST: usize = 16 * 1024;

/// Ends what was cut.
const CUT: &str = "… (cut)";

/// Bytes of a message on standard error at most, less than the 32 KiB that Linux sends over a stream socket as a whole.
const LONGEST_PLAIN: usize = 24 * 1024;

/// Hands each event to the thread that writes to the journal.
#[derive(Debug)]
pub(super) struct Journal(NonBlocking);

impl Journal {
    /// Starts that thread. What listens at `path` may come and go.
    ///
    /// # Errors
    /// Those of socket(2).
    pub(super) fn start(path: PathBuf) -> io::Result<(Self, WorkerGuard)> {
        let dropped = Arc::new(OnceLock::new());
        let sender = Sender { socket: UnixDatagram::unbound()?, path, dropped: Arc::clone(&dropped), told: 0, lost: 0 };
        let (aside, guard) = written_aside(sender);
        // Nothing else sets it.
        let _ = dropped.set(aside.error_counter());
        Ok((Self(aside), guard))
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // It takes what is written as one message, and refuses none.
        let _ = self.0.clone().write_all(&datagram(*event.metadata().level(), &Said::of(event)));
    }
}

/// A message of the native protocol.
fn datagram(level: Level, Said { message, fields }: &Said) -> Vec<u8> {
    let word = fields.iter().find(|(name, _)| *name == "PINGTEST_EVENT").map(|(_, word)| &**word);
    let mut datagram = Vec::new();
    add(&mut datagram, "PRIORITY", priority(level, word));
    add(&mut datagram, "SYSLOG_IDENTIFIER", "pingtest");
    if let Some(kind) = word.and_then(event::kind) {
        add(&mut datagram, "MESSAGE_ID", kind.message_id);
    }
    for (name, value) in fields {
        add(&mut datagram, name, value);
    }
    add(&mut datagram, "MESSAGE", message);
    datagram
}

/// As syslog(3) counts them.
fn priority(level: Level, word: Option<&str>) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO if word.is_some_and(event::is_notable) => "5",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// A field: on one line where its value is one, else with its length before it.
fn add(datagram: &mut Vec<u8>, name: &str, value: &str) {
    let value = &*shortened(value);
    datagram.extend(name.bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend((value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend(value.bytes());
    datagram.push(b'\n');
}

/// As much as there is room for; where that is not all, it says so.
fn shortened(value: &str) -> Cow<'_, str> {
    if value.len() <= LONGEST {
        return value.into();
    }
    let fits = (0..=LONGEST - CUT.len()).rev().find(|&at| value.is_char_boundary(at));
    fits.map_or(CUT.into(), |at| format!("{}{CUT}", &value[..at]).into())
}

/// The fields of a message, as the journal would read them; what is no message ends them.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.0.iter().position(|&byte| byte == b'\n')?;
        let (line, rest) = (self.0.get(..end)?, self.0.get(end + 1..)?);
        if let Some(equals) = line.iter().position(|&byte| byte == b'=') {
            self.0 = rest;
            return Some((line.get(..equals)?, line.get(equals + 1..)?));
        }
        let (len, rest) = rest.split_first_chunk()?;
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
        self.0 = rest.get(len.checked_add(1)?..)?;
        Some((line, rest.get(..len)?))
    }
}

/// A message as lines for standard error, with its priority as sd-daemon(3) has it.
fn plain(datagram: &[u8]) -> Vec<u8> {
    let value = |wanted: &str| Fields(datagram).find(|(name, _)| *name == wanted.as_bytes()).map(|(_, value)| value);
    let priority = value("PRIORITY").unwrap_or(b"6");
    let message = value("MESSAGE").unwrap_or_default();
    let plain = |line: &[u8]| [b"<", priority, b">", line, b"\n"].concat();
    let (mut text, end) = (Vec::new(), plain(CUT.as_bytes()));
    for line in message.split(|&byte| byte == b'\n').map(plain) {
        // A line for each byte makes five of one.
        if text.len() + line.len() + end.len() > LONGEST_PLAIN {
            text.extend(end);
            break;
        }
        text.extend(line);
    }
    text
}

/// Sends what it is given to write: each time one message.
struct Sender {
    socket: UnixDatagram,
    path: PathBuf,
    /// Messages that found no room on the way to this thread.
    dropped: Arc<OnceLock<ErrorCounter>>,
    /// How many of them have been told of.
    told: usize,
    /// Messages that neither the journal nor standard error took, and that have not been told of.
    lost: usize,
}

impl Write for Sender {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        if self.is_taken(datagram) {
            self.tell_of_dropped();
        } else {
            self.lost = self.lost.saturating_add(1);
        }
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sender {
    fn is_taken(&self, datagram: &[u8]) -> bool {
        loop {
            match self.socket.send_to(datagram, &self.path) {
                Ok(_) => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return is_taken_by_stderr(&plain(datagram)),
            }
        }
    }

    fn tell_of_dropped(&mut self) {
        let dropped = self.dropped.get().map_or(0, ErrorCounter::dropped_lines);
        let count = dropped.saturating_sub(self.told).saturating_add(self.lost);
        if count == 0 {
            return;
        }
        let message = format!(
            "{} {} missing here: the journal did not take {} in time",
            counted(count, "message"),
            either(count, "is", "are"),
            either(count, "it", "them")
        );
        let fields =
            vec![("PINGTEST_EVENT", event::MESSAGES_DROPPED.to_owned()), ("PINGTEST_COUNT", count.to_string())];
        if self.is_taken(&datagram(Level::WARN, &Said { message, fields })) {
            (self.told, self.lost) = (dropped, 0);
        }
    }
}

/// Without waiting. It is a socket, for it is the journal's; Linux takes a line of this size as a whole or not at all.
fn is_taken_by_stderr(lines: &[u8]) -> bool {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    send(io::stderr(), lines, flags).is_ok_and(|sent| sent == lines.len())
}

#[cfg(test)]
mod tests;
