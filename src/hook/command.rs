//! Runs a command for an event: JSON on its standard input, variables in its environment, and an end to it in any case.
//!
//! It is run without a shell, in a process group of its own, which is what is ended: what a script has started goes with it. A command
//! that ends in time may leave something behind in the background, as with cron(8).

use std::fs::File;
use std::io::{self, PipeReader, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{MemfdFlags, OFlags, fcntl_getfl, fcntl_setfl, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid};

use super::event::{Told, VARIABLES};
use super::halt::{Halt, wait_for};
use super::notice::{Failure, one_line};
use super::now;
use crate::limits;

/// What of a command's words is shown, bytes: the last ones, which say what went wrong.
const SHOWN: usize = 2048;
/// What is read of them before it is looked at the time again, bytes.
const READ_AT_A_TIME: usize = 65_536;
/// What systemd has told the daemon and means nobody else (sd_notify(3), sd_listen_fds(3)).
const NOT_INHERITED: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];
/// How often it is looked whether a command has ended where the kernel cannot say so by itself (pidfd_open(2), before Linux 5.3).
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long a command may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Before it is asked to end.
    pub(super) timeout: Duration,
    /// From then on, before it is ended.
    pub(super) term_grace: Duration,
}

/// Runs a command to its end.
pub(super) fn run(words: &[String], told: &Told, limits: Limits, halt: &Halt) -> Result<(), Failure> {
    let mut run = Run::start(words, told).map_err(Failure::NotRun)?;
    let ended = run.watch(limits, halt);
    let status = run.collect();
    let output = one_line(run.output.last());
    match (ended, status) {
        (Ended::InTime, Ok(status)) if status.success() => Ok(()),
        (Ended::InTime, Ok(status)) => Err(Failure::Exited { status: describe(status), output }),
        (Ended::InTime, Err(error)) => Err(Failure::NotRun(error)),
        (Ended::TooLate, _) => Err(Failure::TimedOut { after: limits.timeout, output }),
        (Ended::Stopped, _) => Err(Failure::Stopped { output }),
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// How a command came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    InTime,
    TooLate,
    Stopped,
}

/// A command under way.
struct Run {
    child: Child,
    group: Option<Pid>,
    /// Readable when the command has ended.
    end: Option<OwnedFd>,
    /// What the command writes to; `None` once nobody can any more.
    said: Option<PipeReader>,
    output: Tail,
}

impl Run {
    fn start(words: &[String], told: &Told) -> io::Result<Self> {
        let (program, arguments) =
            words.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no command"))?;
        let (said, write) = io::pipe()?;
        fcntl_setfl(&said, fcntl_getfl(&said)? | OFlags::NONBLOCK)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(input(&told.json)?).stdout(write.try_clone()?).stderr(write).process_group(0);
        NOT_INHERITED.iter().chain(&VARIABLES).for_each(|name| {
            command.env_remove(name);
        });
        let child = command.envs(&told.variables).spawn()?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        group.into_iter().for_each(limits::give_back);
        let end = group.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Ok(Self { child, group, end, said: Some(said), output: Tail::default() })
    }

    /// Waits for the end, and sees to it that it comes. Afterwards the command is to be collected.
    fn watch(&mut self, limits: Limits, halt: &Halt) -> Ended {
        let too_late = now() + limits.timeout;
        loop {
            self.listen();
            if self.has_ended() {
                // What it said last was said before its end.
                self.listen();
                return Ended::InTime;
            }
            let until = halt.last_call().map_or(too_late, |last_call| last_call.min(too_late));
            if until <= now() {
                let ended = if too_late <= now() { Ended::TooLate } else { Ended::Stopped };
                self.end(limits.term_grace, halt);
                return ended;
            }
            self.wait(Waiting { until, has_ended: false }, halt);
        }
    }

    /// Asks the whole group to end, and ends what does not.
    fn end(&mut self, grace: Duration, halt: &Halt) {
        self.signal(Signal::TERM);
        let asked = now();
        loop {
            self.listen();
            // As long as the command is not collected its number is nobody else's, and so the group's.
            let has_ended = self.has_ended();
            let until = halt.by().map_or(asked + grace, |by| by.min(asked + grace));
            // Whoever of the group is left has the pipe, unless it was closed on purpose.
            if until <= now() || has_ended && self.said.is_none() {
                break;
            }
            self.wait(Waiting { until, has_ended }, halt);
        }
        self.signal(Signal::KILL);
    }

    fn wait(&self, Waiting { until, has_ended }: Waiting, halt: &Halt) {
        let mut fds = Vec::with_capacity(3);
        fds.extend(self.said.as_ref().map(|said| PollFd::new(said, PollFlags::IN)));
        let mut until = until;
        match &self.end {
            Some(end) if !has_ended => fds.push(PollFd::new(end, PollFlags::IN)),
            Some(_) => {}
            None => until = until.min(now() + LOOK_EVERY),
        }
        let bell = halt.bell();
        if halt.by().is_none() {
            fds.push(PollFd::new(&bell, PollFlags::IN));
        }
        wait_for(&mut fds, until);
    }

    /// Reads what was said, as far as it can be had without waiting.
    fn listen(&mut self) {
        let Some(said) = &mut self.said else { return };
        let mut buffer = [0; 4096];
        for _ in 0..READ_AT_A_TIME / buffer.len() {
            match said.read(&mut buffer) {
                Ok(0) => return self.said = None,
                Ok(len) => self.output.push(&buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.said = None,
            }
        }
    }

    /// Whether the command has ended; it is not collected by that.
    fn has_ended(&self) -> bool {
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // A child that cannot be asked after has been collected by somebody else.
        self.group.is_none_or(|pid| waitid(WaitId::Pid(pid), how).map_or(true, |status| status.is_some()))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // A group of which nobody is left needs no signal.
            let _ = kill_process_group(group, signal);
        }
    }

    fn collect(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

/// What to wait for.
struct Waiting {
    until: Instant,
    has_ended: bool,
}

/// A file in memory with the event in it: unlike a pipe, it can be left unread without anybody waiting or failing.
fn input(json: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create("pingtest-event", MemfdFlags::CLOEXEC)?);
    file.write_all(json.as_bytes())?;
    file.write_all(b"\n")?;
    file.rewind()?;
    Ok(file)
}

/// The last of what was said.
#[derive(Debug, Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, said: &[u8]) {
        self.0.extend_from_slice(said);
        if self.0.len() > 4 * SHOWN {
            self.0.drain(..self.0.len() - SHOWN);
        }
    }

    fn last(&self) -> &[u8] {
        &self.0[self.0.len().saturating_sub(SHOWN)..]
    }
}
