//! Hooks with real processes and a real receiver: what they are told, and what becomes of those that fail, hang or flood.
//!
//! Nothing here sleeps: scripts and tests wait for each other at named pipes, and a queue is known to be empty when its thread has ended.

#[path = "hook/receiver.rs"]
mod receiver;

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver as Inbox, channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use pingtest::config::{Action, Hook, Trigger};
use pingtest::hook::{Failure, Hooks, Notice, Patience, Queue, Stopped, Verdict};
use pingtest::limits;
use pingtest::monitor::finding::{Finding, What};
use pingtest::monitor::outage::{Bound, Cause, Outage};
use pingtest::monitor::target::{Host, Label, Name};
use pingtest::monitor::time::Wall;
use receiver::{Answer, OK, Receiver};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, configure_capability_in_ambient_set, set_capabilities};
use serde_json::Value;
use tempfile::TempDir;

/// Beyond this a test has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says which webhook or command a test that is run in a process of its own is to call.
const ACTION: &str = "HOOK_TEST_ACTION";

/// Where it is set, that process first raises its soft limit on descriptors from this, as the daemon does.
const SOFT_LIMIT: &str = "HOOK_TEST_SOFT_LIMIT";

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hook").join(name)
}

/// Hooks under test, and what they tell their operator.
struct Bench {
    hooks: Hooks,
    queue: Queue,
    notices: Inbox<Notice>,
}

impl Bench {
    fn new(hooks: &[Hook]) -> Self {
        Self::with(hooks, impatient())
    }

    fn with(hooks: &[Hook], patience: Patience) -> Self {
        let (tell, notices) = channel();
        let notify = move |notice| tell.send(notice).expect("the test listens");
        let (hooks, queue) = Hooks::spawn(hooks, patience, |_| None, notify).expect("threads");
        Self { hooks, queue, notices }
    }

    fn began(&mut self, target: &str) {
        self.queue.finding(&finding(target, What::OutageBegan(outage())));
    }

    fn notice(&self) -> Notice {
        self.notices.recv_timeout(PATIENCE).expect("a notice")
    }

    /// Waits until everything is told, and returns the rest of the notices.
    fn finish(self) -> Vec<Notice> {
        assert_eq!(self.hooks.stop(PATIENCE), Stopped::All);
        self.notices.try_iter().collect()
    }
}

/// As patient as a test can be.
fn impatient() -> Patience {
    Patience {
        first_retry: Duration::from_millis(1),
        longest_retry: Duration::from_millis(4),
        term_grace: Duration::from_millis(50),
        ..Patience::default()
    }
}

fn finding(target: &str, what: What) -> Finding {
    let target = Label { name: Name::new(target).expect("a name"), host: Host::Name("gw.example".into()) };
    Finding { at: Wall::from_nanos(1_795_352_997_123_456_789), target, addr: Some(Ipv4Addr::LOCALHOST.into()), what }
}

fn outage() -> Outage {
    Outage {
        began: Bound { at: Wall::from_nanos(1_795_352_990_000_000_000), earliest: None },
        ended: None,
        lasted: Duration::from_secs(7),
        cause: Cause::Unanswered,
        first_seq: 1,
        lost: 7,
        unmeasured: Duration::ZERO,
        fragments: 1,
        new_ids: 0,
        new_id_helped: false,
        behind: 0,
    }
}

fn hook(action: Action) -> Hook {
    Hook { on: vec![Trigger::OutageBegan], targets: Vec::new(), action, timeout: PATIENCE }
}

fn webhook(port: u16) -> Hook {
    hook(Action::Webhook(format!("http://127.0.0.1:{port}/secret?token=secret")))
}

/// A directory with named pipes, and scripts that run in it.
struct Stage(TempDir);

impl Stage {
    fn new(pipes: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for pipe in pipes {
            mkfifo(&dir.path().join(pipe), Mode::S_IRWXU).expect("a named pipe");
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A hook that runs this script.
    fn script(&self, text: &str) -> Hook {
        let text = format!("cd '{}' || exit\n{text}", self.0.path().display());
        hook(Action::Command(["sh", "-c", &text].map(String::from).to_vec()))
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("written by the script")
    }

    /// What is written into a pipe until all who could write have gone.
    fn read_pipe(&self, name: &str) -> String {
        let (tell, told) = channel();
        let path = self.path(name);
        thread::spawn(move || tell.send(fs::read_to_string(path).expect("text")));
        told.recv_timeout(PATIENCE).expect("the script writes and goes")
    }

    /// Lets a script go on that reads this pipe.
    fn release(&self, name: &str) {
        let (tell, told) = channel();
        let path = self.path(name);
        thread::spawn(move || tell.send(fs::write(path, "go\n")));
        told.recv_timeout(PATIENCE).expect("the script reads").expect("written");
    }
}

fn failure(notice: Notice) -> (Failure, Verdict, u64) {
    let told = notice.to_string();
    let Notice::Failed { failure, verdict, untold, .. } = notice else { panic!("{told}") };
    (failure, verdict, untold)
}

/// Runs an ignored test of this file in a process of its own, with this action and environment.
fn run_alone(action: &str, variables: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env::current_exe().expect("this very program"));
    command.args(["--exact", "one_event_is_told_by_a_process_of_its_own", "--ignored", "--nocapture"]);
    command.env(ACTION, action).env_remove("SSL_CERT_DIR").envs(variables.iter().copied());
    command.output().expect("run")
}

fn raise_limit(started_with: u64) {
    let hard = getrlimit(Resource::Nofile).maximum;
    let set = |current| setrlimit(Resource::Nofile, Rlimit { current, maximum: hard }).expect("within the hard limit");
    set(Some(started_with));
    limits::remember();
    set(hard);
}

#[test]
#[ignore = "the other half of tests that need an environment of their own"]
fn one_event_is_told_by_a_process_of_its_own() {
    let action = env::var(ACTION).expect("given by the other half");
    let action = match action.starts_with("https://") {
        true => Action::Webhook(action),
        false => Action::Command(["sh", "-c", &action].map(String::from).to_vec()),
    };
    if let Ok(soft) = env::var(SOFT_LIMIT) {
        raise_limit(soft.parse().expect("a number"));
    }
    let mut bench = Bench::with(&[hook(action)], Patience { give_up_after: Duration::ZERO, ..impatient() });
    bench.began("gw");
    let told: String = bench.finish().iter().map(|notice| format!("{notice}\n")).collect();
    io::stdout().write_all(told.as_bytes()).expect("the other half reads");
}

#[test]
fn a_command_gets_the_event_as_json_and_as_variables() {
    let stage = Stage::new(&[]);
    let mut bench = Bench::new(&[stage.script("cat > json; env > env; pwd > ran")]);
    bench.began("gw");
    assert!(bench.finish().is_empty(), "success is no news");

    let text = stage.text("json");
    assert!(text.ends_with("}\n"), "one line: {text:?}");
    let event: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(event["event"], "outage_began");
    assert_eq!(event["target"], "gw");
    assert_eq!(event["outage"]["cause"], "unanswered");

    let env = stage.text("env");
    let env: BTreeMap<_, _> = env.lines().filter_map(|line| line.split_once('=')).collect();
    assert_eq!(env["PINGTEST_EVENT"], "outage_began");
    assert_eq!(env["PINGTEST_HOST"], "gw.example");
    assert_eq!(env["PINGTEST_LASTED"], "7");
    assert_eq!(env["PINGTEST_BEGAN"], event["outage"]["began"].as_str().expect("text"));
    assert!(!env.contains_key("PINGTEST_ENDED"));
    assert_eq!(env["PATH"], env::var("PATH").expect("set"), "the rest is the daemon's");
}

#[test]
fn what_systemd_told_the_daemon_is_not_told_to_a_command() {
    let stage = Stage::new(&[]);
    let script = format!("env > '{}'", stage.path("env").display());
    let socket = stage.path("notify");
    run_alone(
        &script,
        &[("NOTIFY_SOCKET", &socket), ("WATCHDOG_USEC", Path::new("1")), ("PINGTEST_NEW", Path::new("x"))],
    );
    let env = stage.text("env");
    assert!(env.contains("PINGTEST_TARGET=gw"), "{env}");
    for absent in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "PINGTEST_NEW"] {
        assert!(!env.contains(absent), "{env}");
    }
}

#[test]
fn a_command_inherits_no_right_to_open_sockets_and_no_descriptor() {
    let right = CapabilitySet::NET_RAW;
    // Where the test may: as systemd does for AmbientCapabilities=.
    if let Ok(mut sets) = capabilities(None) {
        sets.inheritable |= right;
        let _ = set_capabilities(None, sets).and_then(|()| configure_capability_in_ambient_set(right, true));
    }
    let stage = Stage::new(&[]);
    let _ours = fs::File::create(stage.path("ours")).expect("a descriptor");
    let mut bench = Bench::new(&[stage.script("grep CapAmb /proc/self/status > ambient; ls -l /proc/self/fd > open")]);
    bench.began("gw");
    assert!(bench.finish().is_empty());
    assert_eq!(stage.text("ambient").trim_end(), "CapAmb:\t0000000000000000");
    assert!(!stage.text("open").contains("ours"), "{}", stage.text("open"));
}

#[test]
fn a_command_is_given_the_soft_limit_on_descriptors_that_the_daemon_was_started_with() {
    let stage = Stage::new(&[]);
    let hard = stage.path("hard").display().to_string();
    // The limit comes while the script runs already, if only just.
    let script = format!("until [ \"$(ulimit -Sn)\" = 200 ]; do :; done; ulimit -Hn > '{hard}'");
    let ran = run_alone(&script, &[(SOFT_LIMIT, Path::new("200"))]);
    assert!(ran.status.success(), "{ran:?}");
    let expected = getrlimit(Resource::Nofile).maximum.map_or("unlimited".to_owned(), |hard| hard.to_string());
    assert_eq!(stage.text("hard").trim_end(), expected);
}

#[test]
fn a_command_hears_signals_as_any_other_program() {
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGUSR1);
    // The hook's thread inherits it.
    blocked.thread_block().expect("a mask");
    let stage = Stage::new(&[]);
    let script = "grep SigBlk /proc/self/status > signals; kill -PIPE $$; echo alive";
    let mut bench = Bench::new(&[stage.script(script)]);
    bench.began("gw");
    let (failure, ..) = failure(bench.notice());
    blocked.thread_unblock().expect("a mask");
    assert_eq!(failure.to_string(), "ended by signal 13", "Rust ignores it, and programs do not expect that");
    assert_eq!(stage.text("signals"), "SigBlk:\t0000000000000000\n");
}

#[test]
fn only_the_events_and_targets_asked_for_are_told() {
    let receiver = Receiver::start(&[]);
    let targets = vec![Name::new("gw").expect("a name")];
    let mut bench = Bench::new(&[Hook { targets, ..webhook(receiver.port) }]);
    bench.began("other");
    bench.queue.finding(&finding("gw", What::OutageEnded(outage())));
    bench.queue.finding(&finding("gw", What::Watched));
    bench.began("gw");
    assert!(bench.finish().is_empty());
    assert!(receiver.request().body.contains(r#""target":"gw""#));
    receiver.no_further_request();
}

#[test]
fn a_command_that_fails_is_told_of_with_what_it_said_fit_for_a_terminal() {
    let stage = Stage::new(&[]);
    let mut bench = Bench::new(&[stage.script(r"echo first; printf 'no \033[31mroute\n' >&2; exit 3")]);
    bench.began("gw");
    bench.began("gw");
    let notices = bench.finish();
    let [notice] = notices.as_slice() else { panic!("the second failure is no news: {notices:?}") };
    assert_eq!(
        notice.to_string(),
        r"hook sh: outage_began of gw not told: ended with code 3: first\nno \u{1b}[31mroute"
    );
}

#[test]
fn a_command_that_cannot_be_run_is_told_of() {
    let mut bench = Bench::new(&[hook(Action::Command(vec!["/no/such/program".into()]))]);
    bench.began("gw");
    let told = bench.notice().to_string();
    assert_eq!(
        told,
        "hook /no/such/program: outage_began of gw not told: cannot run it: No such file or directory (os error 2)"
    );
    assert!(bench.finish().is_empty());
}

#[test]
fn a_hook_that_works_again_is_told_of() {
    let stage = Stage::new(&[]);
    let mut bench = Bench::new(&[stage.script("test -e seen || { touch seen; exit 1; }")]);
    bench.began("gw");
    bench.began("gw");
    bench.began("gw");
    let (failure, verdict, _) = failure(bench.notice());
    assert!(matches!(failure, Failure::Exited { .. }), "{failure}");
    assert_eq!(verdict, Verdict::GivenUp);
    let rest = bench.finish();
    assert!(matches!(rest.as_slice(), [Notice::Recovered { .. }]), "{rest:?}");
}

#[test]
fn a_command_that_hangs_is_ended_with_all_it_has_started_and_collected() {
    let stage = Stage::new(&["alive"]);
    // The child does not hear the request to end, nor does it leave with its parent.
    let script = "echo $$ > pid; (trap '' TERM; exec 3> alive; echo started >&3; sleep 1000 & wait; sleep 1000) & wait";
    let mut bench = Bench::new(&[Hook { timeout: Duration::from_secs(1), ..stage.script(script) }]);
    bench.began("gw");
    assert_eq!(stage.read_pipe("alive"), "started\n", "and then nobody is left that could write");
    let (failure, ..) = failure(bench.notice());
    assert_eq!(failure.to_string(), "took longer than 1.000 s and was ended");
    let pid = stage.text("pid");
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "a zombie");
    assert!(bench.finish().is_empty());
}

#[test]
fn a_command_that_ends_is_not_waited_for_while_its_children_hold_its_output_open() {
    let stage = Stage::new(&["go"]);
    let mut bench = Bench::new(&[stage.script("{ read x < go; } & echo said; exit 1")]);
    bench.began("gw");
    let (failure, ..) = failure(bench.notice());
    assert_eq!(failure.to_string(), "ended with code 1: said");
    stage.release("go");
    assert!(bench.finish().is_empty());
}

#[test]
fn a_command_that_floods_its_output_ends_and_only_its_last_words_are_kept() {
    let stage = Stage::new(&[]);
    let mut bench = Bench::new(&[stage.script("head -c 20000000 /dev/zero | tr '\\0' 'x'; echo last words; exit 1")]);
    bench.began("gw");
    let (failure, ..) = failure(bench.notice());
    let text = failure.to_string();
    assert!(text.ends_with("xxxlast words") && text.len() < 3000, "{text}");
    assert!(bench.finish().is_empty());
}

#[test]
fn what_the_queue_has_no_room_for_is_counted_and_told() {
    const ROOM: u64 = 4;
    const TOO_MANY: u64 = 1234;
    let stage = Stage::new(&["started", "go"]);
    let script = "test -e first || { touch first; echo x > started; read x < go; exit; }; cat >> json";
    let patience = Patience { waiting: ROOM as usize, ..impatient() };
    let mut bench = Bench::with(&[stage.script(script)], patience);
    bench.began("first");
    stage.read_pipe("started");
    (0..ROOM + TOO_MANY).for_each(|index| bench.began(&format!("t{index}")));
    stage.release("go");
    assert_eq!(bench.notice().to_string(), "hook sh is too slow: 1234 events were not told");
    assert!(bench.finish().is_empty());
    let told: Vec<Value> = stage.text("json").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(told.len() as u64, ROOM, "in their order, one at a time");
    assert!(told.iter().enumerate().all(|(index, event)| event["target"] == format!("t{index}")));
    assert_eq!(told[0]["missed"], TOO_MANY);
    assert!(told[1..].iter().all(|event| event.get("missed").is_none()), "once");
}

#[test]
fn of_ten_thousand_failures_at_once_each_is_told_or_counted() {
    const FAILURES: u64 = 10_000;
    let receiver = Receiver::start(&[]);
    let mut bench = Bench::new(&[webhook(receiver.port)]);
    (0..FAILURES).for_each(|index| bench.began(&format!("t{index}")));
    let counted: u64 = bench
        .finish()
        .iter()
        .map(|notice| match notice {
            Notice::Missed { count, .. } => *count,
            Notice::Failed { .. } | Notice::Recovered { .. } | Notice::Abandoned { .. } => panic!("{notice}"),
        })
        .sum();
    let told = receiver.rest();
    assert_eq!(told.len() as u64 + counted, FAILURES);
    assert!(told.len() >= Patience::default().waiting, "{}", told.len());
}

#[test]
fn a_slow_hook_delays_no_other() {
    const SLOW: &str = "test -e first || { touch first; echo x > started; read x < go; }";
    let stage = Stage::new(&["started", "go"]);
    let receiver = Receiver::start(&[]);
    let mut bench = Bench::new(&[stage.script(SLOW), webhook(receiver.port)]);
    bench.began("gw");
    stage.read_pipe("started");
    for _ in 0..3 {
        receiver.request();
        bench.began("gw");
    }
    receiver.request();
    stage.release("go");
    assert!(bench.finish().is_empty());
}

#[test]
fn a_webhook_gets_the_event_as_json() {
    let receiver = Receiver::start(&[]);
    let mut bench = Bench::new(&[webhook(receiver.port)]);
    bench.began("gw");
    assert!(bench.finish().is_empty());
    let request = receiver.request();
    assert_eq!(request.head[0], "POST /secret?token=secret HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("user-agent"), Some(concat!("pingtest/", env!("CARGO_PKG_VERSION"))));
    let event: Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!((&event["event"], &event["outage"]["lost"]), (&"outage_began".into(), &7.into()));
}

#[test]
fn a_receiver_that_is_in_trouble_is_asked_again_with_the_same_words() {
    let busy = Answer::With("429 Too Many Requests", "slow down");
    let receiver = Receiver::start(&[Answer::With("500 Internal Server Error", "oh\tno"), busy, busy, OK]);
    let mut bench = Bench::new(&[webhook(receiver.port)]);
    bench.began("gw");
    let bodies: Vec<_> = (0..4).map(|_| receiver.request().body).collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert_eq!(
        bench.notice().to_string(),
        format!(
            "hook http://127.0.0.1:{}: outage_began of gw not told: answered 500 Internal Server Error: oh\\tno; it is tried again",
            receiver.port
        )
    );
    assert!(matches!(bench.notice(), Notice::Recovered { .. }));
    assert!(bench.finish().is_empty());
    receiver.no_further_request();
}

#[test]
fn a_receiver_that_refuses_is_not_asked_again() {
    let moved = Answer::With("302 Found", "");
    let receiver = Receiver::start(&[Answer::With("404 Not Found", "no such hook"), moved]);
    let patience = Patience { told_every: Duration::ZERO, ..impatient() };
    let mut bench = Bench::with(&[webhook(receiver.port)], patience);
    bench.began("gw");
    bench.began("gw");
    let told = bench.finish().into_iter().map(failure).map(|(failure, verdict, _)| (failure.to_string(), verdict));
    let given_up = |words: &str| (words.to_owned(), Verdict::GivenUp);
    assert_eq!(
        told.collect::<Vec<_>>(),
        [given_up("answered 404 Not Found: no such hook"), given_up("answered 302 Found")]
    );
    (0..2).for_each(|_| drop(receiver.request()));
    receiver.no_further_request();
}

#[test]
fn a_receiver_that_does_not_answer_is_asked_again_after_the_timeout() {
    let receiver = Receiver::start(&[Answer::Never]);
    let mut bench = Bench::new(&[Hook { timeout: Duration::from_millis(100), ..webhook(receiver.port) }]);
    bench.began("gw");
    let (failure, verdict, _) = failure(bench.notice());
    assert!(failure.to_string().contains("timeout"), "{failure}");
    assert_eq!(verdict, Verdict::TriedAgain);
    (0..2).for_each(|_| drop(receiver.request()));
}

#[test]
fn a_receiver_that_is_not_there_yet_is_told_when_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let mut bench = Bench::new(&[webhook(address.port())]);
    bench.began("gw");
    let (failure, verdict, _) = failure(bench.notice());
    assert!(failure.to_string().contains("refused"), "{failure}");
    assert_eq!(verdict, Verdict::TriedAgain);
    let receiver =
        Receiver::on(TcpListener::bind(address).expect("the same port"), &[], Box::new(|stream| Box::new(stream)));
    receiver.request();
    assert!(matches!(bench.notice(), Notice::Recovered { .. }));
}

#[test]
fn an_event_that_grew_old_is_given_up_and_counted_in_the_next() {
    let receiver = Receiver::start(&[Answer::With("503 Service Unavailable", "")]);
    let patience = Patience { give_up_after: Duration::ZERO, ..impatient() };
    let mut bench = Bench::with(&[webhook(receiver.port)], patience);
    bench.began("old");
    bench.began("gw");
    let (_, verdict, _) = failure(bench.notice());
    assert_eq!(verdict, Verdict::GivenUp);
    assert!(receiver.request().body.contains(r#""target":"old""#));
    let next: Value = serde_json::from_str(&receiver.request().body).expect("JSON");
    assert_eq!((&next["target"], &next["missed"]), (&"gw".into(), &1.into()));
}

#[test]
fn a_receiver_is_trusted_by_the_roots_that_the_operator_names_and_by_no_other() {
    let receiver = Receiver::with_tls();
    let address = format!("https://localhost:{}/", receiver.port);

    let output = run_alone(&address, &[("SSL_CERT_FILE", &file("localhost.pem"))]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("not told: invalid peer certificate: UnknownIssuer"), "{told}");
    receiver.no_further_request();

    let output = run_alone(&address, &[("SSL_CERT_FILE", &file("ca.pem"))]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(!told.contains("not told"), "{told}");
    assert!(receiver.request().body.contains("outage_began"));
}

#[test]
fn a_reload_leaves_a_hook_that_stays_alone_and_ends_one_that_goes() {
    let stage = Stage::new(&["started", "go", "going"]);
    let stays = stage.script("echo x > started; read x < go; cat >> json");
    let goes = stage.script("echo x > going; exec sleep 1000");
    let patience = Patience { farewell: Duration::from_millis(400), ..impatient() };
    let mut bench = Bench::with(&[goes, stays.clone()], patience);
    bench.began("one");
    bench.began("two");
    stage.read_pipe("going");
    stage.read_pipe("started");
    let receiver = Receiver::start(&[]);
    bench.hooks.replace(&[stays, webhook(receiver.port)]).expect("threads");
    assert!(matches!(failure(bench.notice()).0, Failure::Stopped { .. }));
    assert!(matches!(bench.notice(), Notice::Abandoned { count: 1, .. }));
    bench.began("three");
    assert!(receiver.request().body.contains(r#""target":"three""#), "the hook that came");
    stage.release("go");
    for _ in 0..2 {
        stage.read_pipe("started");
        stage.release("go");
    }
    assert!(bench.finish().is_empty());
    let told: Vec<Value> = stage.text("json").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(told.iter().map(|event| event["target"].clone()).collect::<Vec<_>>(), ["one", "two", "three"]);
}

#[test]
fn stopping_ends_what_is_under_way_and_counts_what_waits() {
    let stage = Stage::new(&["alive"]);
    let mut bench = Bench::new(&[stage.script("exec 3> alive; echo x >&3; trap '' TERM; sleep 1000; sleep 1000")]);
    (0..3).for_each(|_| bench.began("gw"));
    let mut alive = OpenOptions::new().read(true).open(stage.path("alive")).expect("the script has begun");
    assert_eq!(bench.hooks.stop(Duration::from_millis(500)), Stopped::All);
    let mut rest = String::new();
    alive.read_to_string(&mut rest).expect("nobody can write any more");
    let notices: Vec<_> = bench.notices.try_iter().map(|notice| notice.to_string()).collect();
    assert_eq!(
        notices,
        [
            "hook sh: outage_began of gw not told: was ended, since pingtest stops or the hook was removed",
            "hook sh has stopped: 2 events were not told"
        ]
    );
}

#[test]
fn no_timeout_is_too_long_to_be_added_to_the_time() {
    let stage = Stage::new(&[]);
    let mut bench = Bench::new(&[Hook { timeout: Duration::MAX, ..stage.script("cat > json") }]);
    bench.began("gw");
    assert!(bench.finish().is_empty());
    assert!(stage.text("json").contains("outage_began"));
}

#[test]
fn stopping_does_not_wait_for_the_next_try() {
    let receiver = Receiver::start(&[Answer::With("503 Service Unavailable", "")]);
    let patience = Patience { first_retry: PATIENCE * 60, ..Patience::default() };
    let patience = Patience { give_up_after: PATIENCE * 120, ..patience };
    let mut bench = Bench::with(&[webhook(receiver.port)], patience);
    bench.began("gw");
    assert_eq!(failure(bench.notice()).1, Verdict::TriedAgain);
    let rest = bench.finish();
    assert!(matches!(rest.as_slice(), [Notice::Abandoned { count: 1, .. }]), "{rest:?}");
}
