//! What ships is what is tested: the manual page, the help, the seeds of the fuzz targets.

#![allow(clippy::unwrap_used, reason = "helpers of a test may fail it")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use chrono::Utc;
use pingtest::config::{self, Environment};
use pingtest::icmp::wire::{self, Framing};
use pingtest::monitor::target::IpVersion;
use pingtest::sink::line::{Labels, Parser, StampFormat};

fn pingtest(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pingtest")).args(arguments).output().unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_manual_page_in_the_package_is_the_one_the_program_prints() {
    let printed = pingtest(&["man"]);
    assert!(printed.status.success());
    let shipped = fs::read_to_string(root().join("packaging/usr/share/man/man1/pingtest.1")).unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed == shipped, "run: cargo run -- man > packaging/usr/share/man/man1/pingtest.1");
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
