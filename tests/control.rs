//! The control socket from both ends, and what `pingtest status` makes of the answers, without a daemon.

#![allow(clippy::unwrap_used, reason = "helpers of a test may fail it")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use pingtest::control::protocol::{
    self, Answer, Counts, Outage as Lasting, REQUEST_AT_MOST, Request, Rtt, Target, Text,
};
use pingtest::control::{Error, Handler, Health, Order, Refusal, Server, Snapshot, client};
use pingtest::monitor::Strays;
use pingtest::monitor::finding::Gap;
use pingtest::monitor::inflight::{Ruling, Verdict};
use pingtest::monitor::outage::{Bound, Cause, Outage, State};
use pingtest::monitor::sample::IcmpError;
use pingtest::monitor::snapshot::TargetStatus;
use pingtest::monitor::target::{Addr, Host, Label, Name};
use pingtest::monitor::time::{Stamp, Wall};
use pingtest::monitor::window::Window;
use pingtest::status::table::{self, Colour, View};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{self, OpenptFlags};
use rustix::termios::Winsize;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// 2026-11-22T13:00:00Z, when everything here is asked.
const NOW: Wall = Wall::from_nanos(1_795_352_400_000_000_000);

fn ago(seconds: u64) -> Wall {
    NOW - Duration::from_secs(seconds)
}

/// A daemon that knows what it is given, and remembers what it was ordered.
#[derive(Clone, Default)]
struct Fake {
    targets: Vec<TargetStatus>,
    ordered: Arc<Mutex<Vec<(Order, String)>>>,
}

impl Handler for Fake {
    async fn status(&self) -> Option<Snapshot> {
        Some(Snapshot {
            now: NOW,
            started: ago(183_600),
            targets: self.targets.clone(),
            strays: Strays { foreign: 1, stale: 2, forged: 3 },
            log: None,
            ledger: None,
            zone_name: |_| Some("eth0".into()),
        })
    }

    async fn order(&self, order: Order, target: Name) -> Result<(), Refusal> {
        let known = self.targets.iter().any(|known| known.target.name == target);
        self.ordered.lock().expect("nobody panics with it").push((order, target.to_string()));
        if known { Ok(()) } else { Err(Refusal::UnknownTarget) }
    }
}

/// A server at work, in a directory of its own.
struct Stage {
    server: Option<Server>,
    runtime: Runtime,
    dir: TempDir,
}

impl Stage {
    fn new(handler: Fake) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let mut stage = Self { server: None, runtime, dir };
        stage.server = Some(stage.start(handler).expect("nothing is in the way"));
        stage
    }

    fn start(&self, handler: Fake) -> Result<Server, Error> {
        self.start_for(None, handler)
    }

    fn start_for(&self, group: Option<&str>, handler: Fake) -> Result<Server, Error> {
        let _within = self.runtime.enter();
        Server::start(&self.path(), group, handler)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).expect("somebody listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket has timeouts");
        stream
    }

    /// What comes back for these bytes.
    fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("it is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it ends");
        answer
    }

    fn run(&self, arguments: &[&str]) -> Output {
        pingtest(&self.path(), arguments).output().expect("it runs")
    }
}

fn pingtest(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pingtest"));
    command.args(arguments).arg("--socket").arg(socket).env("TZ", "UTC");
    command
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

fn addr(last: u8) -> Addr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn up(name: &str, last: u8) -> TargetStatus {
    TargetStatus {
        target: Label { name: Name::new(name).expect("a name"), host: Host::Address(addr(last)) },
        addr: Some(addr(last)),
        state: State::Up,
        since: Some(ago(7200)),
        outage: None,
        behind: None,
        not_resolved: None,
        gap: None,
        answered: Some(ago(1)),
        interval: Duration::from_secs(1),
        window: window(1000, 0),
    }
}

/// Counts of a target whose last two replies took 4 ms and 5.12 ms.
fn window(replies: u64, lost: u64) -> Window {
    let mut window = Window { sent: replies + lost, replies: replies - 2, in_flight: 2, ..Window::default() };
    window.lost.unanswered = lost;
    for after in [4000, 5120].map(Duration::from_micros) {
        window.handle_verdict(&Verdict { ruling: Ruling::Reply, sent: Stamp::default(), at: NOW, after });
    }
    window
}

fn outage(seconds: u64, cause: Cause) -> Outage {
    Outage {
        began: Bound { at: ago(seconds), earliest: Some(ago(seconds + 1)) },
        ended: None,
        lasted: Duration::from_secs(seconds),
        cause,
        first_seq: 12,
        lost: seconds,
        unmeasured: Duration::ZERO,
        fragments: 1,
        new_ids: 0,
        new_id_helped: false,
        behind: 0,
    }
}

fn down(name: &str, last: u8, seconds: u64, cause: Cause) -> TargetStatus {
    TargetStatus {
        state: State::Down,
        since: Some(ago(seconds - 2)),
        outage: Some(outage(seconds, cause)),
        answered: Some(ago(seconds + 1)),
        window: window(900, 100),
        ..up(name, last)
    }
}

/// One target in each state, and two that are down.
fn all_states() -> Vec<TargetStatus> {
    let unreachable = Cause::Unreachable {
        error: IcmpError::V4 { kind: 3, code: 1, info: 0 },
        from: Ipv4Addr::new(10, 0, 0, 1).into(),
    };
    let named = Label { name: Name::new("web").expect("a name"), host: Host::Name("web001.example".into()) };
    let mut gateway = down("gw", 2, 192, unreachable);
    gateway.outage.as_mut().expect("it is down").behind = 1;
    let mut longest = down("far", 3, 90_000, Cause::Unanswered);
    longest.outage.as_mut().expect("it is down").unmeasured = Duration::from_secs(41);
    vec![
        up("fine", 1),
        gateway,
        longest,
        TargetStatus { state: State::Behind, behind: Name::new("gw"), ..up("leaf", 4) },
        TargetStatus { state: State::Suspect, answered: Some(ago(2)), gap: Some(Gap::NotSent), ..up("shaky", 5) },
        TargetStatus { state: State::Degraded, window: window(950, 50), ..up("lossy", 6) },
        TargetStatus {
            target: named,
            addr: None,
            state: State::Unknown,
            answered: None,
            not_resolved: Some("no such host\x1b[2J".into()),
            window: Window::default(),
            ..up("web", 7)
        },
        TargetStatus { state: State::Paused, since: None, ..up("quiet", 8) },
    ]
}

/// The answer of a daemon that knows these.
fn line_of(targets: Vec<TargetStatus>) -> String {
    let stage = Stage::new(Fake { targets, ..Fake::default() });
    client::ask(&stage.path(), &Request { request: "status".into(), ..Request::default() }).expect("it answers")
}

const PIPE: View = View { width: None, height: None, colour: Colour::Plain };

fn table_of(line: &str, view: &View) -> String {
    table::render(&client::understood(line).expect("it is understood"), view, &Utc)
}

#[test]
fn the_table_has_every_state_and_the_worst_first() {
    let shown = table_of(&line_of(all_states()), &PIPE);
    let expected = "\
8 targets: 2 down, 1 behind, 1 suspect, 1 degraded, 1 never up yet, 1 paused, 1 up; 7 probes/s; 2026-11-22 13:00:00, pingtest VERSION for 2d03h
STATE         TARGET  ADDRESS             SINCE                  FOR    LOSS  LAST/AVG ms   ANSWERED  WHY
down          far     192.0.2.3           2026-11-21 12:00:00  1d01h  10.00%    5.12/4.56  1d01h ago  no answer, 90000 lost, 41s not measured
down          gw      192.0.2.2           2026-11-22 12:56:48  3m12s  10.00%    5.12/4.56  3m13s ago  From 10.0.0.1: Destination Host Unreachable, 192 lost, 1 behind it
behind        leaf    192.0.2.4           2026-11-22 11:00:00  2h00m   0.00%    5.12/4.56     1s ago  behind gw
suspect       shaky   192.0.2.5           2026-11-22 11:00:00  2h00m   0.00%    5.12/4.56     2s ago  nothing can be sent
degraded      lossy   192.0.2.6           2026-11-22 11:00:00  2h00m   5.00%    5.12/4.56     1s ago  loss or round-trip time over its threshold
never up yet  web     - (web001.example)  2026-11-22 11:00:00  2h00m       -            -          -  not resolved: no such host\\u{1b}[2J
paused        quiet   192.0.2.8           -                        -   0.00%    5.12/4.56     1s ago  by order (pingtest resume quiet)
up            fine    192.0.2.1           2026-11-22 11:00:00  2h00m   0.00%    5.12/4.56     1s ago
";
    assert_eq!(shown, expected.replace("VERSION", env!("CARGO_PKG_VERSION")));
}

#[test]
fn equals_are_sorted_by_loss_and_then_by_name() {
    let lossy = TargetStatus { window: window(10, 1), ..up("z", 1) };
    let shown = table_of(&line_of(vec![up("b", 1), up("a", 1), lossy]), &PIPE);
    let names: Vec<_> = shown.lines().skip(2).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(names, ["z", "a", "b"]);
}

#[test]
fn a_terminal_is_kept_within_and_has_coloured_states() {
    let line = line_of(all_states());
    let shown = table_of(&line, &View { width: Some(40), height: Some(6), colour: Colour::Ansi });
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[2], "\x1b[1;31mdown\x1b[0m    far     192.0.2.3  2026-11-21 1…");
    assert_eq!(lines[5], "… and 5 more");
}

#[test]
fn json_has_every_field_in_its_unit() {
    let [mut link_local, ..] =
        [down("far", 3, 192, Cause::DifferentAddress(Addr { ip: IpAddr::V6("fe80::1".parse().unwrap()), scope: 2 }))];
    link_local.addr = Some(Addr { ip: "fe80::2".parse().unwrap(), scope: 2 });
    let line = line_of(vec![link_local]);
    let answer: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(answer["pingtest"], 1);
    assert_eq!(answer["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(answer["ok"], true);
    assert_eq!(answer["pid"], std::process::id());
    assert_eq!(answer["counts"]["down"], 1);
    assert_eq!(answer["strays"], serde_json::json!({"foreign": 1, "stale": 2, "forged": 3}));
    assert!(answer.get("log").is_none());
    let instant = |value: &serde_json::Value| chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap();
    assert_eq!(instant(&answer["now"]).timestamp_nanos_opt(), Some(NOW.as_nanos()));
    let target = &answer["targets"][0];
    let expected = [
        ("name", "far".into()),
        ("host", "192.0.2.3".into()),
        ("addr", "fe80::2%eth0".into()),
        ("state", "down".into()),
        ("sent", 1000.into()),
        ("replies", 900.into()),
        ("lost", 100.into()),
        ("in_flight", 0.into()),
        ("loss", 0.1.into()),
        ("interval_s", 1.0.into()),
        ("rtt_ms", serde_json::json!({"min": 4.0, "avg": 4.56, "max": 5.12, "last": 5.12, "jitter": 0.07})),
    ];
    for (key, value) in expected {
        assert_eq!(target[key], value, "{key}");
    }
    let outage = &target["outage"];
    assert_eq!((&outage["cause"], &outage["from"]), (&"different_address".into(), &"fe80::1%eth0".into()));
    assert_eq!((&outage["lasted_s"], &outage["lost"], &outage["first_seq"]), (&192.0.into(), &192.into(), &12.into()));
    assert_eq!(instant(&outage["began"]).timestamp_nanos_opt(), Some(ago(192).as_nanos()));
}

/// Every key of an object and of those within it.
fn keys<'a>(value: &'a serde_json::Value, found: &mut BTreeSet<&'a str>) {
    for (key, inner) in value.as_object().into_iter().flatten() {
        found.insert(key);
        keys(inner, found);
    }
    value.as_array().into_iter().flatten().for_each(|inner| keys(inner, found));
}

#[test]
fn every_key_of_the_answer_is_in_the_readme() {
    let target = Target {
        addr: Some(Text::default()),
        since: Some(Text::default()),
        outage: Some(Lasting {
            began_earliest: Some(Text::default()),
            detail: Some(Text::default()),
            from: Some(Text::default()),
            ..Lasting::default()
        }),
        behind: Some(Text::default()),
        not_resolved: Some(Text::default()),
        answered: Some(Text::default()),
        loss: Some(0.0),
        rtt_ms: Some(Rtt { last: Some(0.0), ..Rtt::default() }),
        ..Target::default()
    };
    let health = || Some(Health { failing: Some(String::new()), not_written: Some(0) });
    let answer = Answer {
        error: Some(Text::default()),
        now: Some(Text::default()),
        started: Some(Text::default()),
        pid: Some(0),
        rate: Some(0.0),
        counts: Some(Counts::default()),
        strays: Some(protocol::Strays::default()),
        log: health(),
        ledger: health(),
        targets: Some(vec![target]),
        ..Answer::new(true)
    };
    let answer = serde_json::to_value(answer).expect("JSON");
    let mut found = BTreeSet::new();
    keys(&answer, &mut found);
    let states: BTreeSet<&str> = answer["counts"].as_object().unwrap().keys().map(String::as_str).collect();
    let readme = fs::read_to_string("README.md").expect("it is there");
    let (_, section) = readme.split_once("`--json` prints one object").expect("a section of keys");
    let (section, _) = section.split_once("Keys may be added").expect("its end");
    let missing: Vec<_> = found.difference(&states).filter(|key| !section.contains(&format!("`{key}`"))).collect();
    assert!(found.len() > 40 && missing.is_empty(), "{missing:?}");
}

#[test]
fn nothing_is_probed_where_all_is_paused() {
    let paused = TargetStatus { state: State::Paused, ..up("quiet", 8) };
    let line = line_of(vec![paused]);
    assert!(line.contains(r#""rate":0.0,"#), "{line}");
    assert!(table_of(&line, &PIPE).contains("; 0 probes/s; "));
}

#[test]
fn the_program_prints_the_answer_as_it_is_where_json_is_wanted() {
    let stage = Stage::new(Fake { targets: all_states(), ..Fake::default() });
    let ran = stage.run(&["status", "--json"]);
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(text(ran.stdout), stage.say(b"{\"request\":\"status\"}\n"));
}

#[test]
fn only_the_targets_named_are_shown_and_one_that_is_none_is_told_beside_its_likes() {
    let stage = Stage::new(Fake { targets: all_states(), ..Fake::default() });
    let shown = text(stage.run(&["status", "fine", "gw"]).stdout);
    assert!(shown.starts_with("2 targets: 1 down, 1 up; 2 probes/s; "), "{shown}");
    assert_eq!(shown.lines().count(), 4);
    let refused = stage.run(&["status", "fines"]);
    assert_eq!((refused.status.code(), text(refused.stdout)), (Some(1), String::new()));
    let told = text(refused.stderr);
    assert!(told.starts_with("pingtest: there is no target \"fines\" (there are: fine, far, gw, "), "{told}");
}

#[test]
fn orders_reach_the_daemon_and_an_unknown_target_is_refused() {
    let fake = Fake { targets: all_states(), ..Fake::default() };
    let stage = Stage::new(fake.clone());
    let done = stage.run(&["pause", "fine", "gw"]);
    assert_eq!((done.status.code(), text(done.stdout)), (Some(0), "fine: paused\ngw: paused\n".to_owned()));
    let done = stage.run(&["resume", "fine"]);
    assert_eq!((done.status.code(), text(done.stdout)), (Some(0), "fine: probed again\n".to_owned()));
    let refused = stage.run(&["pause", "fin"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(refused.stderr).contains("there is no target \"fin\" (there are: fine, "));
    let ordered = fake.ordered.lock().expect("nobody panics with it").clone();
    let expected = [(Order::Pause, "fine"), (Order::Pause, "gw"), (Order::Resume, "fine"), (Order::Pause, "fin")];
    assert_eq!(ordered, expected.map(|(order, target)| (order, target.to_owned())));
}

/// Both legs of a target, one that is called like a target's leg by chance, and a target beside its own legs.
fn legs() -> Vec<TargetStatus> {
    ["web.ipv4", "web.ipv6", "lone.ipv6", "gw", "gw.ipv4", "gw.ipv6"].map(|name| up(name, 1)).to_vec()
}

#[test]
fn the_plain_name_of_a_target_of_both_families_shows_both_legs() {
    let stage = Stage::new(Fake { targets: legs(), ..Fake::default() });
    let shown = |arguments: &[&str]| {
        let table = text(stage.run(&[&["status"], arguments].concat()).stdout);
        let rows = table.lines().skip(2).filter_map(|line| line.split_whitespace().nth(1));
        rows.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(shown(&["web"]), ["web.ipv4", "web.ipv6"]);
    assert_eq!(shown(&["web", "web.ipv6", "lone"]), ["lone.ipv6", "web.ipv4", "web.ipv6"]);
    assert_eq!(shown(&["gw"]), ["gw"]);
    assert!(shown(&["web."]).is_empty());
}

#[test]
fn the_plain_name_of_a_target_of_both_families_orders_both_legs() {
    let fake = Fake { targets: legs(), ..Fake::default() };
    let stage = Stage::new(fake.clone());
    let done = stage.run(&["pause", "web", "gw"]);
    assert_eq!(
        (done.status.code(), text(done.stdout)),
        (Some(0), "web: paused\ngw: paused\n".to_owned()),
        "{:?}",
        done.stderr
    );
    let mut ordered = fake.ordered.lock().expect("nobody panics with it").clone();
    ordered.retain(|(_, target)| target != "web");
    let expected = ["web.ipv4", "web.ipv6", "gw"].map(|name| (Order::Pause, name.to_owned()));
    assert_eq!(ordered, expected, "and not the legs of a target that is one itself");
}

#[test]
fn legs_are_called_as_the_configuration_calls_them() {
    let file = "[[target]]\nhost = \"web\"\nfamily = \"both\"";
    let settings = pingtest::config::parse_str(file, Path::new("f"), &pingtest::config::Environment::default());
    let names = settings.expect("it is valid").targets.iter().map(|target| up(target.name.as_str(), 1)).collect();
    let stage = Stage::new(Fake { targets: names, ..Fake::default() });
    assert!(text(stage.run(&["status", "web"]).stdout).starts_with("2 targets: "));
}

#[test]
fn a_request_of_another_release_is_answered_as_far_as_it_is_known() {
    let stage = Stage::new(Fake { targets: vec![up("fine", 1)], ..Fake::default() });
    for request in [
        "{\"pingtest\":7,\"request\":\"status\",\"since\":{\"a\":[1]},\"x\":null}\n",
        "{\"request\":\"status\"}\n",
        "{\"request\":\"status\"}\nand more that nobody reads\n",
    ] {
        let mut answer = String::new();
        let mut stream = stage.connect();
        stream.write_all(request.as_bytes()).expect("it is taken");
        // What is left unread breaks the connection off behind the answer.
        let _ = stream.read_to_string(&mut answer);
        assert_eq!(client::understood(&answer).expect(request).targets.map(|targets| targets.len()), Some(1));
    }
    let answer = stage.say(b"{\"pingtest\":2,\"request\":\"reboot\"}\n");
    let refused = client::understood(&answer).expect_err("it is not known").to_string();
    assert_eq!(refused, "the request \"reboot\" is not known (known are: status, pause, resume)");
}

#[test]
fn an_answer_of_another_release_is_shown_as_far_as_it_is_known() {
    let line = r#"{"pingtest":9,"version":"9.1","ok":true,"mood":["good"],"targets":[
        {"name":"a","state":"smouldering","colour":1,"outage":{"cause":"gnawed","detail":"by mice"}},
        {"name":"b","state":"up","loss":0.5}]}"#;
    let shown = table_of(line, &PIPE);
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines[0], "2 targets: 1 up, 1 in other states, pingtest 9.1");
    assert!(lines[2].starts_with("smouldering  a") && lines[2].ends_with("gnawed by mice, 0 lost"), "{shown}");
    assert!(lines[3].starts_with("up           b") && lines[3].contains("50.00%"), "{shown}");
    let refused = client::understood(r#"{"version":"0.0.1","ok":false,"error":"what?"}"#).expect_err("it refuses");
    assert_eq!(
        refused.to_string(),
        format!("what? (the daemon is pingtest 0.0.1, this is {})", env!("CARGO_PKG_VERSION"))
    );
    let foreign = client::understood(r#"{"version":"9.1","ok":"yes"}"#).expect_err("ok is a boolean").to_string();
    assert!(foreign.contains("not understood") && foreign.contains("pingtest 9.1"), "{foreign}");
    assert_eq!(
        client::understood("{\"ok\":true}").expect("the rest has defaults"),
        Answer { pingtest: 0, version: Text::default(), ..Answer::<Vec<Target>>::new(true) }
    );
}

#[test]
fn nothing_that_a_daemon_says_steers_the_terminal() {
    const EVIL: &str = "a\\u001b[2J\\u001b]0;t\\u0007\u{9b}31m\u{202e}\\nb";
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control.sock");
    let listener = UnixListener::bind(&path).expect("it is free");
    let answers = [
        format!(r#"{{"version":"{EVIL}","ok":false,"error":"{EVIL}"}}"#),
        format!(r#"{{"version":"{EVIL}","ok":"{EVIL}"}}"#),
        format!(
            r#"{{"version":"{EVIL}","ok":true,"log":{{"failing":"{EVIL}"}},"targets":[{{"name":"{EVIL}","state":"{EVIL}","host":"{EVIL}",
            "addr":"{EVIL}1","behind":"{EVIL}","not_resolved":"{EVIL}","outage":{{"cause":"{EVIL}","detail":"{EVIL}","from":"{EVIL}"}}}}]}}"#
        )
        .replace('\n', ""),
    ];
    for answer in answers {
        let (arguments, listener) = (["status"], &listener);
        let ran = std::thread::scope(|scope| {
            scope.spawn(move || {
                let (stream, _) = listener.accept().expect("it comes");
                BufReader::new(&stream).read_line(&mut String::new()).expect("it asks");
                (&stream).write_all(format!("{answer}\n").as_bytes()).expect("it listens");
            });
            pingtest(&path, &arguments).output().expect("it runs")
        });
        let shown = text(ran.stdout) + &text(ran.stderr);
        let steers = |c: char| c != '\n' && c.is_control() || c == '\u{202e}';
        assert!(shown.contains("a\\u{1b}[2J") && !shown.contains(steers), "{shown:?}");
    }
}

#[test]
fn garbage_is_refused_in_words_and_the_next_client_is_served() {
    let stage = Stage::new(Fake { targets: vec![up("fine", 1)], ..Fake::default() });
    for (garbage, told) in [
        (&b"\n"[..], "is not understood"),
        (b"GET / HTTP/1.1\r\n", "is not understood"),
        (b"{\"request\":[]}\n", "is not understood"),
        (b"\xff\xfe\x00\n", "is not understood"),
        (b"{}\n", "the request \"\" is not known"),
        (b"{\"request\":\"pause\"}\n", "pause needs a target"),
        (b"{\"request\":\"pause\",\"target\":\"../x\"}\n", "there is no target \"../x\""),
    ] {
        let answer = stage.say(garbage);
        assert_eq!(answer.matches('\n').count(), 1);
        let refused = client::understood(&answer).expect_err(&answer).to_string();
        assert!(refused.contains(told), "{refused}");
    }
    assert!(stage.run(&["status"]).status.success());
}

#[test]
fn a_request_that_is_too_long_is_refused_and_not_kept() {
    let stage = Stage::new(Fake::default());
    let mut stream = stage.connect();
    let _ = stream.write_all(&vec![b'x'; 64 * REQUEST_AT_MOST]);
    let mut answer = [0; 256];
    let count = stream.read(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..count]);
    assert!(answer.contains("a request has at most 4096 bytes"), "{answer}");
}

#[test]
fn clients_that_say_nothing_or_half_or_go_early_keep_nobody_waiting() {
    let stage = Stage::new(Fake { targets: vec![up("fine", 1)], ..Fake::default() });
    let silent = stage.connect();
    let mut half = stage.connect();
    half.write_all(b"{\"request\":").expect("it is taken");
    for _ in 0..100 {
        let mut early = stage.connect();
        early.write_all(b"{\"request\":\"status\"}\n").expect("it is taken");
    }
    assert!(stage.run(&["status"]).status.success());
    // The half is told after its time, and so is the silent one.
    for mut stream in [half, silent] {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it ends");
        assert!(answer.contains("no whole request came in time"), "{answer}");
    }
}

#[test]
fn a_client_that_does_not_take_its_answer_is_given_up_and_others_are_served() {
    let targets = (0..4000).map(|number| up(&format!("target-{number}"), 1)).collect();
    let stage = Stage::new(Fake { targets, ..Fake::default() });
    let mut slow = [stage.connect(), stage.connect()];
    for stream in &mut slow {
        stream.write_all(b"{\"request\":\"status\"}\n").expect("it is taken");
    }
    let shown = text(stage.run(&["status"]).stdout);
    assert_eq!(shown.lines().count(), 4002);
    let [stream, _] = &slow;
    let given_up = poll(&mut [PollFd::new(stream, PollFlags::empty())], Some(&Timespec { tv_sec: 20, tv_nsec: 0 }));
    assert_eq!(given_up, Ok(1), "the other end is closed");
}

#[test]
fn more_clients_than_are_served_at_a_time_are_served_in_turn() {
    let stage = Stage::new(Fake { targets: vec![up("fine", 1)], ..Fake::default() });
    let clients: Vec<_> = (0..60)
        .map(|_| {
            let mut stream = stage.connect();
            stream.write_all(b"{\"request\":\"status\"}\n").expect("it is taken");
            stream
        })
        .collect();
    for mut client in clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("it ends");
        assert!(client::understood(&answer).is_ok(), "{answer}");
    }
}

#[test]
fn the_socket_is_for_user_and_group_only_and_goes_with_the_server() {
    let mut stage = Stage::new(Fake::default());
    let file = fs::symlink_metadata(stage.path()).expect("it is there");
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o660);
    assert_eq!(fs::read_dir(stage.dir.path()).expect("it is ours").count(), 1, "nothing else is left there");
    stage.server = None;
    assert!(!stage.path().exists());
}

#[test]
fn a_missing_directory_is_made_but_only_one() {
    let stage = Stage::new(Fake::default());
    let _within = stage.runtime.enter();
    let path = stage.dir.path().join("run/control.sock");
    let server = Server::start(&path, None, Fake::default()).expect("the directory is made");
    let dir = fs::metadata(stage.dir.path().join("run")).expect("it is made");
    assert_eq!(dir.permissions().mode() & 0o022, 0);
    drop(server);
    let deep = stage.dir.path().join("no/such/control.sock");
    let error = Server::start(&deep, None, Fake::default()).expect_err("two are missing").to_string();
    assert_eq!(error, format!("cannot listen on {}: No such file or directory (os error 2)", deep.display()));
}

#[test]
fn an_unknown_group_is_told_and_a_known_one_is_given_the_socket() {
    let mut stage = Stage::new(Fake::default());
    stage.server = None;
    let server = stage.start_for(Some("no-such-group-here"), Fake::default()).expect("it listens all the same");
    let problem = server.group_problem().expect("there is no such group").to_string();
    assert!(
        problem.starts_with("there is no group \"no-such-group-here\": only the daemon's own may use "),
        "{problem}"
    );
    assert_eq!(fs::metadata(stage.path()).expect("it is there").permissions().mode() & 0o777, 0o660);
    drop(server);
    let server = stage.start_for(Some("root"), Fake::default()).expect("it listens");
    let gid = fs::metadata(stage.path()).expect("it is there").gid();
    assert!(server.group_problem().is_some() || gid == 0, "root may give it to root");
}

#[test]
fn what_the_dead_left_is_replaced() {
    let mut stage = Stage::new(Fake::default());
    stage.server = None;
    drop(UnixListener::bind(stage.path()).expect("it is free"));
    assert!(stage.path().exists(), "a socket outlives its listener");
    assert_eq!(stage.run(&["status"]).status.code(), Some(1));
    stage.server = Some(stage.start(Fake::default()).expect("nobody listens there"));
    assert!(stage.run(&["status"]).status.success());
}

#[test]
fn what_the_living_use_is_not_taken_from_them_nor_a_file_that_is_no_socket() {
    let mut stage = Stage::new(Fake { targets: vec![up("fine", 1)], ..Fake::default() });
    let error = stage.start(Fake::default()).expect_err("somebody listens").to_string();
    assert_eq!(error, format!("another process listens on {}", stage.path().display()));
    assert!(text(stage.run(&["status"]).stdout).starts_with("1 target: 1 up"));
    stage.server = None;
    fs::write(stage.path(), "precious").expect("it is free");
    let error = stage.start(Fake::default()).expect_err("it is a file").to_string();
    assert_eq!(error, format!("{} is not a socket", stage.path().display()));
    assert_eq!(fs::read_to_string(stage.path()).expect("it is there"), "precious");
}

#[test]
fn a_socket_that_another_has_put_in_its_place_is_left_to_him() {
    let mut stage = Stage::new(Fake::default());
    fs::remove_file(stage.path()).expect("it is ours");
    let _other = UnixListener::bind(stage.path()).expect("it is free");
    stage.server = None;
    assert!(stage.path().exists());
}

#[test]
fn without_a_daemon_it_is_said_where_to_look() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control.sock");
    for arguments in [&["status"][..], &["status", "--json"], &["status", "--watch"], &["pause", "a"], &["resume", "a"]]
    {
        let ran = pingtest(&path, arguments).output().expect("it runs");
        assert_eq!((ran.status.code(), text(ran.stdout)), (Some(1), String::new()), "{arguments:?}");
        let told = text(ran.stderr);
        assert!(told.contains(path.to_str().unwrap()), "{told}");
        assert!(told.ends_with("; is the daemon running? (systemctl status pingtest)\n"), "{told}");
    }
}

#[test]
fn wrong_usage_is_refused_before_anybody_is_asked() {
    let nowhere = Path::new("/nonexistent/socket");
    for arguments in [
        &["status", "--watch=0.05"][..],
        &["status", "--watch", "0"],
        &["status", "a b"],
        &["pause"],
        &["resume", "../x"],
        &["status", "--config", "x"],
    ] {
        let ran = pingtest(nowhere, arguments).output().expect("it runs");
        assert_eq!(ran.status.code(), Some(64), "{arguments:?}: {ran:?}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_pingtest"));
    let ran = command.args(["status", "--config", "/nonexistent/pingtest.toml"]).output().expect("it runs");
    assert_eq!(ran.status.code(), Some(78), "{ran:?}");
}

/// Runs `command` on a terminal of this many columns: what it writes there.
fn on_terminal(mut command: Command, columns: u16) -> String {
    let master = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    pty::grantpt(&master).expect("it is ours");
    pty::unlockpt(&master).expect("it is ours");
    let name = pty::ptsname(&master, Vec::new()).expect("it has a name");
    let slave = File::options().read(true).write(true).open(name.to_str().expect("a plain path")).expect("it is there");
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&slave, size).expect("it has a size");
    let mut child = command.stdout(slave).spawn().expect("it runs");
    // It holds the terminal open as well.
    drop(command);
    let mut shown = Vec::new();
    // A terminal that nobody holds open any more ends with an error (EIO).
    let _ = File::from(master).read_to_end(&mut shown);
    assert!(child.wait().expect("it ends").success());
    text(shown)
}

#[test]
fn colour_is_for_terminals_that_are_to_have_it() {
    let stage = Stage::new(Fake { targets: all_states(), ..Fake::default() });
    let mut shown = Vec::new();
    for (no_color, term) in [(None, "xterm"), (Some(""), "xterm"), (Some("1"), "xterm"), (None, "dumb")] {
        let mut command = pingtest(&stage.path(), &["status"]);
        command.env_remove("NO_COLOR").envs(no_color.map(|value| ("NO_COLOR", value))).env("TERM", term);
        let text = on_terminal(command, 60);
        let longest = text.lines().map(|line| line.trim_end().chars().count()).max();
        assert!(longest <= Some(60 + "\x1b[1;31m\x1b[0m".len()), "{text}");
        shown.push(text.contains('\x1b'));
    }
    assert_eq!(shown, [true, true, false, false]);
    assert!(!text(stage.run(&["status"]).stdout).contains('\x1b'), "a pipe is no terminal");
}

#[test]
fn watching_goes_on_over_a_restart_and_ends_well_on_a_signal() {
    let mut stage = Stage::new(Fake { targets: vec![up("fine", 1)], ..Fake::default() });
    let mut command = pingtest(&stage.path(), &["status", "--watch=0.1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut shown = BufReader::new(child.stdout.take().expect("a pipe")).lines().map(|line| line.expect("UTF-8"));
    let mut told = BufReader::new(child.stderr.take().expect("a pipe")).lines().map(|line| line.expect("UTF-8"));
    assert!(shown.next().expect("a first table").starts_with("1 target: 1 up"));
    assert!(shown.any(|line| line.is_empty()), "blocks are apart");
    stage.server = None;
    assert!(told.next().expect("it says so").contains("is the daemon running?"));
    stage.server = Some(stage.start(Fake { targets: vec![up("a", 1), up("b", 2)], ..Fake::default() }).expect("free"));
    assert!(shown.any(|line| line.starts_with("2 targets: 2 up")));
    signal::kill(Pid::from_raw(i32::try_from(child.id()).expect("a process id")), Signal::SIGTERM).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
