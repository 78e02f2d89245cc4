//! Facts and what is said of them, word for word.

use std::path::PathBuf;
use std::time::Duration;

use super::super::facts::*;
use super::*;

fn path(text: &str) -> PathBuf {
    text.into()
}

/// A machine on which nothing is wrong.
fn well() -> Facts {
    let family = |name| Family { name, opened: Opened::Raw, loopback: Some(Loopback::Answered), wanted: true };
    let there = |role, dir| Place { role, dir: path(dir), state: PlaceState::There(directory()) };
    Facts {
        whom: Whom { user: "pingtest".into(), groups: vec![990], standing: Standing::Own },
        configuration: Configuration::Sound { path: path("/c.toml"), files: 2, targets: 212, exposed: None },
        network: Network {
            families: vec![family("IPv4"), family("IPv6")],
            cap_net_raw: Some(true),
            ping_groups: Some((1, 0)),
            options: Vec::new(),
            buffer: Some(Buffer { rate: 212.0, replies: 888, wanted: 106, needs: 125_000, rmem_max: Some(212_992) }),
            ipv6_disabled: false,
        },
        places: vec![there(Role::Log, "/var/log/pingtest"), there(Role::Ledger, "/var/lib/pingtest")],
        control: Some(Control {
            socket: path("/run/pingtest/control.sock"),
            daemon: Daemon::Nobody,
            refused: None,
            unknown_group: None,
        }),
        hooks: vec![Hook { program: "/usr/local/bin/tell".into(), refused: None }],
        names: Names { asked: 3, within: Duration::from_secs(4), ..Names::default() },
        descriptors: Some(Descriptors { limit: 524_288, files: 16_384, wanted: 212 }),
        machine: Machine {
            systemd: true,
            journald: true,
            clock: Clock::Synchronised,
            unit: Some(unit()),
            container: None,
            sys_read_only: false,
            time_offsets: Some((0, 0)),
        },
    }
}

fn directory() -> Directory {
    let volume = Volume { kind: None, free: 50 << 30, inodes: Some(3_000_000), budget: Some(10 << 30) };
    let owner = "pingtest".into();
    Directory { refused: None, owner, foreign: None, is_shut_to_adm: false, held_by: None, volume: Some(volume) }
}

fn unit() -> Unit {
    Unit {
        name: "pingtest.service".into(),
        load: "loaded".into(),
        active: "active".into(),
        sub: "running".into(),
        file: "enabled".into(),
        result: "success".into(),
        ended: String::new(),
        restarts: 0,
        user: "pingtest".into(),
        net_raw: true,
        net_admin: false,
        descriptors: Some(524_288),
        told: [None, None, None],
        watchdog: "30s".into(),
        directories: vec![path("/var/log/pingtest"), path("/var/lib/pingtest")],
        is_strict: true,
        writable: vec![path("/srv")],
        closed: Vec::new(),
        misplaced: Vec::new(),
    }
}

/// As root sees it, from the place of the service's user.
const IN_PLACE: Standing = Standing::InPlace { net_raw: true };

fn spoilt(facts: &mut Facts) -> &mut Unit {
    facts.machine.unit.as_mut().expect("there is one")
}

/// What is not as it should be, in the words that are shown.
fn told(facts: &Facts) -> String {
    let told = judge(facts).into_iter().filter(|finding| finding.level != Level::Ok);
    let lines = told.flat_map(|Finding { level, check, found, means, cures }| {
        let first = format!("{level:?} {check}: {found}");
        let means = (!means.is_empty()).then_some(means);
        [first].into_iter().chain(means).chain(cures.into_iter().map(|cure| format!("- {cure}"))).collect::<Vec<_>>()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What is said of a machine on which this alone is wrong.
fn told_of(spoil: impl FnOnce(&mut Facts)) -> String {
    let mut facts = well();
    spoil(&mut facts);
    told(&facts)
}

fn level_of(check: &str, spoil: impl FnOnce(&mut Facts)) -> Option<Level> {
    let mut facts = well();
    spoil(&mut facts);
    judge(&facts).iter().find(|finding| finding.check == check).map(|finding| finding.level)
}

fn log_state(state: PlaceState) -> impl FnOnce(&mut Facts) {
    move |facts| facts.places[0].state = state
}

fn log_volume(spoil: impl FnOnce(&mut Volume)) -> impl FnOnce(&mut Facts) {
    let mut directory = directory();
    directory.volume.as_mut().map(spoil).expect("it has one");
    log_state(PlaceState::There(directory))
}

#[test]
fn of_a_sound_machine_everything_is_ok_and_told() {
    let findings = judge(&well());
    assert_eq!(told(&well()), "");
    let shown: Vec<_> = findings.iter().map(|finding| format!("{}: {}", finding.check, finding.found)).collect();
    let expected = [
        "user: judged for pingtest, who runs this",
        "configuration: /c.toml: 212 targets in 2 files",
        "sockets: raw ICMP sockets can be opened (CAP_NET_RAW)",
        "loopback: a probe to loopback was answered",
        "receive buffer: room for 888 replies; 106 needed for 212 probes/s",
        "log directory: /var/log/pingtest can be written to, 50.0 GiB free",
        "ledger: /var/lib/pingtest can be written to, 50.0 GiB free",
        "descriptors: 524288 allowed; 212 log files can be kept open",
        "control socket: /run/pingtest/control.sock is free",
        "hooks: 1 command can be run",
        "names: 3 names found",
        "clock: the wall clock is kept synchronised",
        "journal: journald takes what pingtest says about itself",
        "service: pingtest.service is active and enabled",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn the_worst_comes_first() {
    let mut facts = well();
    facts.machine.journald = false;
    facts.machine.clock = Clock::Unsynchronised;
    facts.configuration = Configuration::Missing(path("/c.toml"));
    let levels: Vec<_> = judge(&facts).iter().map(|finding| finding.level).collect();
    assert_eq!(levels[..4], [Level::Problem, Level::Warning, Level::Note, Level::Ok]);
}

#[test]
fn a_bad_configuration_is_told_with_the_place_of_its_first_mistake() {
    let (first, path) = ("/c.toml:6: target \"a\": ttl = 300: must be at least 1".to_owned(), path("/c.toml"));
    let expected = "Problem configuration: 2 mistakes, the first: /c.toml:6: target \"a\": ttl = 300: must be at least 1\n\
                    pingtest does not start. What depends on it is not judged here.\n\
                    - pingtest check --config /c.toml";
    assert_eq!(told_of(|facts| facts.configuration = Configuration::Bad { count: 2, first, path }), expected);
}

#[test]
fn a_configuration_that_may_not_be_read_names_who_may_not() {
    let told = told_of(|facts| facts.configuration = Configuration::Denied(path("/c.toml")));
    let expected = "Problem configuration: /c.toml may not be read by pingtest\n\
                    pingtest does not start. What depends on it is not judged here.\n\
                    - let pingtest read it: setfacl -m u:pingtest:r /c.toml\n\
                    - namei -l /c.toml shows which directory or file refuses";
    assert_eq!(told, expected);
}

#[test]
fn a_secret_that_everybody_may_read_is_a_warning() {
    let told = told_of(|facts| {
        let exposed = Some(path("/c.toml"));
        facts.configuration = Configuration::Sound { path: path("/c.toml"), files: 1, targets: 1, exposed };
    });
    let expected = "Warning configuration: everybody may read /c.toml, and the configuration has a webhook's address\n\
                    Whoever knows the address can post there.\n\
                    - chgrp pingtest /c.toml && chmod 640 /c.toml";
    assert_eq!(told, expected);
}

fn deny(facts: &mut Facts) {
    facts.network.cap_net_raw = Some(false);
    for family in &mut facts.network.families {
        (family.opened, family.loopback) = (Opened::Denied("Permission denied".into()), None);
    }
}

#[test]
fn without_any_right_the_cures_are_named_and_why_none_is_in_force() {
    let expected = "Problem sockets: not allowed to open ICMP sockets (Permission denied): pingtest has no CAP_NET_RAW, \
                    and net.ipv4.ping_group_range is closed\n\
                    pingtest exits with code 77 at once.\n\
                    - setcap cap_net_raw+ep /usr/bin/pingtest\n\
                    - in a unit: AmbientCapabilities=CAP_NET_RAW\n\
                    - sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"\n\
                    - echo 'net.ipv4.ping_group_range = 0 2147483647' > /etc/sysctl.d/60-pingtest.conf && sysctl --system";
    let told = told_of(|facts| {
        deny(facts);
        facts.machine.unit = None;
    });
    assert!(told.starts_with(expected), "{told}");
    let told = told_of(|facts| {
        deny(facts);
        facts.network.ping_groups = Some((0, 100));
        facts.machine.sys_read_only = true;
        facts.machine.container = Some("/.dockerenv".into());
    });
    assert!(told.contains("none of its groups is within net.ipv4.ping_group_range 0 100\n"), "{told}");
    assert!(told.contains("- docker run --sysctl ") && !told.contains("- sysctl"), "{told}");
}

#[test]
fn a_family_that_cannot_be_used_is_a_warning_only_where_a_target_wants_it() {
    for (wanted, level) in [(true, Level::Warning), (false, Level::Note)] {
        let spoil = |facts: &mut Facts| {
            let opened = Opened::Unsupported;
            facts.network.families[1] = Family { name: "IPv6", opened, loopback: None, wanted };
        };
        assert_eq!(level_of("IPv6", spoil), Some(level));
    }
}

#[test]
fn an_option_that_is_not_permitted_stops_pingtest_and_a_missing_interface_does_not() {
    let refused = |why| {
        move |facts: &mut Facts| {
            facts.network.options =
                vec![RefusedOption { target: "vpn".into(), option: "interface \"wg0\"".into(), why }];
        }
    };
    assert_eq!(level_of("socket options", refused(WhyRefused::NotPermitted)), Some(Level::Problem));
    let expected = "Warning socket options: interface \"wg0\" of target \"vpn\": there is no such interface\n\
                    Its probes are \"not sent\" until there is.\n\
                    - ip -br link shows those that there are";
    assert_eq!(told_of(refused(WhyRefused::NoInterface)), expected);
}

#[test]
fn ipv6_that_is_switched_off_is_told_once_and_not_by_its_loopback() {
    let told = told_of(|facts| {
        facts.network.ipv6_disabled = true;
        facts.network.families[1].wanted = false;
        facts.network.families[1].loopback = Some(Loopback::NotSent("Cannot assign requested address".into()));
    });
    assert_eq!(told, "Note IPv6: IPv6 is switched off on all interfaces\nNo target asks for it.");
}

#[test]
fn loopback_that_is_silent_stops_nothing_and_is_a_warning() {
    let silence = |facts: &mut Facts, count| {
        facts.network.families.iter_mut().take(count).for_each(|family| family.loopback = Some(Loopback::Silent));
    };
    let expected = "Warning loopback: loopback does not answer (IPv4: no answer within a second; IPv6: no answer within a second)\n\
                    That packets are received cannot be proved then, and systemd's watchdog is fed without that proof.\n\
                    - ip link set lo up\n\
                    - let a firewall pass ICMP on lo: nft insert rule inet filter input iif lo accept";
    assert_eq!(told_of(|facts| silence(facts, 2)), expected);
    assert_eq!(level_of("loopback", |facts| silence(facts, 1)), Some(Level::Note));
}

#[test]
fn a_buffer_too_small_for_the_rate_tells_what_the_limit_must_be() {
    let buffer = Buffer { rate: 10_000.0, replies: 180, wanted: 5000, needs: 5_900_000, rmem_max: Some(212_992) };
    let expected = "Warning receive buffer: room for 180 replies (net.core.rmem_max 212992); 5000 needed for 10000 probes/s\n\
                    Where this machine stalls for half a second, replies are dropped, and their probes are \"not measured\".\n\
                    - sysctl -w net.core.rmem_max=5900000\n\
                    - echo 'net.core.rmem_max = 5900000' > /etc/sysctl.d/60-pingtest-buffers.conf && sysctl --system\n\
                    - in the unit: CAP_NET_ADMIN, which is not bound by that limit";
    assert_eq!(told_of(|facts| facts.network.buffer = Some(buffer)), expected);
}

#[test]
fn a_log_directory_that_cannot_be_written_to_stops_pingtest_and_a_ledgers_does_not() {
    let refused =
        Directory { refused: Some("Permission denied (os error 13)".into()), owner: "root".into(), ..directory() };
    let expected = "Problem log directory: /var/log/pingtest cannot be written to by pingtest: Permission denied (os error 13); \
                    it belongs to root\n\
                    pingtest exits with code 78 at once.\n\
                    - chown pingtest /var/log/pingtest\n\
                    - name another in the configuration: log.dir";
    assert_eq!(told_of(log_state(PlaceState::There(refused.clone()))), expected);
    assert_eq!(level_of("ledger", |facts| facts.places[1].state = PlaceState::There(refused)), Some(Level::Warning));
}

#[test]
fn a_file_that_root_left_costs_its_target_the_log_and_stops_nothing_unless_all_depends_on_it() {
    let left = |is_vital, name: &str| {
        let foreign = Some(Foreign { count: 1, first: path("/var/log/pingtest").join(name), is_vital });
        told_of(log_state(PlaceState::There(Directory { foreign, ..directory() })))
    };
    let expected = "Warning log directory: 1 file cannot be written to by pingtest: /var/log/pingtest/it's.log\n\
                    Left by a pingtest that ran as somebody else, most likely. pingtest starts, and probes; but their lines wait, \
                    and are dropped and counted when too many do.\n\
                    - chown pingtest '/var/log/pingtest/it'\\''s.log'";
    assert_eq!(left(false, "it's.log"), expected);
    let expected = "Problem log directory: 1 file cannot be written to by pingtest: /var/log/pingtest/pingtest.log\n\
                    Left by a pingtest that ran as somebody else, most likely. pingtest exits with code 78 at once.\n\
                    - chown pingtest /var/log/pingtest/pingtest.log";
    assert_eq!(left(true, "pingtest.log"), expected);
}

#[test]
fn a_directory_that_is_missing_is_no_matter_where_it_can_be_made_or_systemd_makes_it() {
    let missing = |refused: Option<&str>, by_systemd| {
        log_state(PlaceState::Missing { above: path("/var/log"), refused: refused.map(str::to_owned), by_systemd })
    };
    assert_eq!(level_of("log directory", missing(None, false)), Some(Level::Ok));
    assert_eq!(level_of("log directory", missing(Some("Permission denied"), true)), Some(Level::Ok));
    let expected = "Problem log directory: /var/log/pingtest is missing and cannot be made in /var/log: Permission denied\n\
                    pingtest exits with code 78 at once.\n\
                    - install -d -o pingtest -m 750 /var/log/pingtest";
    assert_eq!(told_of(missing(Some("Permission denied"), false)), expected);
}

#[test]
fn a_directory_that_the_sandbox_of_the_service_closes_is_a_problem_of_the_service_alone() {
    let elsewhere = |standing, dir: &str| {
        let dir = path(dir);
        move |facts: &mut Facts| (facts.whom.standing, facts.places[0].dir) = (standing, dir)
    };
    let told = told_of(elsewhere(IN_PLACE, "/data/log"));
    let expected = "Problem log directory: /data/log is outside of what pingtest.service may write to (ProtectSystem=strict)\n\
                    pingtest exits with code 78 at once.\n\
                    - systemctl edit pingtest.service: [Service], ReadWritePaths=/data/log; then systemctl restart pingtest.service\n";
    assert!(told.starts_with(expected), "{told}");
    assert_eq!(level_of("log directory", elsewhere(IN_PLACE, "/srv/log")), Some(Level::Ok));
    let bystander = || Standing::Bystander { service: "other".into() };
    assert_eq!(level_of("log directory", elsewhere(bystander(), "/data/log")), Some(Level::Ok));
}

#[test]
fn a_directory_that_is_missing_is_to_be_made_before_the_sandbox_is_opened_for_it() {
    let told = told_of(|facts| {
        facts.whom.standing = IN_PLACE;
        facts.places[0].dir = path("/data/my log");
        facts.places[0].state = PlaceState::Missing { above: path("/data"), refused: None, by_systemd: false };
    });
    let cure = "\n- install -d -o pingtest -m 750 '/data/my log'; then systemctl edit pingtest.service: [Service], \
                ReadWritePaths=\"/data/my log\"; then systemctl restart pingtest.service\n";
    assert!(told.contains(cure), "{told}");
}

#[test]
fn homes_and_read_only_paths_are_not_cured_by_opening_them_alone() {
    let closed = |dir: &str, by, is_hidden| {
        told_of(|facts| {
            facts.whom.standing = IN_PLACE;
            facts.places[0].dir = path(dir);
            let at = path(if by == "ProtectHome" { "/root" } else { dir });
            spoilt(facts).writable.push(path(dir));
            spoilt(facts).closed.push(Closed { path: at, by, is_hidden });
        })
    };
    let told = closed("/root/log", "ProtectHome", true);
    assert!(
        told.starts_with(
            "Problem log directory: /root/log is outside of what pingtest.service may write to (ProtectHome=)\n"
        ),
        "{told}"
    );
    assert!(told.contains("\n- name another in the configuration: log.dir\n- systemctl edit pingtest.service: [Service], ProtectHome=no, "), "{told}");
    let told = closed("/var/log/pingtest", "ReadOnlyPaths", false);
    assert!(told.contains("(ReadOnlyPaths=/var/log/pingtest)\n"), "{told}");
    assert!(
        told.contains("\n- systemctl cat pingtest.service shows which file sets ReadOnlyPaths=: take it out\n"),
        "{told}"
    );
}

#[test]
fn what_stands_where_systemd_makes_a_directory_stops_the_service() {
    let told = |link: Option<&str>| {
        told_of(|facts| {
            facts.whom.standing = IN_PLACE;
            facts.places[0].state = PlaceState::NotADirectory;
            let link = link.map(PathBuf::from);
            spoilt(facts).misplaced = vec![Misplaced { path: path("/var/log/pingtest"), link }];
        })
    };
    let expected = "Problem directories: /var/log/pingtest is a symbolic link\n\
                    pingtest.service needs a directory there, and systemd does not start it otherwise.\n\
                    - a bind mount does what the link was for: rm /var/log/pingtest && mkdir /var/log/pingtest && mount --bind /data \
                    /var/log/pingtest; to keep it, in /etc/fstab: /data /var/log/pingtest none bind\n";
    assert!(told(Some("/data")).starts_with(expected), "{}", told(Some("/data")));
    let expected = "Problem directories: /var/log/pingtest is not a directory\n\
                    pingtest.service needs a directory there, and systemd does not start it otherwise.\n\
                    - mv /var/log/pingtest /var/log/pingtest.old\n";
    assert!(told(None).starts_with(expected), "{}", told(None));
}

#[test]
fn a_bystander_is_not_told_to_take_anything_from_the_service() {
    let refused = Some("Permission denied (os error 13)".to_owned());
    let told = told_of(|facts| {
        facts.whom = Whom {
            user: "nobody".into(),
            groups: vec![65_534],
            standing: Standing::Bystander { service: "pingtest".into() },
        };
        deny(facts);
        for place in &mut facts.places {
            place.state = PlaceState::There(Directory { refused: refused.clone(), ..directory() });
        }
    });
    assert!(!told.contains("chown") && !told.contains("setcap"), "{told}");
    let expected = "Note user: judged for nobody, who runs this, and not for pingtest, as whom pingtest.service runs\n\
                    What nobody lacks, pingtest may have.\n\
                    - sudo pingtest doctor --config /c.toml: judges for the service";
    assert!(told.contains(expected), "{told}");
    assert!(
        told.contains("\npingtest exits with code 77 at once.\n- sudo pingtest doctor --config /c.toml\n"),
        "{told}"
    );
}

#[test]
fn a_bystander_who_may_not_read_the_configuration_is_sent_to_root() {
    let told = told_of(|facts| {
        facts.whom.standing = Standing::Bystander { service: "pingtest".into() };
        facts.configuration = Configuration::Denied(path("/etc/pingtest/pingtest.toml"));
    });
    assert!(!told.contains("setfacl"), "a secret may be in it: {told}");
    assert!(told.contains("\n- sudo pingtest doctor\n"), "{told}");
}

#[test]
fn a_log_that_is_closed_to_adm_is_noted_with_what_opens_it() {
    let told = told_of(log_state(PlaceState::There(Directory { is_shut_to_adm: true, ..directory() })));
    assert!(told.starts_with("Note log directory: the group adm cannot read /var/log/pingtest\n"), "{told}");
    assert!(told.ends_with("\n- systemd-tmpfiles --create pingtest.conf"), "{told}");
}

#[test]
fn a_layer_that_goes_with_its_container_is_told_only_where_there_is_one() {
    let told = |container: Option<&str>| {
        told_of(|facts| {
            log_volume(|volume| volume.kind = Some(VolumeKind::Overlay))(facts);
            facts.machine.container = container.map(str::to_owned);
        })
    };
    assert!(told(Some("/.dockerenv")).contains("\n- docker run -v pingtest-log:/var/log/pingtest …\n"));
    assert!(told(Some("podman")).contains("\n- podman run -v pingtest-log:/var/log/pingtest …\n"));
    for other in [None, Some("systemd-nspawn")] {
        assert!(!told(other).contains("layer"), "{}", told(other));
    }
}

#[test]
fn words_of_commands_are_quoted_where_a_shell_would_take_them_for_something_else() {
    assert_eq!(
        ["/a/b-c.log", "", "a b", "$(id)", "it's", "-rf", "ü"].map(quoted),
        ["/a/b-c.log", "''", "'a b'", "'$(id)'", "'it'\\''s'", "'./-rf'", "'ü'"]
    );
}

#[test]
fn disks_that_are_full_or_forget_are_warnings() {
    let warned = |spoil: fn(&mut Volume)| {
        let told = told_of(log_volume(spoil));
        told.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(warned(|volume| volume.free = 0), "Warning log directory: the disk of /var/log/pingtest is full");
    assert_eq!(
        warned(|volume| volume.inodes = Some(0)),
        "Warning log directory: the disk of /var/log/pingtest takes no more files"
    );
    assert_eq!(
        warned(|volume| volume.free = 3 << 29),
        "Warning log directory: /var/log/pingtest has 1.5 GiB free, and log.max_total allows 10.0 GiB more"
    );
    assert_eq!(
        warned(|volume| volume.kind = Some(VolumeKind::Memory)),
        "Warning log directory: /var/log/pingtest is in memory (tmpfs)"
    );
}

#[test]
fn another_process_on_the_log_is_a_problem_unless_it_is_the_daemon_that_answers() {
    let held = || log_state(PlaceState::There(Directory { held_by: Some(4711), ..directory() }));
    assert_eq!(level_of("log directory", held()), Some(Level::Problem));
    let told = told_of(|facts| {
        held()(facts);
        let daemon = Daemon::Answers { version: "0.1.0".into(), pid: Some(4711) };
        facts.control.as_mut().expect("there is one").daemon = daemon;
    });
    let expected = "Note log directory: process 4711 writes to /var/log/pingtest\n\
                    That is the running daemon. A second one with this configuration does not start.\n\
                    Note control socket: a daemon answers on /run/pingtest/control.sock: pingtest 0.1.0 as process 4711\n\
                    It is running already; all this is about the next start.";
    assert_eq!(told, expected);
}

#[test]
fn too_few_descriptors_lose_no_line() {
    let told = told_of(|facts| {
        facts.descriptors = Some(Descriptors { limit: 1024, files: 768, wanted: 10_000 });
    });
    let expected = "Warning descriptors: 1024 allowed: of 10000 log files, 768 can be kept open at a time\n\
                    The others are opened and closed again and again, which takes more of the processor. No line is lost for it.\n\
                    - systemctl edit pingtest.service: [Service], LimitNOFILE=16384\n\
                    - layout = \"combined\" in [log]: one file for all";
    assert_eq!(told, expected);
}

#[test]
fn names_without_an_address_stop_nothing() {
    let told = told_of(|facts| {
        let failed = ["a", "b", "c", "d"].map(|name| (name.to_owned(), "Name or service not known".to_owned()));
        facts.names.failed = failed.into();
        facts.names.silent = vec!["slow".into()];
    });
    let expected = "Warning names: 4 names lead to no address: a (Name or service not known), b (Name or service not known), \
                    c (Name or service not known) and 1 more\n\
                    pingtest starts and looks again; until then these are \"not measured\".\n\
                    - getent ahosts a\n\
                    Warning names: no answer within 4 s for 1 name: slow\n\
                    The name server is slow or silent. pingtest starts and looks again.\n\
                    - time getent ahosts slow\n\
                    - grep nameserver /etc/resolv.conf";
    assert_eq!(told, expected);
}

#[test]
fn a_hook_that_cannot_be_run_and_a_group_that_is_not_there_are_warnings() {
    let refused = Some("Permission denied (os error 13)".to_owned());
    let told = told_of(|facts| {
        facts.hooks[0].refused = refused;
        facts.control.as_mut().expect("there is one").unknown_group = Some("monitors".into());
    });
    let expected = "Warning control socket: there is no group \"monitors\", which control.group names\n\
                    Only root and pingtest may use /run/pingtest/control.sock.\n\
                    - groupadd --system monitors\n\
                    Warning hooks: /usr/local/bin/tell cannot be run: Permission denied (os error 13)\n\
                    Nobody is told by that hook.\n\
                    - ls -l /usr/local/bin/tell; chmod a+x /usr/local/bin/tell";
    assert_eq!(told, expected);
}

#[test]
fn the_service_is_told_by_its_state() {
    let of = |spoil: fn(&mut Unit)| {
        let mut unit = unit();
        spoil(&mut unit);
        let told = told_of(|facts| facts.machine.unit = Some(unit));
        told.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(of(|unit| unit.active = "failed".into()), "Warning service: pingtest.service has failed (success)");
    assert_eq!(of(|unit| unit.file = "disabled".into()), "Note service: pingtest.service is active, but disabled");
    assert_eq!(of(|unit| unit.load = "not-found".into()), "Note service: there is no pingtest.service");
    assert_eq!(of(|unit| unit.load = "masked".into()), "Warning service: pingtest.service is masked");
    assert_eq!(of(|unit| unit.watchdog = "infinity".into()), "Note service: pingtest.service has no watchdog");
    assert_eq!(of(|unit| unit.user = String::new()), "Note service: pingtest.service runs as root");
    assert_eq!(
        of(|unit| (unit.name, unit.active) = ("pingtest@a.service".into(), "failed".into())),
        "Warning service: pingtest@a.service has failed (success)"
    );
}

#[test]
fn a_service_that_fails_again_and_again_is_a_problem_though_systemd_calls_it_activating() {
    let crash = |unit: &mut Unit| {
        (unit.active, unit.result) = ("activating".into(), "exit-code".into());
        (unit.ended, unit.restarts) = ("exit code 77".into(), 12);
    };
    let expected = "Problem service: pingtest.service fails again and again: exit code 77, started anew 12 times (exit-code)\n\
                    It does not run: systemd starts it, and it ends at once.\n\
                    - journalctl -u pingtest.service -n 20 shows why";
    let waits = |facts: &mut Facts| {
        crash(spoilt(facts));
        spoilt(facts).sub = "auto-restart".into();
    };
    assert_eq!(told_of(waits), expected);
    let starts = |facts: &mut Facts| {
        crash(spoilt(facts));
        spoilt(facts).sub = "start".into();
    };
    assert_eq!(told_of(starts), expected);
    // The first start.
    assert_eq!(level_of("service", |facts| spoilt(facts).active = "activating".into()), Some(Level::Ok));
}

#[test]
fn root_says_in_whose_place_it_judged() {
    let told = told_of(|facts| facts.whom.standing = IN_PLACE);
    let expected = "Note user: judged for pingtest with CAP_NET_RAW, as pingtest.service runs\n\
                    Of its sandbox, no more is looked at than this and where it may write.";
    assert_eq!(told, expected);
    let told = told_of(|facts| {
        deny(facts);
        facts.whom.standing = Standing::InPlace { net_raw: false };
    });
    assert!(told.contains("Note user: judged for pingtest without CAP_NET_RAW, as pingtest.service runs\n"), "{told}");
    assert!(
        told.contains("\n- systemctl edit pingtest.service: [Service], AmbientCapabilities=CAP_NET_RAW, "),
        "{told}"
    );
}

#[test]
fn clocks_and_containers_are_worth_a_word() {
    let told = told_of(|facts| {
        facts.machine.time_offsets = Some((1000, 0));
        facts.machine.container = Some("docker".into());
        facts.machine.clock = Clock::Unknown("Operation not permitted".into());
    });
    let unsynchronised = told_of(|facts| {
        facts.machine.container = Some("docker".into());
        facts.machine.clock = Clock::Unsynchronised;
    });
    assert!(unsynchronised.contains("\n- on the host: timedatectl set-ntp true\n"), "{unsynchronised}");
    let expected = "Note clock: whether the wall clock is synchronised cannot be asked: Operation not permitted\n\
                    Note clocks shifted: a time namespace shifts the clocks: monotonic by 1000 s, boottime by 0 s\n\
                    pingtest measures by differences, so it does not matter. Times since the boot differ from the host's.\n\
                    Note container: this is a container (docker)\n\
                    Buffers and clock are the host's to set.";
    assert_eq!(told, expected);
}

#[test]
fn sizes_are_told_in_the_largest_unit() {
    assert_eq!(
        [0, 1023, 1024, 3 << 29, 1 << 40].map(bytes),
        ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 GiB", "1.0 TiB"]
    );
}
