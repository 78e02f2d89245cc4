//! A network whose truth is known: tests/simnet at work in a namespace, and its journal.

use std::fs::{self, File};
use std::path::PathBuf;

use nix::sys::signal::Signal;

use super::journal::Journal;
use super::net::{self, Namespace};
use super::program::{self, Ended, Program};
use super::wait::PATIENCE;

/// The simulated network. Dropping it ends it.
pub(crate) struct Simnet(Program);

impl Simnet {
    /// A namespace for it, or `None` where this machine has no such or no TUN devices: then the test is skipped, and says so.
    pub(crate) fn namespace() -> Option<Namespace> {
        let namespace = Namespace::new()?;
        let Err(error) = File::open("/dev/net/tun") else { return Some(namespace) };
        net::skip(&format!("TUN devices cannot be used here ({error})"));
        None
    }

    /// Starts it in `namespace`; it answers by this script from here on.
    pub(crate) fn start(namespace: &Namespace, script: &str) -> Self {
        let program = spawn(namespace, script, &["--script", "script.toml", "--journal", "journal"]);
        program.wait_for("stdout", "sign that it is ready", |text| text.starts_with("ready\n"));
        Self(program)
    }

    /// What it ends with by itself, started with these arguments beside this script, `script.toml`.
    #[allow(dead_code, reason = "not for the proofs")]
    pub(crate) fn refused(namespace: &Namespace, script: &str, args: &[&str]) -> Ended {
        spawn(namespace, script, args).ended(PATIENCE)
    }

    /// Stops it, and gives its journal, which is whole.
    pub(crate) fn stop(mut self) -> Journal {
        self.0.signal(Signal::SIGTERM);
        let ended = self.0.ended(PATIENCE);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        Journal::read(&self.0.dir().join("journal"))
    }
}

fn spawn(namespace: &Namespace, script: &str, args: &[&str]) -> Program {
    let dir = program::directory();
    fs::write(dir.path().join("script.toml"), script).expect("the directory is ours");
    let mut command = namespace.command("nice");
    // Networks are not slower for what the machines at their ends do: this one goes before pingtest.
    command.args(["-n", "-19"]).arg(binary());
    Program::spawn(dir, command, args)
}

/// Examples are built into a directory beside the program.
fn binary() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_pingtest")).with_file_name("examples").join("simnet");
    assert!(built.exists(), "{} is missing: `cargo build --example simnet` builds it", built.display());
    built
}
