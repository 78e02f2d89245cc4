//! A host that does not answer pings as it should: what it answers, the test decides.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::net::Pair;
use super::wait::Stopwatch;

/// How often it looks for the order to stop and for answers that are due.
const POLL: Duration = Duration::from_millis(10);

const ECHO_REPLY: u8 = 0;
const REDIRECT: u8 = 5;
const ECHO_REQUEST: u8 = 8;

/// Its second address.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 3);

/// An answer to an echo request.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Whether from 10.99.0.3 in place of the address that was asked.
    pub(crate) from_elsewhere: bool,
    /// Whether a redirect to 10.99.0.3 that quotes the request goes before it.
    pub(crate) redirected: bool,
    /// How long after the request.
    pub(crate) after: Duration,
    /// Sequence number.
    pub(crate) sequence: u16,
    /// All that follows the ICMP header.
    pub(crate) payload: Vec<u8>,
    /// What is added to the right checksum.
    pub(crate) checksum_error: u16,
}

/// Answers the pings to 10.99.0.2 in place of the kernel. Ends when dropped.
pub(crate) struct Responder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Starts it at the far end; `answers` makes of a proper answer what shall be answered.
    pub(crate) fn start(pair: &Pair, answers: impl FnMut(Answer) -> Vec<Answer> + Send + 'static) -> Self {
        pair.far.set("ipv4/icmp_echo_ignore_all", "1");
        pair.far.ip(&format!("addr add {ELSEWHERE}/24 dev v1"));
        let [here, elsewhere] = pair.far.within(|| [Ipv4Addr::UNSPECIFIED, ELSEWHERE].map(open));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = Some(thread::spawn(move || serve(&here, &elsewhere, &stopped, answers)));
        Self { stop, thread }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Where an answer goes, the identifier it needs, and the packet that asks for it.
#[derive(Debug, Clone)]
struct Asker {
    addr: Ipv4Addr,
    ident: [u8; 2],
    packet: Vec<u8>,
}

fn open(source: Ipv4Addr) -> Socket {
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
        socket.bind(&SocketAddrV4::new(source, 0).into())?;
        socket.set_read_timeout(Some(POLL))?;
        Ok::<_, std::io::Error>(socket)
    };
    open().expect("root may open a raw socket")
}

fn serve(here: &Socket, elsewhere: &Socket, stop: &AtomicBool, mut answers: impl FnMut(Answer) -> Vec<Answer>) {
    let (watch, mut due) = (Stopwatch::start(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        if let Some((asker, answer)) = receive(here) {
            let answers = answers(answer).into_iter();
            due.extend(answers.map(|answer| (watch.elapsed() + answer.after, asker.clone(), answer)));
        }
        for (_, asker, answer) in due.extract_if(.., |(at, ..)| *at <= watch.elapsed()) {
            let socket = if answer.from_elsewhere { elsewhere } else { here };
            for message in answer.redirected.then(|| redirect(&asker)).into_iter().chain([reply(&asker, &answer)]) {
                // The asker may have gone.
                let _ = socket.send_to(&message, &SocketAddrV4::new(asker.addr, 0).into());
            }
        }
    }
}

/// An echo request, if one comes soon, with its proper answer.
fn receive(socket: &Socket) -> Option<(Asker, Answer)> {
    let mut buffer = [0; 2048];
    let len = (&mut &*socket).read(&mut buffer).ok()?;
    let packet = &buffer[..len];
    let source: [u8; 4] = *packet.get(12..)?.first_chunk()?;
    let message = packet.get(usize::from(packet[0] & 0x0f) * 4..)?;
    let &[ECHO_REQUEST, _, _, _, ident_high, ident_low, high, low, ref payload @ ..] = message else { return None };
    let asker = Asker { addr: source.into(), ident: [ident_high, ident_low], packet: packet.to_vec() };
    let sequence = u16::from_be_bytes([high, low]);
    let (after, payload) = (Duration::ZERO, payload.to_vec());
    Some((asker, Answer { from_elsewhere: false, redirected: false, after, sequence, payload, checksum_error: 0 }))
}

fn reply(asker: &Asker, answer: &Answer) -> Vec<u8> {
    let ([ident_high, ident_low], [high, low]) = (asker.ident, answer.sequence.to_be_bytes());
    let mut message = vec![ECHO_REPLY, 0, 0, 0, ident_high, ident_low, high, low];
    message.extend(&answer.payload);
    let sum = checksum(&message).wrapping_add(answer.checksum_error);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

fn redirect(asker: &Asker) -> Vec<u8> {
    const OF_THE_HOST: u8 = 1;
    let mut message = [&[REDIRECT, OF_THE_HOST, 0, 0], &ELSEWHERE.octets(), &*asker.packet].concat();
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// The internet checksum (RFC 1071).
fn checksum(message: &[u8]) -> u16 {
    let words = message.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}
