//! Any text as a configuration must become settings or problems with their lines, without a panic.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = pingtest::config::parse_str(text, Path::new("fuzz.toml"));
});
