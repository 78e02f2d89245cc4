//! Guards the direction of imports and the house's invariants by reading `src/**` as text.
//!
//! It knows names, not types: a rule can be dodged by renaming on import through a third module. It is a fence against
//! "just this once", and the lints of `Cargo.toml` and `.clippy.toml` are the other one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Who may use whom within the crate: the table of the architecture. The longest room that contains a module counts.
/// A room may always use itself, and everybody may use `monitor`.
const MAY_USE: &[(&str, Rooms)] = &[
    ("monitor", Rooms::Only(&[])),
    ("icmp", Rooms::Only(&["watch"])),
    ("sink", Rooms::Only(&["stall"])),
    ("config", Rooms::Only(&["printable"])),
    ("resolve", Rooms::Only(&[])),
    ("control", Rooms::Only(&["printable"])),
    ("ledger", Rooms::Only(&[])),
    // What a hook is to be told of is chosen by the same words as it is told by.
    ("hook", Rooms::Only(&["counted", "config", "limits", "printable"])),
    ("systemd", Rooms::Only(&["counted"])),
    ("stall", Rooms::Only(&[])),
    ("signals", Rooms::Only(&[])),
    ("clock", Rooms::Only(&["watch"])),
    ("watch", Rooms::Only(&[])),
    ("limits", Rooms::Only(&[])),
    ("memory", Rooms::Only(&[])),
    ("counted", Rooms::Only(&[])),
    ("printable", Rooms::Only(&[])),
    ("logging", Rooms::Only(&["counted", "printable"])),
    ("driver", Rooms::Only(&["icmp", "clock", "stall"])),
    ("daemon", Rooms::All),
    // The edge towards the user: what it is asked to do, it has the parts below do.
    ("ping", Rooms::Only(&["daemon", "sink"])),
    ("log", Rooms::Only(&["clock", "counted", "sink"])),
    ("outages", Rooms::Only(&["counted", "clock", "ledger", "printable"])),
    ("status", Rooms::Only(&["counted", "control", "printable"])),
    // It asks the parts below what the daemon would meet, and the rest of it only computes.
    ("doctor", Rooms::Only(&["counted", "printable"])),
    ("doctor::gather", Rooms::Only(&["clock", "config", "control", "daemon", "doctor", "icmp", "resolve"])),
    (
        "cli",
        Rooms::Only(&[
            "config", "counted", "daemon", "doctor", "limits", "log", "logging", "manual", "outages", "ping", "sink",
            "status",
        ]),
    ),
    ("manual", Rooms::Only(&[])),
];

/// Files of `sink/` that serve the others; every other one is a destination and unknown to its neighbours.
const SHARED_BY_SINKS: &[&str] = &["archive", "line", "rotation"];

/// Modules that compute and do nothing else.
const PURE: &[&str] = &[
    "monitor",
    "icmp::wire",
    "sink::line",
    "sink::rotation",
    "counted",
    "printable",
    "logging::event",
    "ledger::history",
    "hook::event",
    "outages::rhythm",
    "outages::figures",
    "doctor::facts",
    "doctor::judge",
];

/// Crates that only compute on plain data, which pure modules may use.
const PURE_CRATES: &[&str] = &["serde", "hdrhistogram", "siphasher", "smallvec", "smol_str", "thiserror"];

/// What else single pure modules may name, and all below it: it computes, whatever its crate does besides.
const ALSO_PURE: &[(&str, &str)] = &[
    // Converting an instant that is handed in reads no clock.
    ("sink::line", "chrono"),
    ("sink::rotation", "chrono"),
    ("hook::event", "chrono"),
    ("hook::event", "serde_json"),
    // Digits of a number.
    ("sink::line", "itoa"),
    ("sink::line", "serde_json"),
    // The codec of surge-ping, and the type by which it is told the framing.
    ("icmp::wire", "surge_ping::Icmpv4Packet"),
    ("icmp::wire", "surge_ping::Icmpv6Packet"),
    ("icmp::wire", "socket2::Type"),
];

/// What pure modules may not name of std: everything that reaches out of the process.
const IMPURE_STD: &[&str] = &["fs", "io", "env", "thread", "process", "os"];

/// Likewise in `std::net`, where addresses are plain data.
const IMPURE_NET: &[&str] = &["TcpStream", "TcpListener", "UdpSocket", "ToSocketAddrs"];

/// The only files in which the compiler's guarantees may be set aside.
const UNSAFE_FILES: &[&str] = &["src/clock/discipline.rs", "src/icmp/socket.rs", "src/memory.rs", "src/watch.rs"];

/// `main.rs` calls the library and does nothing else.
const MAIN_LINES: usize = 14;

/// What a room may use besides itself and `monitor`.
#[derive(Clone, Copy)]
enum Rooms {
    Only(&'static [&'static str]),
    All,
}

#[test]
fn every_source_file_keeps_the_rules_of_the_house() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = source_files(root)?;
    assert!(files.keys().any(|path| path.starts_with("src/monitor/")), "src/monitor is missing: nothing was guarded");
    let dependencies = dependencies(&fs::read_to_string(root.join("Cargo.toml"))?);
    assert!(dependencies.iter().any(|name| name == "tokio"), "Cargo.toml was not understood");

    let tests: Vec<String> =
        files.iter().flat_map(|(path, text)| test_modules(&module_of(path), &tokens(text))).collect();
    let problems: Vec<String> =
        files.iter().flat_map(|(path, text)| problems(path, text, &tests, &dependencies)).collect();
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
    Ok(())
}

/// Every breach in one file, as `path:line: what`. `path` is relative to the package, as in `src/icmp/wire.rs`; `tests` are
/// the modules that exist for tests only.
fn problems(path: &str, text: &str, tests: &[String], dependencies: &[String]) -> Vec<String> {
    let all = tokens(text);
    let code = without_tests(&all);
    let module = module_of(path);
    let mut found = form(path, text);
    found.extend(unsafety(path, text, &all));
    if !tests.iter().any(|room| contains(room, &module)) {
        found.extend(unwraps(&code));
        let named = paths(&code, &module);
        found.extend(direction(&module, &named));
        if PURE.iter().any(|room| contains(room, &module)) {
            found.extend(purity(&module, &named, dependencies));
        }
    }
    found.into_iter().map(|(line, what)| format!("{path}:{line}: {what}")).collect()
}

/// A breach: its line, and what is wrong.
type Breach = (usize, String);

fn form(path: &str, text: &str) -> Vec<Breach> {
    let mut found = Vec::new();
    if !text.starts_with("//!") {
        found.push((1, "does not begin with `//!`: what it does and what it does not know".into()));
    }
    if path == "src/main.rs" && text.lines().count() > MAIN_LINES {
        found.push((MAIN_LINES + 1, format!("main.rs has more than {MAIN_LINES} lines: it calls the library")));
    }
    found
}

fn unsafety(path: &str, text: &str, all: &[Token]) -> Vec<Breach> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for token in all.iter().filter(|token| token.text == "unsafe") {
        if !UNSAFE_FILES.contains(&path) {
            found.push((token.line, format!("`unsafe` outside {}", UNSAFE_FILES.join(", "))));
        } else if !says_why_safe(&lines[..token.line]) {
            found.push((token.line, "`unsafe` without a `SAFETY:` comment before it".into()));
        }
    }
    found
}

/// Whether the comment above the last of `lines`, attributes between them aside, has a reason.
fn says_why_safe(lines: &[&str]) -> bool {
    let above = lines.iter().rev().skip(1).map(|line| line.trim_start());
    above.take_while(|line| line.starts_with("//") || line.starts_with("#[")).any(|line| line.contains("SAFETY:"))
}

fn unwraps(code: &[Token]) -> Vec<Breach> {
    let is_unwrap = |w: &&[Token]| w[0].text == "." && w[1].text == "unwrap" && w[2].text == "(";
    let what = "`.unwrap()` outside tests: handle the error, or `expect` with the reason why it cannot happen";
    code.windows(3).filter(is_unwrap).map(|w| (w[1].line, what.into())).collect()
}

fn direction(module: &str, named: &[Named]) -> Vec<Breach> {
    let is_root = module.is_empty();
    let row = MAY_USE.iter().filter(|(room, _)| contains(room, module)).max_by_key(|(room, _)| room.len());
    if !is_root && row.is_none() {
        return vec![(1, format!("`{module}` has no row in the table `MAY_USE` of tests/architecture.rs"))];
    }
    let mut found = Vec::new();
    for Named { path, line } in named {
        let target = match path.as_str() {
            "crate" => "*",
            _ => path.strip_prefix("crate::").unwrap_or_default(),
        };
        if target.is_empty() {
            continue;
        }
        let room = target.split("::").next().unwrap_or_default();
        let (own, allowed) = row.map_or(("", Rooms::All), |&(room, allowed)| (room, allowed));
        let permitted = match allowed {
            Rooms::All => true,
            Rooms::Only(rooms) => room == own || room == "monitor" || rooms.contains(&room),
        };
        if !permitted {
            found.push((*line, format!("`{module}` may not use `{path}`")));
        }
        if is_neighbouring_sink(module, target) {
            found.push((*line, format!("`{module}` may not use `{path}`: sinks do not know each other")));
        }
    }
    found
}

fn is_neighbouring_sink(module: &str, target: &str) -> bool {
    let destination = |path: &str| path.strip_prefix("sink::")?.split("::").next().map(str::to_owned);
    let (Some(own), Some(other)) = (destination(module), destination(target)) else { return false };
    // Modules are lower case; what `sink` itself defines for all destinations is not.
    let is_module = other.starts_with(|c: char| c.is_ascii_lowercase());
    is_module && own != other && !SHARED_BY_SINKS.contains(&other.as_str())
}

fn purity(module: &str, named: &[Named], dependencies: &[String]) -> Vec<Breach> {
    let also_pure = |path: &str| ALSO_PURE.iter().any(|(room, what)| contains(room, module) && contains(what, path));
    let mut found = Vec::new();
    for Named { path, line } in named {
        let parts: Vec<&str> = path.split("::").collect();
        let impure = match parts.as_slice() {
            [.., "now"] if parts.len() > 1 => true,
            ["std" | "core" | "alloc"] | ["std" | "core" | "alloc", "*"] => true,
            ["std" | "core" | "alloc", "net", item, ..] => *item == "*" || IMPURE_NET.contains(item),
            ["std" | "core" | "alloc", part, ..] => IMPURE_STD.contains(part),
            ["crate", ..] => false,
            [first, ..] if dependencies.iter().any(|name| name == first) => {
                !PURE_CRATES.contains(first) && !also_pure(path)
            }
            [_, ..] => false,
            [] => false,
        };
        if impure {
            found.push((*line, format!("`{module}` is pure and may not use `{path}`")));
        }
    }
    found
}

/// Whether `module` is `room` or lies in it.
fn contains(room: &str, module: &str) -> bool {
    module.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// `src/icmp/wire.rs` is `icmp::wire`; the crate's root and `main.rs` have the empty name.
fn module_of(path: &str) -> String {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let inner = inner.strip_suffix("/mod").unwrap_or(inner);
    if matches!(inner, "lib" | "main") { String::new() } else { inner.replace('/', "::") }
}

/// The modules that `#[cfg(test)] mod …;` declares in the file of `module`: whole files of tests.
fn test_modules(module: &str, all: &[Token]) -> Vec<String> {
    let after_mark = (0..all.len()).filter(|&at| is_test_mark(&all[at..])).map(|at| &all[at + TEST_MARK.len()..]);
    let declared = after_mark.filter_map(|rest| {
        let item = &rest[..item_len(rest)];
        match item {
            [.., word, name, end] if word.text == "mod" && end.text == ";" => Some(&name.text),
            _ => None,
        }
    });
    declared.map(|name| if module.is_empty() { name.clone() } else { format!("{module}::{name}") }).collect()
}

fn source_files(root: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path: PathBuf = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                files.insert(name, fs::read_to_string(&path)?);
            }
        }
    }
    Ok(files)
}

/// The crates that `[dependencies]` brings, as code names them.
fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.lines().skip_while(|line| line.trim() != "[dependencies]").skip(1);
    let entries = section.take_while(|line| !line.starts_with('['));
    entries.filter_map(|line| Some(line.split_once([' ', '=', '.'])?.0.replace('-', "_"))).collect()
}

/// A word, a number or a piece of punctuation; `::` is one token. Comments are gone, literals are `""`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    text: String,
    line: usize,
}

fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(&c) = chars.get(at) {
        let rest = &chars[at..];
        let (len, word) = match c {
            '/' if rest.starts_with(&['/', '/']) => (until(rest, |c| c == '\n'), None),
            '/' if rest.starts_with(&['/', '*']) => (block_comment_len(rest), None),
            '"' => (string_len(rest), Some("\"\"".to_owned())),
            '\'' => match quote_len(rest) {
                Some(len) => (len, Some("\"\"".to_owned())),
                None => (1, None),
            },
            ':' if rest.starts_with(&[':', ':']) => (2, Some("::".to_owned())),
            _ if is_word(c) => match raw_string_len(rest) {
                Some(len) => (len, Some("\"\"".to_owned())),
                None => {
                    let len = until(rest, |c| !is_word(c));
                    (len, Some(rest[..len].iter().collect()))
                }
            },
            _ if c.is_whitespace() => (1, None),
            _ => (1, Some(c.to_string())),
        };
        found.extend(word.map(|text| Token { text, line }));
        line += rest[..len].iter().filter(|&&c| c == '\n').count();
        at += len;
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn until(rest: &[char], end: impl Fn(char) -> bool) -> usize {
    rest.iter().position(|&c| end(c)).unwrap_or(rest.len())
}

/// Block comments nest (Rust reference, "Comments").
fn block_comment_len(rest: &[char]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (at, depth) = (at + 2, depth + 1),
            ['*', '/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn string_len(rest: &[char]) -> usize {
    let mut at = 1;
    while let Some(&c) = rest.get(at) {
        at += match c {
            '\\' => 2,
            '"' => return at + 1,
            _ => 1,
        };
    }
    rest.len()
}

/// The length of a character literal; `None` for a lifetime, which has no closing quote.
fn quote_len(rest: &[char]) -> Option<usize> {
    match rest {
        [_, '\\', _, more @ ..] => Some(3 + until(more, |c| c == '\'') + 1),
        [_, _, '\'', ..] => Some(3),
        _ => None,
    }
}

/// The length of `r"…"`, `r#"…"#`, `br"…"`, `b"…"` and `c"…"`; `None` for any other word.
fn raw_string_len(rest: &[char]) -> Option<usize> {
    let prefix = until(rest, |c| !matches!(c, 'b' | 'c' | 'r'));
    let raw = prefix > 0 && prefix <= 2 && rest[prefix - 1] == 'r';
    let hashes = until(&rest[prefix..], |c| c != '#');
    let open = prefix + hashes;
    if prefix == 0 || rest.get(open) != Some(&'"') || (!raw && hashes > 0) {
        return None;
    }
    if !raw {
        return Some(prefix + string_len(&rest[prefix..]));
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = &rest[open + 1..];
    let end = body.windows(close.len()).position(|w| w == close).unwrap_or(body.len());
    Some((open + 1 + end + close.len()).min(rest.len()))
}

const TEST_MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];

fn is_test_mark(rest: &[Token]) -> bool {
    rest.len() >= TEST_MARK.len() && rest.iter().zip(TEST_MARK).all(|(token, mark)| token.text == mark)
}

/// Drops every item under `#[cfg(test)]`: up to its `;`, or to the brace that closes it.
fn without_tests(all: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < all.len() {
        if is_test_mark(&all[at..]) {
            at += TEST_MARK.len();
            at += item_len(&all[at..]);
        } else {
            kept.push(all[at].clone());
            at += 1;
        }
    }
    kept
}

fn item_len(rest: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (i, token) in rest.iter().enumerate() {
        match token.text.as_str() {
            ";" if depth == 0 => return i + 1,
            "{" | "(" | "[" => depth += 1,
            // The closing bracket of the block or module that the item is the last field of.
            "}" | ")" | "]" if depth == 0 => return i,
            "}" if depth == 1 => return i + 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
    }
    rest.len()
}

/// A path as code names it, from its root: `crate::…` for this crate's own, the crate's name for all others.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    path: String,
    line: usize,
}

/// All paths of two parts or more and all single imports, import trees taken apart. `self::` and `super::` are counted from
/// `module`.
fn paths(code: &[Token], module: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let before = |n: usize| at.checked_sub(n).map_or("", |i| code[i].text.as_str());
        let goes_on = before(1) == "::" && (is_name(before(2)) || before(2) == ">");
        if goes_on || !is_name(&code[at].text) {
            at += 1;
            continue;
        }
        let alone = code.get(at + 1).is_none_or(|next| next.text != "::");
        if alone && matches!(before(1), "use" | "crate") {
            found.push(Named { path: code[at].text.clone(), line: code[at].line });
        }
        at += tree(&code[at..], "", module, &mut found);
    }
    found
}

/// Reads `a::b`, `a::{b, c::*}` and the like at the start of `rest`, adds what it names, and returns how many tokens it took.
fn tree(rest: &[Token], prefix: &str, module: &str, found: &mut Vec<Named>) -> usize {
    let mut path = prefix.to_owned();
    let mut at = 0;
    while let Some(token) = rest.get(at) {
        let line = token.line;
        match token.text.as_str() {
            "{" => return at + group(&rest[at..], &path, module, found),
            name if is_name(name) || name == "*" => {
                path = if path.is_empty() { name.to_owned() } else { format!("{path}::{name}") };
                at += 1;
            }
            // A turbofish, as in `Vec::<u8>::new`: its path goes on after the bracket, the bracket's own paths come next.
            _ => return at.max(1),
        }
        if rest.get(at).is_none_or(|token| token.text != "::") {
            if path.contains("::") {
                found.push(Named { path: absolute(&path, module), line });
            }
            return at;
        }
        at += 1;
        if rest.get(at).is_some_and(|token| token.text == "<") {
            found.push(Named { path: absolute(&path, module), line });
            return at;
        }
    }
    at
}

fn group(rest: &[Token], path: &str, module: &str, found: &mut Vec<Named>) -> usize {
    let mut at = 1;
    while let Some(token) = rest.get(at) {
        at += match token.text.as_str() {
            "}" => return at + 1,
            "as" => 2,
            text if is_name(text) || text == "*" => tree(&rest[at..], path, module, found),
            _ => 1,
        };
    }
    at
}

/// Words that may stand before a path beginning with `::` and are no part of it.
const KEYWORDS: &[&str] =
    &["as", "dyn", "else", "for", "if", "impl", "in", "match", "move", "mut", "return", "use", "where"];

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_') && !KEYWORDS.contains(&text)
}

fn absolute(path: &str, module: &str) -> String {
    let mut base: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    let mut parts = path.split("::").peekable();
    if !parts.peek().is_some_and(|&first| matches!(first, "self" | "super")) {
        return path.replacen("pingtest::", "crate::", usize::from(path.starts_with("pingtest::")));
    }
    while let Some(part) = parts.next_if(|&part| matches!(part, "self" | "super")) {
        if part == "super" {
            base.pop();
        }
    }
    std::iter::once("crate").chain(base).chain(parts).collect::<Vec<_>>().join("::")
}

mod the_guard_itself {
    use super::*;

    /// What is wrong with a file of this content, without its place.
    fn complaints(path: &str, body: &str) -> Vec<String> {
        let dependencies = ["tokio", "chrono", "serde", "nix", "surge_ping", "socket2"].map(str::to_owned);
        let text = format!("//! A module.\n{body}");
        problems(path, &text, &["monitor::window::checks".to_owned()], &dependencies)
    }

    #[track_caller]
    fn refused(path: &str, body: &str) {
        assert_eq!(complaints(path, body).len(), 1, "{path}: {body}: {:?}", complaints(path, body));
    }

    #[track_caller]
    fn accepted(path: &str, body: &str) {
        assert_eq!(complaints(path, body), Vec::<String>::new(), "{path}: {body}");
    }

    #[test]
    fn the_rules_may_not_reach_out_of_the_process() {
        for body in [
            "use std::fs;",
            "use std::{fmt, io::Write};",
            "use std::{collections::BTreeMap, env as surroundings};",
            "fn f() { std::thread::yield_now(); }",
            "fn f() -> std::process::ExitCode { g() }",
            "use std::os::fd::OwnedFd;",
            "use std::net::{IpAddr, UdpSocket};",
            "fn f(s: &std::net::TcpStream) {}",
            "use std::net::*;",
            "use std::*;",
            "use tokio::sync::mpsc;",
            "fn f() { tokio::spawn(g()); }",
            "use chrono::DateTime;",
            "use ::nix::sys;",
            "use tokio as anything;",
            "extern crate nix;",
            "use std as anything;",
        ] {
            refused("src/monitor/window.rs", body);
            refused("src/icmp/wire.rs", body);
        }
    }

    #[test]
    fn the_rules_may_not_ask_for_the_time() {
        for body in ["fn f() { g(Instant::now()) }", "use std::time::Instant; fn f() { g(Instant::now) }"] {
            refused("src/monitor/outage.rs", body);
        }
        accepted("src/monitor/outage.rs", "use super::time::Now; fn f(now: Now) { g(now.mono, self.now()) }");
    }

    #[test]
    fn the_rules_may_use_std_and_plain_data() {
        accepted(
            "src/monitor/window.rs",
            "use std::net::{IpAddr, Ipv4Addr}; use std::time::Duration; use std::collections::{BTreeMap, btree_map};
             use serde::Serialize; use super::time::{Mono, Now}; use crate::monitor::record::Record;",
        );
    }

    #[test]
    fn the_rules_may_use_no_other_room() {
        for room in ["icmp", "sink", "config", "driver", "daemon", "clock", "resolve", "signals", "unheard_of"] {
            refused("src/monitor/mod.rs", &format!("use crate::{room}::Thing;"));
            refused("src/monitor/mod.rs", &format!("use super::{room}::Thing;"));
            refused("src/monitor/window.rs", &format!("fn f() {{ super::super::{room}::go() }}"));
            refused("src/monitor/window.rs", &format!("use crate::{{monitor::time::Now, {room}}};"));
        }
        for body in ["use crate::*;", "use crate as house;", "use super::super as house;", "use super::super::*;"] {
            refused("src/monitor/window.rs", body);
        }
    }

    #[test]
    fn comments_strings_and_tests_are_no_code() {
        accepted(
            "src/monitor/window.rs",
            r##"
            // tokio::spawn and x.unwrap()
            /* std::fs /* nested */ std::io */
            const A: &str = "std::fs \" std::io";
            const B: &str = r#"crate::sink " unsafe "#;
            const C: (char, char, &[u8]) = ('"', '\'', b"std::env");
            fn f<'a>(x: &'a str) -> &'a str { x }
            #[cfg(test)]
            use std::fs;
            #[cfg(test)]
            mod tests { use std::io; fn f() { if true { g().unwrap(); } } }
            "##,
        );
        accepted("src/monitor/window/checks.rs", "use std::fs; fn f() { g().unwrap() }");
    }

    #[test]
    fn a_file_declared_for_tests_only_is_known_by_its_declaration() {
        let code =
            tokens("#[cfg(test)] mod checks; #[cfg(test)] pub(crate) mod fixture; mod real; #[cfg(test)] mod here {}");
        assert_eq!(test_modules("sink", &code), ["sink::checks", "sink::fixture"]);
        assert_eq!(test_modules("", &code), ["checks", "fixture"]);
    }

    #[test]
    fn a_codec_may_be_borrowed_but_not_its_sockets() {
        accepted("src/icmp/wire.rs", "use surge_ping::{Icmpv4Packet, Icmpv6Packet}; use socket2::Type;");
        accepted("src/sink/line/text.rs", "use chrono::{DateTime, Local};");
        refused("src/icmp/wire.rs", "use surge_ping::Client;");
        refused("src/icmp/wire.rs", "use socket2::{Socket, Type};");
        refused("src/sink/line/text.rs", "fn f() { chrono::Local::now() }");
    }

    #[test]
    fn code_after_a_test_module_is_still_read() {
        refused("src/monitor/window.rs", "#[cfg(test)] mod tests { fn f() { {} } }\nuse std::fs;");
        refused("src/monitor/window.rs", "#[cfg(test)] fn f() {}\nfn g<'a>() { h('\\'', '{'); std::fs::read(x) }");
    }

    #[test]
    fn rooms_at_the_edge_know_only_the_rules() {
        for room in ["config", "icmp", "sink", "resolve", "signals", "clock", "control", "systemd", "logging"] {
            let file = format!("src/{room}.rs");
            accepted(&file, "use crate::monitor::record::Record; use std::io; use tokio::sync::mpsc;");
            accepted(&file, &format!("use crate::{room}::part::Part; use self::part::Other;"));
            for other in ["config", "icmp", "sink", "clock", "driver", "daemon"].iter().filter(|&&other| other != room)
            {
                refused(&file, &format!("use crate::{other}::Thing;"));
            }
        }
    }

    #[test]
    fn the_driver_knows_packets_and_clocks_and_no_destination() {
        accepted("src/driver.rs", "use crate::{icmp::Engine, clock::Clock, monitor::Monitor};");
        for room in ["sink", "config", "resolve", "daemon", "signals"] {
            refused("src/driver.rs", &format!("use crate::{room}::Thing;"));
        }
    }

    #[test]
    fn only_the_daemon_knows_everybody() {
        let everybody = "use crate::{icmp, sink, config, driver, clock, resolve, signals};";
        accepted("src/daemon.rs", everybody);
        accepted("src/lib.rs", "pub mod daemon; use daemon::start; fn f() { crate::cli::parse() }");
        assert_eq!(complaints("src/cli.rs", everybody).len(), 5);
    }

    #[test]
    fn a_sink_knows_no_other_sink() {
        accepted(
            "src/sink/file.rs",
            "use super::line; use crate::sink::line::render; use super::Sink; use super::rotation;",
        );
        accepted("src/sink/mod.rs", "mod file; use self::file::File; use crate::sink::journal::Journal;");
        refused("src/sink/file.rs", "use super::journal::Journal;");
        refused("src/sink/file.rs", "use crate::sink::{line, zabbix};");
    }

    #[test]
    fn a_room_without_a_row_is_noticed() {
        refused("src/attic/mod.rs", "");
    }

    #[test]
    fn a_tree_is_taken_apart_into_whole_paths() {
        let code = tokens("use crate::{a, b::{self, c as d}, e::*}; let x = Vec::<u8>::new(); super::f();");
        let named: Vec<String> = paths(&code, "sink::file").into_iter().map(|named| named.path).collect();
        let expected = ["crate::a", "crate::b::self", "crate::b::c", "crate::e::*", "Vec", "crate::sink::f"];
        assert_eq!(named, expected);
    }

    #[test]
    fn unsafe_stays_in_its_file_and_gives_its_reason() {
        let reason = "fn f() {\n    // SAFETY: takes no pointer.\n    #[expect(unsafe_code)]\n    unsafe { g() }\n}";
        accepted("src/icmp/socket.rs", reason);
        refused("src/icmp/engine.rs", reason);
        refused("src/icmp/socket.rs", "fn f() { unsafe { g() } }");
        refused("src/icmp/socket.rs", "// SAFETY: of another.\n\nunsafe fn f() {}");
        refused("src/clock.rs", "#[cfg(test)] mod tests { fn f() { unsafe { g() } } }");
        accepted("src/clock.rs", "#![deny(unsafe_code)]");
    }

    #[test]
    fn an_unwrap_outside_tests_is_noticed() {
        refused("src/clock.rs", "fn f() { g()\n    .unwrap() }");
        accepted("src/clock.rs", "fn f() { g().unwrap_or(0); h().expect(\"a reason\") }");
    }

    #[test]
    fn every_file_says_what_it_is() {
        assert_eq!(problems("src/clock.rs", "use std::fmt;\n", &[], &[]).len(), 1);
    }

    #[test]
    fn main_stays_short() {
        accepted("src/main.rs", "fn main() -> std::process::ExitCode { pingtest::main() }");
        refused("src/main.rs", &"fn f() {}\n".repeat(MAIN_LINES));
    }
}
