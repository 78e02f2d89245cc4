//! A name server of the test's own: what it answers, or whether, may change while it runs.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::net::Namespace;
use super::wait::Stopwatch;

/// How often it looks for the order to stop and for answers that are due.
const POLL: Duration = Duration::from_millis(10);

const PORT: u16 = 53;
const HEADER_LEN: usize = 12;

/// What becomes of a question for a name (RFC 1035).
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// It leads to these addresses: A and AAAA records, each only to who asks for that.
    Addrs(Vec<IpAddr>),
    /// The same, this long after the question.
    After(Duration, Vec<IpAddr>),
    /// NXDOMAIN.
    NoSuchName,
    /// SERVFAIL.
    Failure,
    /// Nothing.
    Silence,
}

impl Reply {
    /// It leads to this address and no other.
    pub(crate) fn addr(addr: &str) -> Self {
        Self::Addrs(vec![addr.parse().expect("an address")])
    }
}

/// Answers questions that come over UDP. Ends when dropped.
pub(crate) struct NameServer {
    zone: Arc<Mutex<Zone>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Zone {
    replies: BTreeMap<String, Reply>,
    /// For every other name.
    otherwise: Reply,
    /// How often each name was asked for.
    asked: BTreeMap<String, usize>,
}

impl NameServer {
    /// Starts it in `namespace` at `addr`, with this reply for every name.
    pub(crate) fn start(namespace: &Namespace, addr: &str, otherwise: Reply) -> Self {
        let addr = SocketAddr::new(addr.parse().expect("an address"), PORT);
        let socket = namespace.within(|| UdpSocket::bind(addr)).expect("nobody else serves names there");
        socket.set_read_timeout(Some(POLL)).expect("a socket can wait");
        let zone = Arc::new(Mutex::new(Zone { replies: BTreeMap::new(), otherwise, asked: BTreeMap::new() }));
        let stop = Arc::new(AtomicBool::new(false));
        let (served, stopped) = (Arc::clone(&zone), Arc::clone(&stop));
        let thread = Some(thread::spawn(move || serve(&socket, &served, &stopped)));
        Self { zone, stop, thread }
    }

    /// From here on this is the reply for `name`.
    pub(crate) fn set(&self, name: &str, reply: Reply) {
        lock(&self.zone).replies.insert(name.to_owned(), reply);
    }

    /// How many questions came for each name so far. A look-up asks two: glibc wants both kinds of address.
    pub(crate) fn asked(&self) -> BTreeMap<String, usize> {
        lock(&self.zone).asked.clone()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn lock(zone: &Mutex<Zone>) -> MutexGuard<'_, Zone> {
    zone.lock().expect("nobody panics while holding it")
}

fn serve(socket: &UdpSocket, zone: &Mutex<Zone>, stop: &AtomicBool) {
    let (watch, mut due, mut buffer) = (Stopwatch::start(), Vec::new(), [0; 512]);
    while !stop.load(Ordering::Relaxed) {
        if let Ok((len, asker)) = socket.recv_from(&mut buffer)
            && let Some(question) = Question::read(&buffer[..len])
            && let Some((after, message)) = question.reply(&mut lock(zone))
        {
            due.push((watch.elapsed() + after, asker, message));
        }
        for (_, asker, message) in due.extract_if(.., |(at, ..)| *at <= watch.elapsed()) {
            // The asker may have gone.
            let _ = socket.send_to(&message, asker);
        }
    }
}

/// What was asked.
struct Question<'a> {
    id: [u8; 2],
    name: String,
    kind: u16,
    /// As it is repeated in the answer.
    bytes: &'a [u8],
}

impl<'a> Question<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let mut rest = message.get(HEADER_LEN..)?;
        let mut labels = Vec::new();
        while let Some((&len, after)) = rest.split_first()
            && len > 0
        {
            let (label, after) = after.split_at_checked(len.into())?;
            labels.push(String::from_utf8_lossy(label));
            rest = after;
        }
        let &[0, high, low, _, _, ref behind @ ..] = rest else { return None };
        let bytes = &message[HEADER_LEN..message.len() - behind.len()];
        Some(Self {
            id: [message[0], message[1]],
            name: labels.join("."),
            kind: u16::from_be_bytes([high, low]),
            bytes,
        })
    }

    /// The answer and when it is due; `None` where there shall be none.
    fn reply(&self, zone: &mut Zone) -> Option<(Duration, Vec<u8>)> {
        const NO_ERROR: u8 = 0;
        const SERVER_FAILURE: u8 = 2;
        const NAME_ERROR: u8 = 3;
        *zone.asked.entry(self.name.clone()).or_default() += 1;
        let (after, code, addrs) = match zone.replies.get(&self.name).unwrap_or(&zone.otherwise) {
            Reply::Addrs(addrs) => (Duration::ZERO, NO_ERROR, &addrs[..]),
            Reply::After(time, addrs) => (*time, NO_ERROR, &addrs[..]),
            Reply::NoSuchName => (Duration::ZERO, NAME_ERROR, &[][..]),
            Reply::Failure => (Duration::ZERO, SERVER_FAILURE, &[][..]),
            Reply::Silence => return None,
        };
        let records: Vec<_> = addrs.iter().filter_map(|&addr| self.record(addr)).collect();
        Some((after, self.message(code, &records)))
    }

    fn message(&self, code: u8, records: &[Vec<u8>]) -> Vec<u8> {
        /// A response, recursion desired and available.
        const HIGH: u8 = 0x81;
        const LOW: u8 = 0x80;
        let [count_high, count_low] = u16::try_from(records.len()).expect("few addresses").to_be_bytes();
        let header = [self.id[0], self.id[1], HIGH, LOW | code, 0, 1, count_high, count_low, 0, 0, 0, 0];
        [&header, self.bytes, &records.concat()].concat()
    }

    /// The record of this address, if it is of the kind that was asked for.
    fn record(&self, addr: IpAddr) -> Option<Vec<u8>> {
        /// The name is the one in the question; of the Internet's class; not to be kept.
        const NAME: [u8; 2] = [0xc0, HEADER_LEN as u8];
        const CLASS_AND_TTL: [u8; 6] = [0, 1, 0, 0, 0, 0];
        let (kind, octets): (u16, _) = match addr {
            IpAddr::V4(addr) => (1, addr.octets().to_vec()),
            IpAddr::V6(addr) => (28, addr.octets().to_vec()),
        };
        let len = [0, octets.len() as u8];
        (kind == self.kind).then(|| [&NAME[..], &kind.to_be_bytes(), &CLASS_AND_TTL, &len, &octets].concat())
    }
}
