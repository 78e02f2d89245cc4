//! `pingtest doctor`: what it finds on machines of which something is wrong, or nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::dns::{NameServer, Reply};
use crate::support::net::{self, Namespace};
use crate::support::program::{self, Daemon, Ended, Program, Rights};
use crate::support::wait::{PATIENCE, Stopwatch};

/// Who has no rights in these tests (`support::program`).
const NOBODY: u32 = 65_534;

/// A configuration whose log, ledger and socket are below the directory it runs in.
const HERE: &str =
    "[log]\ndir = \"log\"\n[ledger]\npath = \"lib/ledger.db\"\n[control]\nsocket = \"run/control.sock\"\n";

const TARGET: &str = "[[target]]\nhost = \"127.0.0.1\"\n";

fn furnished(config: &str) -> TempDir {
    let dir = program::directory();
    fs::write(dir.path().join("pingtest.toml"), config).expect("the directory is ours");
    dir
}

/// Runs it and takes its findings as JSON.
fn examined(dir: TempDir, host: &Namespace, rights: Rights) -> (Ended, Findings) {
    let args = ["doctor", "--json", "--config", "pingtest.toml"];
    let ended = Program::start_in(dir, host, rights, &args).ended(PATIENCE);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    assert_eq!(ended.code, Some(if report["fit"] == true { 0 } else { 1 }), "{ended:?}");
    (ended, Findings(report))
}

struct Findings(Value);

impl Findings {
    fn user(&self) -> &str {
        self.0["user"].as_str().expect("a name")
    }

    /// The finding of this check and level: what was found.
    fn expect(&self, level: &str, check: &str) -> &str {
        let findings = self.0["findings"].as_array().expect("a list");
        let found = findings.iter().find(|finding| finding["level"] == level && finding["check"] == check);
        found
            .and_then(|finding| finding["found"].as_str())
            .unwrap_or_else(|| panic!("no {level} of {check}: {}", self.0))
    }

    fn problems(&self) -> Vec<&str> {
        let findings = self.0["findings"].as_array().expect("a list").iter();
        let problems = findings.filter(|finding| finding["level"] == "problem");
        problems.map(|finding| finding["check"].as_str().expect("a name")).collect()
    }
}

#[test]
fn nothing_stops_pingtest_where_all_is_well() {
    let Some(host) = Namespace::new() else { return };
    let (_, found) = examined(furnished(&format!("{HERE}{TARGET}")), &host, Rights::Group);
    assert_eq!(found.problems(), [""; 0]);
    assert!(found.expect("ok", "sockets").starts_with("datagram ICMP sockets can be opened"), "{}", found.0);
    assert_eq!(found.expect("ok", "loopback"), "a probe to loopback was answered");
    assert_eq!(found.expect("ok", "configuration"), "pingtest.toml: 1 target in 1 file");
}

#[test]
fn without_any_right_it_names_what_is_missing_and_the_cures() {
    let Some(host) = Namespace::new() else { return };
    let (ended, found) = examined(furnished(&format!("{HERE}{TARGET}")), &host, Rights::None);
    assert_eq!(found.problems(), ["sockets"]);
    let told = found.expect("problem", "sockets");
    assert!(told.contains("has no CAP_NET_RAW, and net.ipv4.ping_group_range is closed"), "{told}");
    for cure in ["setcap cap_net_raw+ep", "sysctl -w net.ipv4.ping_group_range="] {
        assert!(ended.stdout.contains(cure), "{}", ended.stdout);
    }
}

#[test]
fn a_group_range_without_the_users_groups_is_told_with_its_numbers() {
    let Some(host) = Namespace::new() else { return };
    let dir = furnished(&format!("{HERE}{TARGET}"));
    let mut command = program::command(&host, Rights::Group, dir.path());
    host.set("ipv4/ping_group_range", "5 6");
    command.args(["doctor", "--json", "--config", "pingtest.toml"]);
    let ended = Program::spawn(dir, command, &[]).ended(PATIENCE);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("none of its groups is within net.ipv4.ping_group_range 5 6"), "{ended:?}");
}

#[test]
fn a_bad_configuration_is_told_with_its_place() {
    let Some(host) = Namespace::new() else { return };
    let (_, found) = examined(furnished("[[target]]\nhost = \"127.0.0.1\"\nttl = 300\n"), &host, Rights::Root);
    assert_eq!(found.problems(), ["configuration"]);
    let told = found.expect("problem", "configuration");
    assert!(told.starts_with("pingtest.toml:3: target \"127.0.0.1\": ttl = 300: must be"), "{told}");
}

#[test]
fn a_missing_configuration_and_one_that_may_not_be_read_are_told_apart() {
    let Some(host) = Namespace::new() else { return };
    let (_, found) = examined(program::directory(), &host, Rights::Group);
    assert_eq!(found.expect("problem", "configuration"), "there is no pingtest.toml");
    let dir = furnished(TARGET);
    fs::set_permissions(dir.path().join("pingtest.toml"), Permissions::from_mode(0o600)).expect("it is ours");
    let (_, found) = examined(dir, &host, Rights::Group);
    let told = found.expect("problem", "configuration");
    assert!(told.starts_with("pingtest.toml may not be read by "), "{told}");
}

#[test]
fn a_log_directory_that_is_not_ours_is_a_problem_and_files_that_root_left_are_named() {
    let Some(host) = Namespace::new() else { return };
    let dir = furnished(&format!("{HERE}{TARGET}"));
    fs::create_dir(dir.path().join("log")).expect("the directory is ours");
    let (_, found) = examined(dir, &host, Rights::Group);
    assert_eq!(found.problems(), ["log directory"]);
    assert!(found.expect("problem", "log directory").ends_with("it belongs to root"), "{}", found.0);

    let dir = furnished(&format!("{HERE}{TARGET}"));
    let log = dir.path().join("log");
    fs::create_dir(&log).and_then(|()| fs::write(log.join("127.0.0.1.log"), "")).expect("the directory is ours");
    chown(&log, Some(NOBODY), None).expect("root may");
    let (_, found) = examined(dir, &host, Rights::Group);
    assert_eq!(found.problems(), [""; 0]);
    let told = found.expect("warning", "log directory");
    assert!(told.starts_with("1 file cannot be written to by ") && told.ends_with("log/127.0.0.1.log"), "{told}");
}

#[test]
fn a_read_only_file_system_is_told_even_to_root() {
    let Some(host) = Namespace::new() else { return };
    let dir = furnished(&format!("{HERE}{TARGET}"));
    fs::create_dir(dir.path().join("log")).expect("the directory is ours");
    // ip(8) gives what it starts a mount namespace of its own.
    let mut command = host.command("sh");
    let mount = "mount --bind log log && mount -o remount,bind,ro log && exec \"$0\" \"$@\"";
    command.args(["-c", mount, env!("CARGO_BIN_EXE_pingtest")]);
    let ended = Program::spawn(dir, command, &["doctor", "--config", "pingtest.toml"]).ended(PATIENCE);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("Read-only file system"), "{ended:?}");
    assert!(
        ended.stdout.ends_with("\n1 problem would stop pingtest here.\n")
            || ended.stdout.contains("1 problem would stop")
    );
}

#[test]
fn a_daemon_that_runs_is_noted_and_another_one_on_its_log_is_a_problem() {
    let Some(host) = Namespace::new() else { return };
    let daemon = Daemon::start(&host, Rights::Root, &format!("[control]\nsocket = \"control.sock\"\n{TARGET}"));
    daemon.program.wait_for("log/pingtest.log", "reply", |text| text.contains("reply"));
    let dir = daemon.program.dir().to_owned();
    let examine = |config: &Path| {
        let mut command = program::command(&host, Rights::Root, &dir);
        command.args(["doctor", "--config"]).arg(config).current_dir(&dir);
        let output = command.output().expect("the program can be started");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (code, told) = examine(&dir.join("pingtest.toml"));
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains(&format!(" as process {}", daemon.program.id())), "{told}");
    let other =
        fs::read_to_string(dir.join("pingtest.toml")).expect("it is there").replace("control.sock", "other.sock");
    fs::write(dir.join("other.toml"), other).expect("the directory is ours");
    let (code, told) = examine(&dir.join("other.toml"));
    assert_eq!(code, Some(1), "{told}");
    let found = format!("PROBLEM  log directory   process {} writes to log", daemon.program.id());
    assert!(told.starts_with(&found), "{told}");
    daemon.stop();
}

#[test]
fn root_judges_from_the_place_of_the_services_user() {
    let Some(host) = Namespace::new() else { return };
    host.etc("passwd", "root:x:0:0::/root:/bin/sh\npingtest:x:65534:65534::/:/usr/sbin/nologin\n");
    let dir = furnished(&format!("{HERE}{TARGET}"));
    fs::create_dir(dir.path().join("log")).expect("the directory is ours");
    let (_, found) = examined(dir, &host, Rights::Root);
    assert_eq!(found.user(), "pingtest");
    assert_eq!(found.problems(), ["log directory"]);
    assert_eq!(found.expect("ok", "sockets"), "raw ICMP sockets can be opened (CAP_NET_RAW)");
    assert!(found.expect("note", "user").starts_with("judged for pingtest with CAP_NET_RAW"));
}

#[test]
fn names_that_lead_nowhere_and_name_servers_that_are_silent_hold_nothing_up() {
    let Some(host) = Namespace::new() else { return };
    host.etc("resolv.conf", "nameserver 127.0.0.1\n");
    host.etc("nsswitch.conf", "hosts: dns\n");
    let server = NameServer::start(&host, "127.0.0.1", Reply::Silence);
    server.set("gone.example", Reply::NoSuchName);
    server.set("here.example", Reply::addr("127.0.0.2"));
    let names = ["gone", "here", "slow"].map(|name| format!("[[target]]\nhost = \"{name}.example\"\n")).concat();
    let watch = Stopwatch::start();
    let (_, found) = examined(furnished(&format!("{HERE}{names}")), &host, Rights::Root);
    assert!(watch.elapsed() < Duration::from_secs(9), "{:?}", watch.elapsed());
    assert_eq!(found.problems(), [""; 0]);
    let told = found.0.to_string();
    assert!(told.contains("1 name leads to no address: gone.example ("), "{told}");
    assert!(told.contains("no answer within 4 s for 1 name: slow.example"), "{told}");
}

#[test]
fn what_the_configuration_wants_and_this_machine_lacks_is_named() {
    let Some(host) = Namespace::new() else { return };
    let config = format!(
        "{HERE}group = \"no-such-group\"\n{TARGET}\
         [[target]]\nhost = \"127.0.0.2\"\ninterface = \"none0\"\n\
         [[target]]\nhost = \"127.0.0.3\"\nsource = \"10.99.9.9\"\n\
         [[hook]]\non = [\"outage_began\"]\ncommand = [\"/no/such/command\"]\n"
    );
    let (_, found) = examined(furnished(&config), &host, Rights::Root);
    assert_eq!(found.problems(), [""; 0]);
    let told = found.0.to_string();
    for wanted in [
        r#"interface \"none0\" of target \"127.0.0.2\": there is no such interface"#,
        r#"source \"10.99.9.9\" of target \"127.0.0.3\": this machine does not have it"#,
        r#"there is no group \"no-such-group\""#,
        "/no/such/command cannot be run: No such file or directory",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
}

#[test]
fn loopback_that_a_firewall_closes_is_noticed() {
    let Some(host) = Namespace::new() else { return };
    host.nft(&["input meta l4proto { icmp, icmpv6 } drop"]);
    let (_, found) = examined(furnished(&format!("{HERE}{TARGET}")), &host, Rights::Root);
    let told = found.expect("warning", "loopback");
    assert!(told.contains("IPv4: no answer within a second"), "{told}");
}

#[test]
fn a_time_namespace_is_noted() {
    let Some(host) = Namespace::new() else { return };
    let dir = furnished(&format!("{HERE}{TARGET}"));
    let mut command = host.command("unshare");
    command.args(["--time", "--kill-child", "--monotonic", "1000", "--boottime", "0", env!("CARGO_BIN_EXE_pingtest")]);
    let ended = Program::spawn(dir, command, &["doctor", "--config", "pingtest.toml"]).ended(PATIENCE);
    if ended.stderr.contains("unshare") {
        return net::skip(&format!("time namespaces cannot be used here ({})", ended.stderr.trim()));
    }
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("shifts the clocks: monotonic by 1000 s"), "{}", ended.stdout);
}

/// A machine whose systemd knows a unit that fails again and again, without the capability that the packages give it.
const WITH_UNIT: &str = r#"
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system /run/bin || exit 2
cat > /run/bin/systemctl <<'END'
#!/bin/sh
echo LoadState=loaded; echo ActiveState=activating; echo SubState=auto-restart; echo Result=exit-code
echo ExecMainCode=1; echo ExecMainStatus=77; echo NRestarts=9; echo User=nobody; echo LimitNOFILE=64
echo AmbientCapabilities=; echo CapabilityBoundingSet=
END
chmod +x /run/bin/systemctl
PATH=/run/bin:$PATH exec "$0" "$@"
"#;

#[test]
fn the_service_is_judged_with_what_its_unit_gives_it() {
    let Some(host) = Namespace::new() else { return };
    let mut command = host.command("sh");
    command.args(["-c", WITH_UNIT, env!("CARGO_BIN_EXE_pingtest")]);
    let dir = furnished(&format!("{HERE}{TARGET}"));
    let ended = Program::spawn(dir, command, &["doctor", "--config", "pingtest.toml"]).ended(PATIENCE);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for wanted in [
        "nobody has no CAP_NET_RAW",
        "systemctl edit pingtest.service: [Service], AmbientCapabilities=CAP_NET_RAW",
        "pingtest.service fails again and again: exit code 77, started anew 9 times (exit-code)",
        "judged for nobody without CAP_NET_RAW, as pingtest.service runs",
        "64 allowed; 1 log file can be kept open",
    ] {
        assert!(ended.stdout.contains(wanted), "{wanted}: {}", ended.stdout);
    }
}
