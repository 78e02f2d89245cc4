//! Findings → aligned text or JSON.
//!
//! It knows of a finding how bad it is, and nothing of what it is about.

use std::io::{self, Write};

use serde::Serialize;

use super::{Finding, Level};
use crate::counted::counted;
use crate::printable::printable;

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For humans.
    Text(Colour),
    /// One JSON object in a line.
    Json,
}

/// Whether levels are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// They are not.
    Plain,
    /// By escape sequences (ECMA-48, SGR).
    Ansi,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    user: &'a str,
    fit: bool,
    findings: &'a [Finding],
}

/// Prints findings, as they are ordered, that were judged for `user`.
///
/// # Errors
/// Those of `out`.
pub(super) fn show(findings: &[Finding], user: &str, format: Format, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Text(colour) => out.write_all(text(findings, colour).as_bytes()),
        Format::Json => {
            let fit = count(findings, Level::Problem) == 0;
            serde_json::to_writer(&mut *out, &Report { version: env!("CARGO_PKG_VERSION"), user, fit, findings })?;
            out.write_all(b"\n")
        }
    }
}

/// Between columns, and before what to do.
const GAP: &str = "  ";

fn text(findings: &[Finding], colour: Colour) -> String {
    let levels = findings.iter().map(|finding| word(finding.level).len()).max().unwrap_or(0);
    let checks = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    let indent = " ".repeat(levels + checks + 2 * GAP.len());
    let mut text = String::new();
    for finding in findings {
        let level = format!("{:levels$}", word(finding.level));
        let level = match colour {
            Colour::Plain => level,
            Colour::Ansi => format!("\x1b[{}m{level}\x1b[0m", hue(finding.level)),
        };
        text += &format!("{level}{GAP}{:checks$}{GAP}{}\n", finding.check, printable(&finding.found));
        if !finding.means.is_empty() {
            text += &format!("{indent}{}\n", printable(&finding.means));
        }
        for cure in &finding.cures {
            text += &format!("{indent}- {}\n", printable(cure));
        }
    }
    text + &summary(findings)
}

/// What it comes to, where whoever reads a terminal looks first.
fn summary(findings: &[Finding]) -> String {
    let [problems, warnings] = [Level::Problem, Level::Warning].map(|level| count(findings, level));
    let warned = match warnings {
        0 => String::new(),
        _ => format!("; {}", counted(warnings, "warning")),
    };
    match problems {
        0 => format!("\nNothing would stop pingtest here{warned}.\n"),
        _ => format!("\n{} would stop pingtest here{warned}.\n", counted(problems, "problem")),
    }
}

fn count(findings: &[Finding], level: Level) -> usize {
    findings.iter().filter(|finding| finding.level == level).count()
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Problem => "PROBLEM",
        Level::Warning => "warning",
        Level::Note => "note",
        Level::Ok => "ok",
    }
}

/// The parameter of SGR (ECMA-48).
fn hue(level: Level) -> &'static str {
    match level {
        Level::Problem => "1;31",
        Level::Warning => "33",
        Level::Note => "36",
        Level::Ok => "32",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        let finding = |level, check, found: &str, means: &str, cures: &[&str]| Finding {
            level,
            check,
            found: found.into(),
            means: means.into(),
            cures: cures.iter().map(|&cure| cure.to_owned()).collect(),
        };
        vec![
            finding(Level::Problem, "sockets", "not allowed", "It does not start.", &["setcap", "sysctl"]),
            finding(Level::Ok, "log directory", "/a\u{1b}[31m/b can be written to", "", &[]),
        ]
    }

    fn shown(findings: &[Finding], format: Format) -> String {
        let mut out = Vec::new();
        show(findings, "nobody", format, &mut out).expect("a Vec takes everything");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn findings_are_aligned_and_their_cures_stand_below_them() {
        let text = shown(&findings(), Format::Text(Colour::Plain));
        let expected = "\
PROBLEM  sockets        not allowed
                        It does not start.
                        - setcap
                        - sysctl
ok       log directory  /a\\u{1b}[31m/b can be written to

1 problem would stop pingtest here.
";
        assert_eq!(text, expected);
    }

    #[test]
    fn colour_changes_nothing_but_the_colour() {
        let text = shown(&findings(), Format::Text(Colour::Ansi));
        assert!(text.starts_with("\x1b[1;31mPROBLEM\x1b[0m  sockets"), "{text}");
        let bare = text.replace("\x1b[1;31m", "").replace("\x1b[32m", "").replace("\x1b[0m", "");
        assert_eq!(bare, shown(&findings(), Format::Text(Colour::Plain)));
    }

    #[test]
    fn json_has_what_the_text_has() {
        let json = shown(&findings(), Format::Json);
        let expected = concat!(
            r#"{"version":"VERSION","user":"nobody","fit":false,"findings":["#,
            r#"{"level":"problem","check":"sockets","found":"not allowed","means":"It does not start.","do":["setcap","sysctl"]},"#,
            r#"{"level":"ok","check":"log directory","found":"/a\u001b[31m/b can be written to"}]}"#,
            "\n"
        );
        assert_eq!(json, expected.replace("VERSION", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn warnings_stop_nothing_and_are_counted() {
        let mut findings = findings();
        findings[0].level = Level::Warning;
        assert!(
            shown(&findings, Format::Text(Colour::Plain)).ends_with("\nNothing would stop pingtest here; 1 warning.\n")
        );
    }
}
