//! What the packages install fits together: units, example drop-ins, configuration, and where the program looks for things. What it
//! takes to make and to install them is `packaging/check`'s affair and that of the tests under a real systemd.

#![allow(clippy::unwrap_used, reason = "helpers of a test may fail it")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use pingtest::config::{self, Environment, Settings};

const SERVICE: &str = "usr/lib/systemd/system/pingtest.service";
const TEMPLATE: &str = "usr/lib/systemd/system/pingtest@.service";
const EXAMPLES: &str = "usr/share/doc/pingtest/examples";

/// Key and value of each setting, in order. No line is continued, and no key is in two sections.
type Unit = Vec<(String, String)>;

#[test]
fn the_service_has_the_directories_that_the_program_takes_by_default() {
    let (unit, text) = (unit(SERVICE), read("../config/pingtest.toml"));
    let settings = |environment| config::parse_str(&text, Path::new("pingtest.toml"), environment).unwrap();
    let (as_service, by_hand) = (settings(&environment(&unit)), settings(&Environment::default()));
    assert_eq!(paths(&as_service), paths(&by_hand));
    assert_eq!(
        paths(&by_hand),
        ["/var/log/pingtest", "/var/lib/pingtest/ledger.db", "/run/pingtest/control.sock"].map(PathBuf::from)
    );
}

#[test]
fn the_example_of_an_instance_names_the_paths_that_the_service_would_take_by_itself() {
    let unit = unit(TEMPLATE).into_iter().map(|(key, value)| (key, value.replace("%i", "office"))).collect();
    let text = read(&format!("{EXAMPLES}/instance.toml"));
    let written = config::parse_str(&text, Path::new("office.toml"), &Environment::default()).unwrap();
    let bare = config::parse_str("[[target]]\nhost = \"::1\"", Path::new("office.toml"), &environment(&unit)).unwrap();
    assert_eq!(paths(&written), paths(&bare));
    assert!(value(&unit, "ExecStart").ends_with(" --config /etc/pingtest/office.toml"));
}

/// Its configuration and directories apart, an instance is the service.
#[test]
fn an_instance_differs_from_the_service_in_what_is_its_own() {
    let own = [
        "Description",
        "ExecStart",
        "ExecReload",
        "LogsDirectory",
        "LogsDirectoryMode",
        "Environment",
        "StateDirectory",
        "RuntimeDirectory",
    ];
    let shared = |path| -> Unit { unit(path).into_iter().filter(|(key, _)| !own.contains(&key.as_str())).collect() };
    assert_eq!(shared(SERVICE), shared(TEMPLATE));
    assert!(shared(SERVICE).len() > 40);
}

/// systemd's own check of the sandbox is `packaging/check`'s. This is what it would not mind.
#[test]
fn the_service_never_gives_up_and_has_one_capability() {
    for path in [SERVICE, TEMPLATE] {
        let unit = unit(path);
        for (key, wanted) in [
            ("Type", "notify"),
            ("Restart", "always"),
            ("StartLimitIntervalSec", "0"),
            ("After", "network.target"),
            ("User", "pingtest"),
            ("AmbientCapabilities", "CAP_NET_RAW"),
            ("CapabilityBoundingSet", "CAP_NET_RAW"),
            ("UMask", "0027"),
            ("OOMPolicy", "continue"),
            ("ReadWritePaths", "/var/log /var/lib"),
        ] {
            assert_eq!(value(&unit, key), wanted, "{key} of {path}");
        }
        let awaits_network = unit.iter().any(|(_, value)| value.contains("network-online"));
        assert!(!awaits_network, "{path} waits for the network");
    }
}

#[test]
fn user_and_directories_are_those_of_the_service() {
    let service = unit(SERVICE);
    assert!(read("usr/lib/sysusers.d/pingtest.conf").contains(&format!("\nu {} - ", value(&service, "User"))));
    let mode = value(&service, "LogsDirectoryMode");
    assert!(
        read("usr/lib/tmpfiles.d/pingtest.conf")
            .contains(&format!("\nd /var/log/pingtest {mode} pingtest pingtest -\n"))
    );
}

#[test]
fn each_example_says_where_it_belongs() {
    let dir = root().join(EXAMPLES);
    let mut seen = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.extension().is_none_or(|extension| extension != "conf") {
            continue;
        }
        let place = match name.starts_with("60-") {
            true => format!("# As /etc/sysctl.d/{name}"),
            false => format!("# As /etc/systemd/system/pingtest.service.d/{name}."),
        };
        assert!(fs::read_to_string(&path).unwrap().contains(&place), "{name} does not say: {place}");
        seen += 1;
    }
    assert!(seen >= 8, "{seen}");
}

/// A drop-in may be wrong in what it takes away, which nothing else would notice.
#[test]
fn each_setting_that_an_example_empties_is_one_of_the_service() {
    let service = unit(SERVICE);
    for entry in fs::read_dir(root().join(EXAMPLES)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "conf") {
            continue;
        }
        for (key, _) in parse(&fs::read_to_string(&path).unwrap()).iter().filter(|(_, value)| value.is_empty()) {
            assert!(service.iter().any(|(known, _)| known == key), "{}: {key}", path.display());
        }
    }
}

#[test]
fn every_file_of_configuration_is_marked_as_one() {
    let manifest = fs::read_to_string(root().join("../Cargo.toml")).unwrap();
    for file in ["/etc/pingtest/pingtest.toml", "/etc/pingtest/targets.d/README"] {
        assert!(manifest.contains(&format!("{file:?}")), "{file}");
    }
    let ours: Vec<_> = fs::read_dir(root().join("etc/pingtest/targets.d")).unwrap().collect();
    assert_eq!(ours.len(), 1, "what is there is part of everybody's configuration");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn unit(path: &str) -> Unit {
    parse(&read(path))
}

fn parse(text: &str) -> Unit {
    let settings = text.lines().filter(|line| !line.starts_with(['#', '[']) && !line.is_empty());
    settings.map(|line| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).unwrap()).collect()
}

/// The only value of `key`.
fn value<'a>(unit: &'a Unit, key: &str) -> &'a str {
    let values: Vec<_> = unit.iter().filter(|(known, _)| known == key).map(|(_, value)| value.as_str()).collect();
    let [value] = values[..] else { panic!("{key} is set to {values:?}") };
    value
}

/// As systemd.exec(5) has systemd tell a service of its directories, unless the unit does.
fn environment(unit: &Unit) -> Environment {
    let directory = |variable: &str, key: &str, base: &str| -> Option<OsString> {
        let told = unit
            .iter()
            .filter(|(key, _)| key == "Environment")
            .find_map(|(_, value)| value.strip_prefix(variable)?.strip_prefix('='));
        Some(told.map_or_else(|| format!("{base}/{}", value(unit, key)), str::to_owned).into())
    };
    Environment {
        logs_directory: directory("LOGS_DIRECTORY", "LogsDirectory", "/var/log"),
        state_directory: directory("STATE_DIRECTORY", "StateDirectory", "/var/lib"),
        runtime_directory: directory("RUNTIME_DIRECTORY", "RuntimeDirectory", "/run"),
    }
}

fn paths(settings: &Settings) -> [PathBuf; 3] {
    let path = |path: &Option<PathBuf>| path.clone().unwrap();
    [settings.log.dir.clone(), path(&settings.ledger.path), path(&settings.control.socket)]
}
