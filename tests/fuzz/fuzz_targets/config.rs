//! Any text as a configuration must become settings or problems with their lines, without a panic.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pingtest::config::{Environment, parse_str};

fuzz_target!(|text: &str| {
    let _ = parse_str(text, Path::new("fuzz.toml"), &Environment::default());
});
