//! What ships is what is tested: the manual pages, the help, the journal's catalog, the seeds of the fuzz targets.

#![allow(clippy::unwrap_used, reason = "helpers of a test may fail it")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Output};

use chrono::Utc;
use pingtest::config::{self, Environment};
use pingtest::icmp::wire::{self, Framing};
use pingtest::logging::event::KINDS;
use pingtest::monitor::target::IpVersion;
use pingtest::sink::line::{Labels, Parser, StampFormat};

fn pingtest(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pingtest")).args(arguments).output().unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The manual pages: arguments that print one, and where it is in the package.
const PAGES: [(&[&str], &str); 4] = [
    (&["man"], "man1/pingtest.1"),
    (&["man", "pingtest"], "man1/pingtest.1"),
    (&["man", "pingtest.toml"], "man5/pingtest.toml.5"),
    (&["man", "pingtest.service"], "man8/pingtest.service.8"),
];

fn page(path: &str) -> String {
    fs::read_to_string(root().join("packaging/usr/share/man").join(path)).unwrap()
}

#[test]
fn the_manual_pages_in_the_package_are_those_the_program_prints() {
    for (arguments, path) in PAGES {
        let printed = pingtest(arguments);
        assert!(printed.status.success(), "{arguments:?}");
        let printed = String::from_utf8(printed.stdout).unwrap();
        assert!(printed == page(path), "run: cargo run -- {} > packaging/usr/share/man/{path}", arguments.join(" "));
    }
}

#[test]
fn man_shows_every_page_without_a_warning() {
    if Command::new("man").arg("--version").output().is_err() {
        skipped("man_shows_every_page_without_a_warning", "there is no man");
        return;
    }
    for (_, path) in PAGES {
        let path = root().join("packaging/usr/share/man").join(path);
        let shown = Command::new("man").args(["--warnings", "-E", "UTF-8", "-l"]).arg(&path).output().unwrap();
        let warnings = String::from_utf8_lossy(&shown.stderr);
        assert!(shown.status.success() && warnings.is_empty(), "{}: {warnings}", path.display());
        assert!(shown.stdout.len() > 1000, "{}", path.display());
    }
}

/// What a manual page would have between quotes.
fn roff(text: &str) -> String {
    text.replace('-', "\\-").replace('"', "\\(dq")
}

#[test]
fn the_manual_page_has_the_defaults_of_the_configuration() {
    let sample = fs::read_to_string(root().join("config/pingtest.toml")).unwrap();
    let page = page("man5/pingtest.toml.5");
    let defaults: Vec<_> =
        sample.lines().filter_map(|line| line.strip_prefix("# ")).filter_map(|line| line.split_once(" = ")).collect();
    let defaults: Vec<_> = defaults.into_iter().filter(|(key, _)| !key.contains(' ')).collect();
    assert!(defaults.len() > 25, "{defaults:?}");
    for (key, value) in defaults {
        let expected = format!(".BR {key} \" ({})\"\n", roff(value));
        assert!(page.contains(&expected), "{expected}");
    }
}

#[test]
fn the_manual_page_has_every_kind_of_event_and_every_field() {
    let page = page("man8/pingtest.service.8");
    let (_, journal) = page.split_once(".SH JOURNAL\n").unwrap();
    let (events, fields) = journal.split_once(".SS Fields\n").unwrap();
    for kind in KINDS {
        let is_head = |line: &&str| line.starts_with(".B") && words(line).any(|word| word == kind.word);
        assert!(events.lines().any(|line| is_head(&line)), "{}", kind.word);
    }
    let (fields, _) = fields.split_once(".SH ").unwrap();
    let explained: BTreeSet<_> = fields.lines().filter(|line| line.starts_with(".B")).flat_map(words).collect();
    let explained: BTreeSet<_> = explained.into_iter().filter(|word| word.starts_with("PINGTEST_")).collect();
    let sources = sources();
    let mut set: BTreeSet<_> = words(&sources).filter(|word| word.starts_with("PINGTEST_")).collect();
    assert!(set.remove("PINGTEST_EVENT") && set.len() > 20, "{set:?}");
    assert_eq!(explained, set);
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

fn skipped(test: &str, why: &str) {
    let _ = writeln!(io::stderr(), "skipped: {test}: {why}");
}

#[test]
fn arguments_that_cannot_work_are_refused_before_anything_is_sent() {
    for arguments in [
        &["ping", "fe80::1"][..],
        &["ping", "0.0.0.0"],
        &["ping", "224.0.0.1"],
        &["ping", "-4", "::1"],
        &["ping", "-I", "fe80::1%eth0", "::1"],
        &["ping", "-i", "0.01", "-W", "400", "127.0.0.1"],
        &["ping", "-o", "/no/such/directory/file", "127.0.0.1"],
        &["ping", "127.0.0.1", "127.0.0.1"],
    ] {
        let refused = pingtest(arguments);
        assert_eq!(refused.status.code(), Some(64), "{arguments:?}");
        assert!(refused.stdout.is_empty() && !refused.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let printed = String::from_utf8(pingtest(&["completions", shell]).stdout).unwrap();
        for command in ["run", "ping", "check", "doctor", "log", "man", "completions"] {
            assert!(printed.contains(command), "{shell} does not complete {command}");
        }
    }
}

/// Where fields for the journal are given their values.
fn sources() -> String {
    let mut paths: Vec<_> = ["src/daemon.rs", "src/logging/journal.rs"].map(|path| root().join(path)).into();
    paths.extend(fs::read_dir(root().join("src/daemon")).unwrap().map(|entry| entry.unwrap().path()));
    paths.iter().filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap()).collect()
}

const CATALOG: &str = "packaging/usr/lib/systemd/catalog/pingtest.catalog";

/// The entries of the catalog: identifier and text.
fn catalog() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join(CATALOG)).unwrap();
    let entries = text.split("\n-- ").skip(1).map(|entry| entry.split_once('\n').unwrap());
    entries.map(|(id, text)| (id.to_owned(), text.to_owned())).collect()
}

#[test]
fn the_catalog_explains_every_kind_of_event_and_no_other() {
    let explained: Vec<_> = catalog().into_iter().map(|(id, _)| id).collect();
    assert_eq!(explained, KINDS.iter().map(|kind| kind.message_id).collect::<Vec<_>>());
    for (id, text) in catalog() {
        let (headers, body) = text.split_once("\n\n").unwrap();
        let names: Vec<_> = headers.lines().map(|line| line.split(": ").next().unwrap()).collect();
        assert_eq!(names, ["Subject", "Defined-By", "Documentation"], "{id}");
        assert!(headers.contains("\nDefined-By: pingtest\n"), "{id}");
        assert!(body.trim().ends_with('.') && body.lines().all(|line| line.len() <= 80), "{id}: {body}");
    }
}

#[test]
fn the_catalog_names_only_fields_that_messages_have() {
    let sources = sources();
    for (id, text) in catalog() {
        for name in text.split('@').skip(1).step_by(2) {
            let is_set = sources.contains(&format!("{name} = ")) || sources.contains(&format!("\"{name}\", "));
            assert!(name.starts_with("PINGTEST_") && is_set, "{id}: {name}");
        }
    }
}

#[test]
fn journalctl_takes_the_catalog() {
    if Command::new("journalctl").arg("--version").output().is_err() {
        skipped("journalctl_takes_the_catalog", "there is no journalctl");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for part in ["usr/lib/systemd/catalog", "var/lib/systemd/catalog"] {
        fs::create_dir_all(dir.path().join(part)).unwrap();
    }
    fs::copy(root().join(CATALOG), dir.path().join("usr/lib/systemd/catalog/pingtest.catalog")).unwrap();
    let journalctl = |argument: &str| {
        let done = Command::new("journalctl").arg("--root").arg(dir.path()).arg(argument).output().unwrap();
        assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    journalctl("--update-catalog");
    let listed = journalctl("--list-catalog");
    assert_eq!(listed.lines().count(), KINDS.len(), "{listed}");
    for kind in KINDS {
        assert!(listed.contains(&format!("{} pingtest: ", kind.message_id)), "{}: {listed}", kind.word);
    }
}

#[test]
fn every_toml_in_the_readme_is_a_configuration() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let blocks: Vec<_> = readme.split("```toml\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        if let Err(problems) = config::parse_str(block, Path::new("README.md"), &Environment::default()) {
            panic!("{problems}\nin\n{block}");
        }
    }
}

#[test]
fn seeds_of_the_packet_decoder_go_through_it() {
    let seeds = seeds("packet");
    assert!(seeds.len() > 50, "{}", seeds.len());
    for bytes in seeds {
        each_mutation(&bytes, |bytes| {
            let _ = wire::decode_v4(bytes, Framing::Ipv4Header);
            let _ = wire::decode_v4(bytes, Framing::Bare);
            let _ = wire::decode_v6(bytes);
            let _ = wire::decode_quoted(IpVersion::V4, bytes);
            let _ = wire::decode_quoted(IpVersion::V6, bytes);
        });
    }
}

#[test]
fn seeds_of_the_configuration_go_through_it() {
    let seeds = seeds("config");
    assert!(seeds.len() >= 10, "{}", seeds.len());
    for bytes in seeds {
        let text = String::from_utf8_lossy(&bytes);
        let _ = config::parse_str(&text, Path::new("seed.toml"), &Environment::default());
        for (cut, _) in text.char_indices() {
            let _ = config::parse_str(&text[..cut], Path::new("seed.toml"), &Environment::default());
        }
    }
}

#[test]
fn seeds_of_lines_are_read() {
    let stamps = ["%F_%H:%M:%S%.3f", "unix", "rfc3339", "[%d/%b/%Y:%H:%M:%S%.6f %z]"];
    let stamps = stamps.map(|format| StampFormat::new(format).unwrap());
    let seeds = seeds("line");
    assert!(seeds.len() > 15, "{}", seeds.len());
    for seed in seeds {
        let mut parser = Parser::new(&stamps, Utc);
        assert!(parser.entry(&seed).is_some(), "{}", String::from_utf8_lossy(&seed));
        each_mutation(&seed, |line| {
            let _ = parser.moment(line);
            let Some(entry) = parser.entry(line) else { return };
            let mut text = Vec::new();
            entry.write_text(Labels::None, &mut text);
            assert!(parser.entry(&text).is_some(), "{}", String::from_utf8_lossy(&text));
        });
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = root().join("tests/fuzz/corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Each seed whole, cut at every length, and with every byte altered in four ways.
fn each_mutation(seed: &[u8], mut decode: impl FnMut(&[u8])) {
    (0..=seed.len()).for_each(|cut| decode(&seed[..cut]));
    let mut altered = seed.to_vec();
    for at in 0..seed.len() {
        for flip in [0x01, 0x0f, 0xf0, 0xff] {
            altered[at] ^= flip;
            decode(&altered);
            altered[at] ^= flip;
        }
    }
}
