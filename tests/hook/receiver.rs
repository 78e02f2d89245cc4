//! A receiver of webhooks that answers by a script: one connection after the other, each carrying requests until it is closed.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver as Inbox, Sender, channel};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{PATIENCE, file};

/// One request.
#[derive(Debug)]
pub(crate) struct Request {
    /// `POST / HTTP/1.1`, and each header.
    pub(crate) head: Vec<String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// What is done with a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// Answered with this status line and body.
    With(&'static str, &'static str),
    /// Never answered.
    Never,
}

pub(crate) const OK: Answer = Answer::With("200 OK", "ok");

pub(crate) struct Receiver {
    pub(crate) port: u16,
    requests: Inbox<Request>,
}

impl Receiver {
    /// Answers by the script, then with 200.
    pub(crate) fn start(script: &[Answer]) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a port"), script, Box::new(|stream| Box::new(stream)))
    }

    /// The same over TLS, as `localhost`.
    pub(crate) fn with_tls() -> Self {
        let certificate = CertificateDer::from_pem_file(file("localhost.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(file("localhost.key")).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("they belong together");
        let config = Arc::new(config);
        let wrap = move |stream| {
            let server = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            Box::new(StreamOwned::new(server, stream)) as Box<dyn Stream>
        };
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a port"), &[], Box::new(wrap))
    }

    pub(crate) fn on(listener: TcpListener, script: &[Answer], wrap: Wrap) -> Self {
        let port = listener.local_addr().expect("bound").port();
        let (tell, requests) = channel();
        let mut script: VecDeque<Answer> = script.iter().copied().collect();
        thread::spawn(move || {
            let mut unanswered = Vec::new();
            for stream in listener.incoming() {
                let mut stream = BufReader::new(wrap(stream.expect("accepted")));
                // A client that does not trust us, or has gone, sends no whole request.
                while let Some(answered) = serve(&mut stream, &mut script, &tell) {
                    if !answered {
                        unanswered.push(stream);
                        break;
                    }
                }
            }
        });
        Self { port, requests }
    }

    /// The next request.
    pub(crate) fn request(&self) -> Request {
        self.requests.recv_timeout(PATIENCE).expect("a request")
    }

    /// Those that have come and were not asked for yet.
    pub(crate) fn rest(&self) -> Vec<Request> {
        self.requests.try_iter().collect()
    }

    pub(crate) fn no_further_request(&self) {
        assert!(self.requests.try_recv().is_err(), "one request too many");
    }
}

pub(crate) trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

pub(crate) type Wrap = Box<dyn Fn(TcpStream) -> Box<dyn Stream> + Send>;

/// Whether the next request was answered; `None` where there is none.
fn serve(
    stream: &mut BufReader<Box<dyn Stream>>,
    script: &mut VecDeque<Answer>,
    tell: &Sender<Request>,
) -> Option<bool> {
    let request = read(stream)?;
    // The test may have seen enough.
    let _ = tell.send(request);
    match script.pop_front().unwrap_or(OK) {
        Answer::Never => Some(false),
        Answer::With(status, body) => {
            let text = format!("HTTP/1.1 {status}\r\nLocation: /moved\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.get_mut().write_all(text.as_bytes()).ok()?;
            stream.get_mut().flush().ok().map(|()| true)
        }
    }
}

fn read(stream: &mut BufReader<Box<dyn Stream>>) -> Option<Request> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" if head.is_empty() => return None,
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let mut request = Request { head, body: String::new() };
    let len: u64 = request.header("content-length").expect("a length").parse().expect("a number");
    stream.take(len).read_to_string(&mut request.body).ok()?;
    Some(request)
}
