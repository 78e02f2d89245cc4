//! The daemon's end of the socket: takes requests, has them handled, hands out the answers.
//!
//! It serves whoever may connect, but nobody at the daemon's expense: few at a time, short requests, and no waiting for those that do
//! not go on.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::Local;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::protocol::{REQUEST_AT_MOST, REQUESTS, Request};
use super::socket::{self, Error, GroupError, SocketFile};
use super::{Handler, Order, Refusal, render};
use crate::monitor::target::Name;

/// Clients that are served at a time; others wait to be accepted.
const CONNECTIONS: usize = 16;

/// Of these, how many may hold an answer that lists targets: five megabytes for ten thousand.
const LISTS: usize = 4;

/// How long a request may take to come: it is one packet.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);

/// How long the daemon may take, before a client gives up after five seconds.
const HANDLED_WITHIN: Duration = Duration::from_secs(4);

/// How long a client may take nothing of its answer.
const PROGRESS_WITHIN: Duration = Duration::from_secs(5);

/// How long a client may take for all of it, a little at a time: those that may hold a list are few.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);

/// What to wait where a client cannot be accepted: most likely for want of a descriptor.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The server. Dropping it ends it, breaks off whoever is being served, and removes the socket.
#[derive(Debug)]
pub struct Server {
    accepting: JoinHandle<()>,
    group: Result<(), GroupError>,
    _file: SocketFile,
}

impl Server {
    /// Listens on `path`. Members of `group` may use it, and the daemon's own user. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where the path is taken by somebody who lives, or cannot be listened on.
    pub fn start<H: Handler>(path: &Path, group: Option<&str>, handler: H) -> Result<Self, Error> {
        let bound = socket::bind(path, group)?;
        let listener = UnixListener::from_std(bound.listener).map_err(|error| Error::Io(path.to_owned(), error))?;
        let desk = Arc::new(Desk { handler, lists: Arc::new(Semaphore::new(LISTS)) });
        Ok(Self { accepting: tokio::spawn(accept(listener, desk)), group: bound.group, _file: bound.file })
    }

    /// Why the wanted group may not use it, if so.
    pub fn group_problem(&self) -> Option<&GroupError> {
        self.group.as_ref().err()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept<H: Handler>(listener: UnixListener, desk: Arc<Desk<H>>) {
    let mut served = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = served.join_next() => {}
            accepted = listener.accept(), if served.len() < CONNECTIONS => match accepted {
                Ok((client, _)) => { served.spawn(serve(client, Arc::clone(&desk))); }
                Err(_) => sleep(ACCEPT_AGAIN).await,
            },
        }
    }
}

async fn serve<H: Handler>(client: UnixStream, desk: Arc<Desk<H>>) {
    let request = match timeout(REQUEST_WITHIN, receive(&client)).await {
        Ok(Ok(Received::Request(request))) => request,
        // Whoever only looked whether anybody is here, or has gone, gets no answer.
        Ok(Ok(Received::Nothing) | Err(_)) => return,
        Ok(Ok(Received::TooLong)) => {
            return refuse(&client, &format!("a request has at most {REQUEST_AT_MOST} bytes")).await;
        }
        Err(_) => return refuse(&client, "no whole request came in time: one line of JSON").await,
    };
    // Held until the answer has been taken.
    let mut list = None;
    let answer = timeout(HANDLED_WITHIN, desk.answer(&request, &mut list)).await;
    let answer = answer.unwrap_or_else(|_| render::refusal("the daemon is too busy to answer"));
    let _ = timeout(TAKEN_WITHIN, send(&client, &answer)).await;
}

async fn refuse(client: &UnixStream, error: &str) {
    let _ = timeout(TAKEN_WITHIN, send(client, &render::refusal(error))).await;
}

/// What came of a request.
enum Received {
    Request(Vec<u8>),
    Nothing,
    TooLong,
}

/// The first line; the end of what is sent ends a line as well.
async fn receive(client: &UnixStream) -> io::Result<Received> {
    // One byte more than may be.
    let mut buffer = [0; REQUEST_AT_MOST + 1];
    let mut filled = 0;
    loop {
        client.readable().await?;
        let count = match client.try_read(&mut buffer[filled..]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            other => other?,
        };
        let end = buffer[filled..filled + count].iter().position(|byte| *byte == b'\n').map(|at| filled + at);
        filled += count;
        match end {
            Some(end) => return Ok(Received::Request(buffer[..end].to_vec())),
            None if filled > REQUEST_AT_MOST => return Ok(Received::TooLong),
            None if count == 0 && filled == 0 => return Ok(Received::Nothing),
            None if count == 0 => return Ok(Received::Request(buffer[..filled].to_vec())),
            None => {}
        }
    }
}

async fn send(client: &UnixStream, mut answer: &[u8]) -> io::Result<()> {
    while !answer.is_empty() {
        timeout(PROGRESS_WITHIN, client.writable()).await.map_err(|_| io::ErrorKind::TimedOut)??;
        match client.try_write(answer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => answer = &answer[written?..],
        }
    }
    Ok(())
}

/// Where requests are handled.
struct Desk<H> {
    handler: H,
    lists: Arc<Semaphore>,
}

impl<H: Handler> Desk<H> {
    async fn answer(&self, request: &[u8], list: &mut Option<tokio::sync::OwnedSemaphorePermit>) -> Vec<u8> {
        let request: Request = match serde_json::from_slice(request) {
            Ok(request) => request,
            Err(error) => return render::refusal(&format!("the request is not understood: {error}")),
        };
        match &*request.request {
            "status" => {
                // The semaphore is never closed.
                *list = Arc::clone(&self.lists).acquire_owned().await.ok();
                self.status(request.targets.iter().map(|name| name.to_string()).collect()).await
            }
            "pause" => self.order(Order::Pause, &request).await,
            "resume" => self.order(Order::Resume, &request).await,
            unknown => {
                render::refusal(&format!("the request {unknown:?} is not known (known are: {})", REQUESTS.join(", ")))
            }
        }
    }

    async fn status(&self, wanted: Vec<String>) -> Vec<u8> {
        let Some(snapshot) = self.handler.status().await else { return stopping() };
        off_the_main_thread(move || render::status(&snapshot, &wanted, &Local)).await
    }

    async fn order(&self, order: Order, request: &Request<'_>) -> Vec<u8> {
        let Some(target) = &request.target else {
            return render::refusal(&format!("{} needs a target", &*request.request));
        };
        let refused = match Name::new(target) {
            Some(name) => self.handler.order(order, name).await,
            None => Err(Refusal::UnknownTarget),
        };
        match refused {
            Ok(()) => render::granted(),
            Err(Refusal::Stopping) => stopping(),
            Err(Refusal::UnknownTarget) => self.order_legs(order, target.to_string()).await,
        }
    }

    /// There is no target of this name: then its legs are meant, if the configuration calls a target of both families so.
    async fn order_legs(&self, order: Order, target: String) -> Vec<u8> {
        let Some(snapshot) = self.handler.status().await else { return stopping() };
        let legs = render::legs(&target, &snapshot.targets);
        if legs.is_empty() {
            let refuse = move || render::refusal(&render::no_such_target(&target, &snapshot.targets));
            return off_the_main_thread(refuse).await;
        }
        for leg in legs {
            match self.handler.order(order, leg).await {
                // One that has gone meanwhile is probed no more, and cannot be.
                Ok(()) | Err(Refusal::UnknownTarget) => {}
                Err(Refusal::Stopping) => return stopping(),
            }
        }
        render::granted()
    }
}

/// Twenty milliseconds of ten thousand targets, in which the main thread has signals to hear.
async fn off_the_main_thread(render: impl FnOnce() -> Vec<u8> + Send + 'static) -> Vec<u8> {
    tokio::task::spawn_blocking(render).await.unwrap_or_else(|_| stopping())
}

fn stopping() -> Vec<u8> {
    render::refusal("the daemon is stopping")
}
