//! Any bytes as a line of a log must be an entry or nothing, without a panic; an entry of text gives the line back.

#![no_main]

use chrono::Utc;
use libfuzzer_sys::fuzz_target;
use pingtest::sink::line::{Parser, StampFormat};

fuzz_target!(|line: &[u8]| {
    let formats = ["%F_%H:%M:%S%.3f", "unix", "rfc3339", "[%d/%b/%Y:%H:%M:%S%.6f %z]", "%c%.f"];
    let stamps = formats.map(|format| StampFormat::new(format).expect("a time format"));
    let mut parser = Parser::new(&stamps, Utc);
    let moment = parser.moment(line);
    let Some(entry) = parser.entry(line) else { return };
    let (mut text, mut json) = (Vec::new(), Vec::new());
    entry.write_text(&mut text);
    entry.write_json(entry.moment.earliest, None, &mut parser, &mut json);
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    assert!(moment.is_some() && (text == line || json == line));
    assert!(parser.entry(&text).is_some());
});
