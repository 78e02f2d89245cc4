//! `pingtest status`, `pause`, `resume`: what the running daemon answers, as a table or as it is.
//!
//! It knows the socket and the terminal; no target, no rule, no file of the daemon's.

mod layout;
mod screen;
pub mod table;
mod words;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior};

pub(crate) use self::screen::stdout_colour;
use self::screen::{Screen, Showing};
use crate::control::client;
use crate::control::protocol::{Request as Asked, Text};

/// What `pingtest status` is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where the daemon listens.
    pub socket: PathBuf,
    /// Only these targets; all where none is named.
    pub targets: Vec<String>,
    /// The daemon's answer as it is.
    pub json: bool,
    /// Again and again, so often.
    pub watch: Option<Duration>,
}

/// What can be ordered of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Probe them no more.
    Pause,
    /// Probe them again.
    Resume,
}

/// Why there is nothing to show, or no order was carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The daemon did not answer, or refused.
    #[error("{0}")]
    Asking(#[from] client::Error),
    /// Whoever was to read does not.
    #[error("cannot write: {0}")]
    Output(#[source] io::Error),
    /// No timer or signal can be had.
    #[error("cannot wait: {0}")]
    Waiting(#[source] io::Error),
}

/// Shows on standard output what is asked for. While it watches, `complain` is told what cannot be shown in its place.
///
/// # Errors
/// See [`Error`]. Once it has shown anything, a daemon that does not answer is none: it may be restarting.
pub fn run(request: &Request, complain: &mut dyn FnMut(&Error)) -> Result<(), Error> {
    let Some(every) = request.watch else {
        return Screen::new(request.json, Showing::Once).show(&ask(&request.socket, &request.targets)?);
    };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Waiting)?;
    let watched = runtime.block_on(async { Watch::new(request, every)?.run(complain).await });
    // The daemon may be keeping a question waiting.
    runtime.shutdown_background();
    watched
}

/// Gives an order on one target after the other, and says what was done.
///
/// # Errors
/// See [`Error`]; those before it were carried out.
pub fn order(socket: &Path, order: Order, targets: &[String], out: &mut dyn Write) -> Result<(), Error> {
    let (request, done) = match order {
        Order::Pause => ("pause", "paused"),
        Order::Resume => ("resume", "probed again"),
    };
    for target in targets {
        let asked = Asked { request: request.into(), target: Some(Text::from(target.as_str())), ..Asked::default() };
        client::understood(&client::ask(socket, &asked)?)?;
        writeln!(out, "{target}: {done}").map_err(Error::Output)?;
    }
    Ok(())
}

fn ask(socket: &Path, targets: &[String]) -> Result<String, client::Error> {
    let targets = targets.iter().map(|target| Text::from(target.as_str())).collect();
    client::ask(socket, &Asked { request: "status".into(), targets, ..Asked::default() })
}

/// Asks and shows again and again.
struct Watch<'a> {
    request: &'a Request,
    screen: Screen,
    ticks: Interval,
    interrupt: Signal,
    terminate: Signal,
}

impl<'a> Watch<'a> {
    fn new(request: &'a Request, every: Duration) -> Result<Self, Error> {
        let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        let (interrupt, terminate) = (interrupt.map_err(Error::Waiting)?, terminate.map_err(Error::Waiting)?);
        let mut ticks = tokio::time::interval(every);
        // A daemon that is slow to answer is not to be asked the more often after it.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let screen = Screen::new(request.json, Showing::Again);
        Ok(Self { request, screen, ticks, interrupt, terminate })
    }

    /// Goes on until a signal ends it, or nobody reads. The daemon may come and go meanwhile.
    async fn run(mut self, complain: &mut dyn FnMut(&Error)) -> Result<(), Error> {
        let mut is_first = true;
        while let Some(answer) = self.next().await? {
            match answer.map_err(Error::Asking).and_then(|line| self.screen.show(&line)) {
                Err(Error::Asking(error)) if !is_first => self.screen.trouble(Error::Asking(error), complain)?,
                shown => shown?,
            }
            is_first = false;
        }
        Ok(())
    }

    /// The next answer when its time has come; `None` after a signal.
    async fn next(&mut self) -> Result<Option<Result<String, client::Error>>, Error> {
        let (socket, targets) = (self.request.socket.clone(), self.request.targets.clone());
        let asked = async {
            self.ticks.tick().await;
            tokio::task::spawn_blocking(move || ask(&socket, &targets)).await
        };
        tokio::select! {
            _ = self.interrupt.recv() => Ok(None),
            _ = self.terminate.recv() => Ok(None),
            answer = asked => answer.map(Some).map_err(|error| Error::Waiting(error.into())),
        }
    }
}
