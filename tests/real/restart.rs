//! Stopped or killed and started again: the log says for how long nobody measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::line;
use crate::support::net::Namespace;
use crate::support::program::{self, Program, Rights};
use crate::support::wait::{self, PATIENCE};

const TARGET: &str = "127.0.0.1";
/// Of which some pass before the next start.
const INTERVAL: &str = "100ms";
const ABSENCE: Duration = Duration::from_millis(350);

#[test]
fn after_a_kill_the_log_says_for_how_long_pingtest_did_not_run_at_most() {
    let Some(host) = Namespace::new() else { return };
    let home = Home::new("text");
    home.live(&host, Signal::SIGKILL);
    let (told, rest) = home.line_of_the_second_life(&host);
    assert_eq!(told.matches("not measured: ").count(), 1, "{told}");
    let (_, said) = told.split_once(" not measured: ").expect("as was waited for");
    let (count, said) = said.split_once(&format!(" probes to {TARGET} (pingtest did not run for up to ")).expect(&told);
    assert!(count.parse::<u32>().is_ok_and(|count| count >= 3) && said.ends_with("s)"), "{told}");
    assert!(rest.contains("icmp_seq=1") && !rest.contains("did not run"), "it stands first and once: {rest}");
    assert_eq!(home.read_back(&[]), [told.as_str()]);
    let line = line::parse_one(&home.read_back(&["--json"]).concat());
    assert!(line.is_absence() && line.addr.as_deref() == Some(TARGET), "{line:?}");
    assert_eq!(line.count.map(|count| count.to_string()).as_deref(), Some(count));
}

#[test]
fn after_a_stop_the_log_says_for_how_long_pingtest_did_not_run() {
    let Some(host) = Namespace::new() else { return };
    let home = Home::new("json");
    home.live(&host, Signal::SIGTERM);
    let (told, rest) = home.line_of_the_second_life(&host);
    let line = line::parse_one(&told);
    assert!(line.is(TARGET, "not_measured") && line.is_absence(), "{told}");
    assert!(line.error().starts_with("pingtest did not run for ") && !line.error().contains("up to"), "{told}");
    assert!(line.count >= Some(3), "{told}");
    let next = line::parse(&rest).into_iter().find(|line| !line.is_finding()).expect("it goes on");
    assert_eq!(next.seq(), 1, "{rest}");
    assert_eq!(home.read_back(&["--json"]), [told]);
}

/// A release build cannot be told to hang.
#[cfg(debug_assertions)]
#[test]
fn what_a_log_that_hung_at_the_stop_has_no_line_of_was_not_measured() {
    let Some(host) = Namespace::new() else { return };
    let home = Home::new("text");
    let mut run = home.start(&host);
    home.await_known(&run);
    fs::write(home.path("stall"), "writer").expect("the directory is ours");
    // Ten slots that nobody will see.
    wait::pause(3 * ABSENCE);
    run.signal(Signal::SIGTERM);
    assert!(run.ended(PATIENCE).stderr.contains("the log could not be written to its end"));
    fs::remove_file(home.path("stall")).expect("it is ours");
    let (told, _) = home.line_of_the_second_life(&host);
    let (_, said) = told.split_once(" not measured: ").expect(&told);
    let (count, _) = said.split_once(&format!(" probes to {TARGET} (pingtest did not run for up to ")).expect(&told);
    assert!(count.parse::<u32>().is_ok_and(|count| count >= 10), "{told}");
}

#[test]
fn without_a_ledger_nobody_knows_of_an_absence() {
    let Some(host) = Namespace::new() else { return };
    let home = Home::new("text");
    let config = fs::read_to_string(home.config()).expect("it was written");
    let (before, _) = config.split_once("[ledger]").expect("it has a ledger");
    fs::write(home.config(), before.to_owned() + &program::kept_here("") + &targets()).expect("it is ours");
    for life in 1..=2 {
        let mut run = home.start(&host);
        let first_replies = || (home.log().matches("icmp_seq=1 ").count() == life).then_some(());
        wait::until(PATIENCE, first_replies).expect("a first reply of each life");
        run.signal(Signal::SIGTERM);
        run.ended(PATIENCE);
        wait::pause(ABSENCE);
    }
    assert!(!home.log().contains("did not run"), "{}", home.log());
}

/// What outlives the program: its configuration, log and ledger.
struct Home(TempDir);

impl Home {
    fn new(format: &str) -> Self {
        let home = Self(program::directory());
        let (log, ledger) = (home.path("log"), home.path("ledger.db"));
        let config = format!(
            "[log]\ndir = {log:?}\nformat = \"{format}\"\nrotate = \"never\"\n[ledger]\npath = {ledger:?}\n[control]\nsocket = \"off\"\n"
        );
        fs::write(home.config(), config + &targets()).expect("the directory is ours");
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("pingtest.toml")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path(&format!("log/{TARGET}.log"))).unwrap_or_default()
    }

    fn start(&self, host: &Namespace) -> Program {
        let dir = program::directory();
        let mut command = program::command(host, Rights::Root, dir.path());
        command.env("PINGTEST_STALL", self.path("stall"));
        Program::spawn(dir, command, &["run", "--config", plain(&self.config())])
    }

    /// A life that the ledger knows of.
    fn live(&self, host: &Namespace, end: Signal) {
        let mut run = self.start(host);
        self.await_known(&run);
        run.signal(end);
        run.ended(PATIENCE);
        wait::pause(ABSENCE);
    }

    fn await_known(&self, run: &Program) {
        let ledger = self.path("ledger.db");
        let known = || {
            let told = program::run(&["outages", "--json", "--ledger", plain(&ledger)]);
            told.stdout.contains(&format!("\"target\":\"{TARGET}\"")).then_some(())
        };
        wait::until(PATIENCE, known).unwrap_or_else(|| panic!("not in the ledger: {}", run.text("stderr")));
    }

    /// The first line of the next life, and what follows so far.
    fn line_of_the_second_life(&self, host: &Namespace) -> (String, String) {
        let before = self.log().len();
        let mut run = self.start(host);
        let whole = |text: &String| text.matches('\n').count() > 1 && text.ends_with('\n');
        let fresh = || Some(self.log()[before..].to_owned()).filter(whole);
        let fresh = wait::until(PATIENCE, fresh).unwrap_or_else(|| panic!("no lines: {}", run.text("stderr")));
        run.signal(Signal::SIGTERM);
        run.ended(PATIENCE);
        let (told, rest) = fresh.split_once('\n').expect("more than one line");
        (told.to_owned(), rest.to_owned())
    }

    /// The lines of absences as `pingtest log` shows them, among what was not measured.
    fn read_back(&self, options: &[&str]) -> Vec<String> {
        let config = self.config();
        let asked = ["log", TARGET, "--config", plain(&config), "--outcome", "not_measured"];
        let shown = program::run(&[&asked[..], options].concat());
        assert_eq!(shown.code, Some(0), "{}", shown.stderr);
        shown.stdout.lines().filter(|line| line.contains("did not run")).map(str::to_owned).collect()
    }
}

fn targets() -> String {
    format!("[[target]]\nhost = \"{TARGET}\"\ninterval = \"{INTERVAL}\"\n")
}

fn plain(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}
