//! The configuration from the outside: good files load, bad files are told off in exactly the words beside them, and
//! what ships is right. A new case is a new file; no Rust is needed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pingtest::config::settings::{DEFAULT_LEDGER, DEFAULT_MAX_SIZE, DEFAULT_MAX_TOTAL, DEFAULT_SOCKET};
use pingtest::config::{Action, Compress, Environment, Hook, Log, Rotate, Settings, Trigger, load, parse_str};
use pingtest::monitor::outage::{DegradedRules, Rules};
use pingtest::monitor::target::{Family, Host, Name};
use proptest::prelude::*;

/// A configuration without systemd.
fn read(path: impl AsRef<Path>) -> Settings {
    load(path.as_ref(), &Environment::default()).unwrap_or_else(|problems| panic!("\n{problems}"))
}

fn parse(text: &str) -> Result<Settings, String> {
    parse_str(text, Path::new("f"), &Environment::default()).map_err(|problems| problems.to_string())
}

/// The cases of a directory: its `*.toml` files, and `main.toml` of each directory in it.
fn cases(dir: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = entries
        .map(|path| if path.is_dir() { path.join("main.toml") } else { path })
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    cases.sort();
    cases
}

#[test]
fn every_bad_file_is_told_off_in_exactly_these_words() {
    let cases = cases("tests/config/bad");
    assert!(cases.len() >= 20, "only {} bad files", cases.len());
    let mut wrong = String::new();
    for path in cases {
        let dir = format!("{}/", path.parent().unwrap().display());
        let actual = match load(&path, &Environment::default()) {
            Ok(_) => "it loads".to_owned(),
            Err(problems) => problems.to_string().replace(&dir, "") + "\n",
        };
        let expected = fs::read_to_string(path.with_extension("expected")).unwrap_or_default();
        if actual != expected {
            wrong += &format!("\n=== {}\n--- expected\n{expected}--- actual\n{actual}", path.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_problem_is_one_line_with_its_file() {
    for path in cases("tests/config/bad") {
        let problems = load(&path, &Environment::default()).unwrap_err();
        for problem in problems.iter() {
            let text = problem.to_string();
            assert!(!text.contains(char::is_control) && text.starts_with("tests/config/bad/"), "{text}");
        }
    }
}

#[test]
fn every_good_file_loads() {
    for path in cases("tests/config/good") {
        read(path);
    }
}

#[test]
fn every_configuration_that_ships_loads() {
    for path in [cases("config"), cases("config/examples")].concat() {
        if path.exists() {
            read(path);
        }
    }
}

/// `text` with the comments removed from lines in which `prefix` precedes a key or a table.
fn uncommented(text: &str, prefix: &str) -> String {
    let is_toml = |line: &str| {
        let key = line.split_once(" = ").map_or("-", |(key, _)| key);
        line == "[[target]]" || line == "[[hook]]" || key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let lines = text.lines().map(|line| line.strip_prefix(prefix).filter(|rest| is_toml(rest)).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_sample_shows_the_defaults() {
    let sample = fs::read_to_string("config/pingtest.toml").unwrap();
    let explicit = uncommented(&sample, "# ");
    assert_eq!(explicit.matches("\ntimeout = ").count(), 1, "nothing was uncommented");
    assert_eq!(parse(&explicit), parse(&sample));
    let bare = parse("[[target]]\nhost = \"127.0.0.1\"\nname = \"localhost\"");
    assert_eq!(parse(&sample), bare);
}

#[test]
fn the_examples_within_the_sample_are_valid() {
    let sample = fs::read_to_string("config/pingtest.toml").unwrap();
    let settings = parse(&uncommented(&sample, "#   ")).unwrap();
    assert_eq!((settings.targets.len(), settings.hooks.len()), (4, 2));
    assert!(settings.targets[0].options.mark.is_some());
}

#[test]
fn the_quickstart_pings_this_machine_over_both_families() {
    let settings = read("config/quickstart.toml");
    let names: Vec<_> = settings.targets.iter().map(|target| target.name.as_str()).collect();
    assert_eq!(names, ["127.0.0.1", "::1"]);
    assert_eq!(settings.log.dir, Path::new("log"));
    assert_eq!(settings.ledger.path.as_deref(), Some(Path::new("log/ledger.db")));
    assert_eq!(settings.control.socket.as_deref(), Some(Path::new("log/control.sock")));
}

#[test]
fn included_targets_follow_those_of_the_main_file_in_the_order_of_their_paths() {
    let settings = read("tests/config/good/include/main.toml");
    let names: Vec<_> = settings.targets.iter().map(|target| target.name.as_str()).collect();
    assert_eq!(names, ["main", "single", "a", "b1", "b2"]);
    let files: Vec<_> = settings.files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(files, ["main.toml", "single.toml", "a.toml", "b.toml"]);
}

#[test]
fn an_included_target_inherits_the_defaults_of_the_main_file() {
    let settings = read("tests/config/good/include/main.toml");
    assert!(settings.targets.iter().all(|target| target.size == 100));
}

#[test]
fn both_makes_two_targets_with_phases_of_their_own() {
    let settings = parse("[[target]]\nhost = \"example.org\"\nfamily = \"both\"").unwrap();
    let [ipv4, ipv6] = &settings.targets[..] else { panic!("{settings:?}") };
    assert_eq!((ipv4.name.as_str(), ipv4.family), ("example.org.ipv4", Family::Ipv4));
    assert_eq!((ipv6.name.as_str(), ipv6.family), ("example.org.ipv6", Family::Ipv6));
    assert_eq!(ipv4.host, Host::Name("example.org".into()));
    assert_ne!(ipv4.phase, ipv6.phase);
}

/// Whose child each target is.
fn parents(settings: &Settings) -> Vec<(&str, Option<&str>)> {
    settings
        .targets
        .iter()
        .map(|target| (target.name.as_str(), target.rules.parent.as_ref().map(Name::as_str)))
        .collect()
}

#[test]
fn a_parent_of_both_families_is_meant_leg_by_leg() {
    let settings = read("tests/config/good/parents.toml");
    let expected = [
        ("gw.ipv4", None),
        ("gw.ipv6", None),
        ("example.org.ipv4", Some("gw.ipv4")),
        ("example.org.ipv6", Some("gw.ipv6")),
        ("192.0.2.1", Some("gw.ipv4")),
        ("2001:db8::1", Some("gw.ipv6")),
        ("web001", Some("192.0.2.1")),
        ("web002", None),
    ];
    assert_eq!(parents(&settings), expected);
}

#[test]
fn a_leg_has_a_parent_without_legs_all_the_same() {
    let both = "[[target]]\nhost = \"example.org\"\nfamily = \"both\"\nparent = \"gw\"";
    let settings = parse(&format!("[[target]]\nhost = \"192.0.2.1\"\nname = \"gw\"\n{both}")).unwrap();
    let expected = [("gw", None), ("example.org.ipv4", Some("gw")), ("example.org.ipv6", Some("gw"))];
    assert_eq!(parents(&settings), expected);
}

#[test]
fn a_leg_that_is_the_inherited_parent_has_none() {
    let settings = parse("[defaults]\nparent = \"gw.ipv4\"\nfamily = \"both\"\n[[target]]\nhost = \"gw\"").unwrap();
    assert_eq!(parents(&settings), [("gw.ipv4", None), ("gw.ipv6", Some("gw.ipv4"))]);
}

#[test]
fn an_outage_is_three_losses_where_nobody_says() {
    let settings = parse("[[target]]\nhost = \"::1\"").unwrap();
    assert_eq!(*settings.targets[0].rules, Rules::default());
}

#[test]
fn rules_are_inherited_key_by_key() {
    let settings = parse(
        "[defaults]\ndown_after = 5\nburst = 2\nnew_id_after = \"off\"\nsuspect_interval = \"100ms\"\ndegraded_loss = \"20.5%\"\n\
         [[target]]\nhost = \"::1\"\nburst = 0\nup_after = 2\nmerge_within = \"1m\"\ndegraded_rtt = \"0.5ms\"\n\
         [[target]]\nhost = \"::2\"\ndegraded_loss = \"off\"\nsuspect_interval = \"off\"\nnew_id_after = 7\ndegraded_for = \"5m\"",
    );
    let [one, two] = &settings.unwrap().targets.iter().map(|target| (*target.rules).clone()).collect::<Vec<_>>()[..]
    else {
        panic!("two targets")
    };
    let degraded =
        DegradedRules { loss: Some(205), rtt: Some(Duration::from_micros(500)), within: Duration::from_secs(60) };
    let expected = Rules {
        down_after: 5,
        up_after: 2,
        merge_within: Duration::from_secs(60),
        suspect_interval: Some(Duration::from_millis(100)),
        burst: 0,
        new_id_after: None,
        parent: None,
        degraded: Some(degraded),
    };
    assert_eq!(*one, expected);
    assert_eq!((two.suspect_interval, two.new_id_after, two.burst, &two.degraded), (None, Some(7), 2, &None));
}

#[test]
fn targets_of_equal_rules_share_them() {
    let targets = "[[target]]\nhost = \"::1\"\n[[target]]\nhost = \"::2\"\ndown_after = 5\n\
                   [[target]]\nhost = \"::3\"\nparent = \"::1\"\n[[target]]\nhost = \"::4\"\nparent = \"::1\"";
    let settings = parse(&format!("[defaults]\ndown_after = 5\n{targets}")).unwrap();
    let rules: Vec<_> = settings.targets.iter().map(|target| &target.rules).collect();
    assert!(Arc::ptr_eq(rules[0], rules[1]) && Arc::ptr_eq(rules[2], rules[3]) && !Arc::ptr_eq(rules[0], rules[2]));
}

#[test]
fn a_look_at_the_default_route_is_cheap_and_taken_more_often() {
    let targets = "[[target]]\nhost = \"@gateway\"\n[[target]]\nhost = \"web001\"\n\
                   [[target]]\nhost = \"@gateway\"\nname = \"own\"\ninterface = \"eth0\"\nresolve_every = \"7s\"";
    let settings = parse(targets).unwrap();
    let seen = |index: usize| {
        let target = &settings.targets[index];
        (target.name.as_str(), target.host.to_string(), target.resolve_every.as_secs())
    };
    assert_eq!(seen(0), ("gateway", "@gateway".into(), 5));
    assert_eq!(seen(1), ("web001", "web001".into(), 60));
    assert_eq!(seen(2), ("own", "@gateway%eth0".into(), 7));
}

#[test]
fn ledger_and_socket_are_where_the_key_says_or_systemd_or_the_default() {
    let systemd = Environment {
        logs_directory: None,
        state_directory: Some("/var/lib/a:/var/lib/b".into()),
        runtime_directory: Some("/run/a".into()),
    };
    let paths = |keys: &str, environment: &Environment| {
        let text = format!("{keys}\n[[target]]\nhost = \"::1\"");
        let settings = parse_str(&text, Path::new("f"), environment).unwrap();
        let shown = |path: Option<PathBuf>| path.map_or("off".to_owned(), |path| path.display().to_string());
        [shown(settings.ledger.path), shown(settings.control.socket)]
    };
    let keys = "[ledger]\npath = \"x.db\"\n[control]\nsocket = \"x.sock\"";
    let off = "[ledger]\npath = \"off\"\n[control]\nsocket = \"off\"";
    assert_eq!(paths(keys, &systemd), ["x.db", "x.sock"]);
    assert_eq!(paths(off, &systemd), ["off", "off"]);
    assert_eq!(paths("", &systemd), ["/var/lib/a/ledger.db", "/run/a/control.sock"]);
    assert_eq!(paths("", &Environment::default()), [DEFAULT_LEDGER, DEFAULT_SOCKET]);
}

#[test]
fn a_hook_tells_once_of_each_thing_and_each_target() {
    let hook = "[[hook]]\non = [\"outage_ended\", \"outage_began\", \"outage_ended\"]\ncommand = [\"tell\", \"\"]\n\
                targets = [\"web\", \"web.ipv4\"]";
    let settings = parse(&format!("{hook}\n[[target]]\nhost = \"web\"\nfamily = \"both\"")).unwrap();
    let expected = Hook {
        on: vec![Trigger::OutageEnded, Trigger::OutageBegan],
        targets: settings.targets.iter().map(|target| target.name.clone()).collect(),
        action: Action::Command(vec!["tell".into(), String::new()]),
        timeout: Duration::from_secs(10),
    };
    assert_eq!(settings.hooks, [expected]);
}

/// `[log]` with these lines in it.
fn log(lines: &str) -> Log {
    parse(&format!("[log]\n{lines}\n[[target]]\nhost = \"::1\"")).unwrap().log
}

#[test]
fn logs_are_kept_for_a_month_within_ten_gibibytes_where_nobody_says() {
    let log = log("");
    assert_eq!((log.rotate, log.compress, log.sync), (Rotate::Daily, Compress::Zstd, None));
    assert_eq!(log.keep.map(|keep| keep.get()), Some(30));
    assert_eq!(log.max_size.map(|bytes| bytes.get()), Some(DEFAULT_MAX_SIZE));
    assert_eq!(log.max_total.map(|bytes| bytes.get()), Some(DEFAULT_MAX_TOTAL));
}

#[test]
fn zero_sets_no_limit_with_quotes_or_without() {
    for zero in ["0", "\"0\""] {
        let log = log(&format!("max_size = {zero}\nkeep = 0\nmax_total = {zero}"));
        assert_eq!((log.max_size, log.keep, log.max_total), (None, None, None));
    }
}

#[test]
fn a_budget_below_the_default_size_lowers_that_to_a_tenth() {
    let max_size = |lines| log(lines).max_size.map(|bytes| bytes.get());
    assert_eq!(max_size("max_total = \"50MB\""), Some(5_000_000));
    assert_eq!(max_size("max_total = \"100MiB\""), Some(DEFAULT_MAX_SIZE));
    assert_eq!(max_size("max_total = \"50MB\"\nmax_size = \"50MB\""), Some(50_000_000));
    assert_eq!(max_size("max_total = 0\nmax_size = \"1TiB\""), Some(1 << 40));
}

#[test]
fn a_source_decides_which_family_of_a_name_is_meant() {
    let settings = parse("[[target]]\nhost = \"example.org\"\nsource = \"2001:db8::1\"").unwrap();
    assert_eq!(settings.targets[0].family, Family::Ipv6);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let problems = load(Path::new("no/such.toml"), &Environment::default()).unwrap_err();
    assert_eq!(problems.to_string(), "no/such.toml: cannot be read: No such file or directory (os error 2)");
}

#[test]
fn ten_thousand_targets_load() {
    let text: String = (0..10_000).map(|i| format!("[[target]]\nhost = \"10.1.{}.{}\"\n", i / 250, i % 250)).collect();
    assert_eq!(parse(&text).map(|settings| settings.targets.len()), Ok(10_000));
}

proptest! {
    #[test]
    fn no_text_brings_the_reader_down(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn no_toml_like_text_brings_the_reader_down(
        parts in prop::collection::vec(prop::sample::select(PARTS), 0..40)
    ) {
        let _ = parse(&parts.concat());
    }

    #[test]
    fn no_change_to_the_sample_brings_the_reader_down(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..8_usize, REPLACEMENT), 1..6)
    ) {
        let sample = uncommented(include_str!("../config/pingtest.toml"), "# ");
        let mut text: Vec<char> = sample.chars().collect();
        for (at, len, replacement) in cuts {
            let start = at.index(text.len());
            let end = (start + len).min(text.len());
            text.splice(start..end, replacement.chars());
        }
        let _ = parse(&text.into_iter().collect::<String>());
    }

    #[test]
    fn a_problem_stays_on_its_line(key in "[a-z\"\\\\\u{1b}\n]{0,8}", value in any::<String>()) {
        if let Err(problems) = parse_str(&format!("{key} = {value:?}"), Path::new("f"), &Environment::default()) {
            for problem in problems.iter() {
                prop_assert!(!problem.to_string().contains(char::is_control));
            }
        }
    }
}

/// A few printable characters, or one that means something to TOML.
const REPLACEMENT: &str = "\\PC{0,3}|[\\x00-\\x20\"=\\[\\]{}.#]";

/// Pieces of TOML, to be strung together at random.
const PARTS: &[&str] = &[
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\n",
    " ",
    "#",
    "\"",
    "'",
    "\"\"\"",
    "target",
    "defaults",
    "log",
    "diagnostics",
    "ledger",
    "control",
    "hook",
    "on",
    "command",
    "webhook",
    "targets",
    "parent",
    "path",
    "socket",
    "burst",
    "degraded_loss",
    "suspect_interval",
    "new_id_after",
    "max_size",
    "max_total",
    "sync",
    "file",
    "host",
    "name",
    "include",
    "interval",
    "size",
    "1",
    "-",
    "1.5",
    "true",
    "\"1s\"",
    "\"1MiB\"",
    "\"20%\"",
    "\"off\"",
    "\"a\"",
    "\"outage_began\"",
    "\"https://a\"",
    "\"@gateway\"",
    "\"::1\"",
    "\"web001\"",
    "[[target]]\n",
    "[defaults]\n",
    "[log]\n",
    "[ledger]\n",
    "[control]\n",
    "[[hook]]\n",
    "host = \"a\"\n",
    "family = \"both\"\n",
    "source = \"::1\"\n",
    "\u{feff}",
    "\r",
    "ä",
    "\0",
];
