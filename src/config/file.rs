//! One configuration file as written: every key optional, every value with its place, unknown keys refused.
//!
//! This stage judges form only: TOML, keys, and the kind of each value (string, number, table). It touches no disk and
//! knows no bound, no default and no other file. It goes on after a problem, so that one reading tells of all of them.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::de::DeTable;

use super::error::{Place, Problem, excerpt};
use super::reader::{
    BYTES, DURATION, DURATION_OR_OFF, Field, NUMBER, NUMBER_OR_OFF, SHARE_OR_OFF, SWITCH, Source, TEXT, Table, Title,
    Written,
};

mod keeping;

use keeping::{CONTROL_KEYS, HOOK_KEYS, LEDGER_KEYS, control, hook, ledger};
pub(super) use keeping::{Control, Hook, Ledger};

/// One file.
#[derive(Debug)]
pub(super) struct File {
    /// Its path.
    pub(super) path: Arc<Path>,
    /// Patterns of further files.
    pub(super) include: Vec<Written<String>>,
    /// `[defaults]`.
    pub(super) defaults: Probing,
    /// `[log]`.
    pub(super) log: Log,
    /// `[diagnostics]`.
    pub(super) diagnostics: Diagnostics,
    /// `[ledger]`.
    pub(super) ledger: Ledger,
    /// `[control]`.
    pub(super) control: Control,
    /// Every `[[hook]]` that could be read.
    pub(super) hooks: Vec<Hook>,
    /// Every `[[target]]` that could be read.
    pub(super) targets: Vec<Target>,
    /// Whether any target was written, even if none could be read.
    pub(super) mentions_targets: bool,
}

/// One `[[target]]`.
#[derive(Debug)]
pub(super) struct Target {
    /// Where a host ought to stand.
    pub(super) place: Place,
    pub(super) host: Field<String>,
    pub(super) name: Field<String>,
    pub(super) probing: Probing,
}

/// How to probe: the keys that may stand in `[defaults]` as well as in a `[[target]]`.
#[derive(Debug, Default)]
pub(super) struct Probing {
    pub(super) interval: Field<String>,
    pub(super) timeout: Field<String>,
    pub(super) size: Field<i128>,
    pub(super) family: Field<String>,
    pub(super) ttl: Field<i128>,
    pub(super) dscp: Field<i128>,
    pub(super) dont_fragment: Field<bool>,
    pub(super) source: Field<String>,
    pub(super) interface: Field<String>,
    pub(super) mark: Field<i128>,
    pub(super) resolve_every: Field<String>,
    /// `None` where none of its keys is written: most targets say nothing of it, and ten thousand may be read at once.
    pub(super) judging: Option<Box<Judging>>,
}

/// When losses are an outage, and what is done about them.
#[derive(Debug, Default)]
pub(super) struct Judging {
    pub(super) down_after: Field<i128>,
    pub(super) up_after: Field<i128>,
    pub(super) merge_within: Field<String>,
    pub(super) suspect_interval: Field<String>,
    pub(super) burst: Field<i128>,
    pub(super) new_id_after: Field<String>,
    pub(super) parent: Field<String>,
    pub(super) degraded_loss: Field<String>,
    pub(super) degraded_rtt: Field<String>,
    pub(super) degraded_for: Field<String>,
}

/// `[log]`.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) dir: Field<String>,
    pub(super) layout: Field<String>,
    pub(super) format: Field<String>,
    pub(super) time_format: Field<String>,
    pub(super) rotate: Field<String>,
    pub(super) max_size: Field<String>,
    pub(super) keep: Field<i128>,
    pub(super) max_total: Field<String>,
    pub(super) compress: Field<String>,
    pub(super) sync: Field<String>,
}

/// `[diagnostics]`.
#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    pub(super) file: Field<String>,
    pub(super) level: Field<String>,
}

const MAIN_KEYS: &[&str] = &["include", "defaults", "log", "diagnostics", "ledger", "control", "hook", "target"];
const INCLUDED_KEYS: &[&str] = &["target"];
const LOG_KEYS: &[&str] =
    &["dir", "layout", "format", "time_format", "rotate", "max_size", "keep", "max_total", "compress", "sync"];
const DIAGNOSTICS_KEYS: &[&str] = &["file", "level"];
/// `host` and `name`, then the keys of [`Probing`], the last ten of them those of [`Judging`].
const TARGET_KEYS: &[&str] = &[
    "host",
    "name",
    "interval",
    "timeout",
    "size",
    "family",
    "ttl",
    "dscp",
    "dont_fragment",
    "source",
    "interface",
    "mark",
    "resolve_every",
    "down_after",
    "up_after",
    "merge_within",
    "suspect_interval",
    "burst",
    "new_id_after",
    "parent",
    "degraded_loss",
    "degraded_rtt",
    "degraded_for",
];
const PROBING_KEYS: &[&str] = TARGET_KEYS.split_at(2).1;
const JUDGING_KEYS: &[&str] = TARGET_KEYS.split_at(TARGET_KEYS.len() - 10).1;

/// What a file is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The file that was asked for.
    Main,
    /// A file named by `include`: it may hold targets only, so that defaults and log have one home.
    Included,
}

/// Reads `text`. `None` where it is not TOML: what else is wrong in it would be guesswork.
pub(super) fn read(path: &Arc<Path>, text: &str, role: Role, problems: &mut Vec<Problem>) -> Option<File> {
    let source = Source::new(path, text);
    if text.starts_with('\u{feff}') {
        let reason = "begins with a byte order mark (U+FEFF): save it as UTF-8 without one";
        problems.push(Problem { line: Some(1), ..Problem::in_file(path, reason) });
        return None;
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        problems.extend(syntax_problems(&source, &errors));
        return None;
    }
    Some(file(&source, root.get_ref(), role, problems))
}

/// One problem for each line that is not TOML: what the parser says next of the same line follows from the first.
fn syntax_problems(source: &Source<'_>, errors: &[toml::de::Error]) -> Vec<Problem> {
    let mut problems: Vec<_> = errors.iter().map(|error| source.syntax_problem(error)).collect();
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.dedup_by_key(|problem| problem.line);
    problems
}

fn file(source: &Source<'_>, root: &DeTable<'_>, role: Role, problems: &mut Vec<Problem>) -> File {
    let root = Table { source, title: Title::Root, entries: root };
    let keys = match role {
        Role::Main => MAIN_KEYS,
        Role::Included => INCLUDED_KEYS,
    };
    refuse_unknown(&root, keys, problems);
    let told = problems.len();
    let targets = root.tables("target", problems);
    let mut file = File {
        ledger: Ledger::default(),
        control: Control::default(),
        hooks: Vec::new(),
        path: Arc::clone(source.path),
        include: Vec::new(),
        defaults: Probing::default(),
        log: Log::default(),
        diagnostics: Diagnostics::default(),
        mentions_targets: !targets.is_empty() || problems.len() > told,
        targets: targets.into_iter().map(|(header, entries)| target(source, header, entries, problems)).collect(),
    };
    if role == Role::Main {
        file.include = root.texts("include", r#"a list such as ["targets.d/*.toml"]"#, problems);
        file.defaults = root.table("defaults", problems).map(|table| defaults(&table, problems)).unwrap_or_default();
        file.log = root.table("log", problems).map(|table| log(&table, problems)).unwrap_or_default();
        file.diagnostics =
            root.table("diagnostics", problems).map(|table| diagnostics(&table, problems)).unwrap_or_default();
        file.ledger = root.table("ledger", problems).map(|table| ledger(&table, problems)).unwrap_or_default();
        file.control = root.table("control", problems).map(|table| control(&table, problems)).unwrap_or_default();
        let hooks = root.tables("hook", problems);
        file.hooks = hooks.into_iter().map(|(header, entries)| hook(source, header, entries, problems)).collect();
    }
    file
}

fn target(source: &Source<'_>, header: Range<usize>, entries: &DeTable<'_>, problems: &mut Vec<Problem>) -> Target {
    let label_of = |key| Some((key, excerpt(entries.get(key)?.get_ref().as_str()?)));
    let label = label_of("name").or_else(|| label_of("host"));
    let table = Table { source, title: Title::Target { label }, entries };
    refuse_unknown(&table, TARGET_KEYS, problems);
    Target {
        place: table.missing("host", header),
        host: table.field("host", TEXT, problems),
        name: table.field("name", TEXT, problems),
        probing: probing(&table, problems),
    }
}

fn defaults(table: &Table<'_, '_>, problems: &mut Vec<Problem>) -> Probing {
    refuse_unknown(table, PROBING_KEYS, problems);
    probing(table, problems)
}

fn log(table: &Table<'_, '_>, problems: &mut Vec<Problem>) -> Log {
    refuse_unknown(table, LOG_KEYS, problems);
    Log {
        dir: table.field("dir", TEXT, problems),
        layout: table.field("layout", TEXT, problems),
        format: table.field("format", TEXT, problems),
        time_format: table.field("time_format", TEXT, problems),
        rotate: table.field("rotate", TEXT, problems),
        max_size: table.field("max_size", BYTES, problems),
        keep: table.field("keep", NUMBER, problems),
        max_total: table.field("max_total", BYTES, problems),
        compress: table.field("compress", TEXT, problems),
        sync: table.field("sync", DURATION_OR_OFF, problems),
    }
}

fn diagnostics(table: &Table<'_, '_>, problems: &mut Vec<Problem>) -> Diagnostics {
    refuse_unknown(table, DIAGNOSTICS_KEYS, problems);
    Diagnostics { file: table.field("file", TEXT, problems), level: table.field("level", TEXT, problems) }
}

fn probing(table: &Table<'_, '_>, problems: &mut Vec<Problem>) -> Probing {
    Probing {
        interval: table.field("interval", DURATION, problems),
        timeout: table.field("timeout", DURATION, problems),
        size: table.field("size", NUMBER, problems),
        family: table.field("family", TEXT, problems),
        ttl: table.field("ttl", NUMBER, problems),
        dscp: table.field("dscp", NUMBER, problems),
        dont_fragment: table.field("dont_fragment", SWITCH, problems),
        source: table.field("source", TEXT, problems),
        interface: table.field("interface", TEXT, problems),
        mark: table.field("mark", NUMBER, problems),
        resolve_every: table.field("resolve_every", DURATION, problems),
        judging: table.has_any(JUDGING_KEYS).then(|| Box::new(judging(table, problems))),
    }
}

fn judging(table: &Table<'_, '_>, problems: &mut Vec<Problem>) -> Judging {
    Judging {
        down_after: table.field("down_after", NUMBER, problems),
        up_after: table.field("up_after", NUMBER, problems),
        merge_within: table.field("merge_within", DURATION, problems),
        suspect_interval: table.field("suspect_interval", DURATION_OR_OFF, problems),
        burst: table.field("burst", NUMBER, problems),
        new_id_after: table.field("new_id_after", NUMBER_OR_OFF, problems),
        parent: table.field("parent", TEXT, problems),
        degraded_loss: table.field("degraded_loss", SHARE_OR_OFF, problems),
        degraded_rtt: table.field("degraded_rtt", DURATION_OR_OFF, problems),
        degraded_for: table.field("degraded_for", DURATION, problems),
    }
}

fn refuse_unknown(table: &Table<'_, '_>, allowed: &[&str], problems: &mut Vec<Problem>) {
    problems.extend(table.unknown(allowed).map(|(key, place)| place.problem(unknown(key, allowed))));
}

/// Where each key belongs; a key of [`Probing`] is found at its first home.
const HOMES: [(&str, &[&str]); 8] = [
    ("at the top level of the main file", MAIN_KEYS),
    ("in [log]", LOG_KEYS),
    ("in [diagnostics]", DIAGNOSTICS_KEYS),
    ("in [defaults] or a [[target]]", PROBING_KEYS),
    ("in a [[target]]", TARGET_KEYS),
    ("in [ledger]", LEDGER_KEYS),
    ("in [control]", CONTROL_KEYS),
    ("in a [[hook]]", HOOK_KEYS),
];

/// What is said of a key that does not belong where it stands.
fn unknown(key: &str, allowed: &[&str]) -> String {
    let likely = allowed.iter().map(|known| (distance(key, known), known)).min().filter(|(distance, _)| *distance <= 2);
    let home = HOMES.iter().find(|(_, keys)| keys.contains(&key));
    let allowed_here = if allowed == INCLUDED_KEYS {
        "an included file may hold [[target]] tables only".to_owned()
    } else {
        format!("allowed here: {}", allowed.join(", "))
    };
    match (home, likely) {
        (Some((home, _)), _) => format!("belongs {home}; {allowed_here}"),
        (None, Some((_, known))) => format!("unknown key, did you mean {known}? {allowed_here}"),
        (None, None) => format!("unknown key; {allowed_here}"),
    }
}

/// How many characters must be inserted, removed or replaced to make `b` of `a` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    // Longer keys are no slip of the finger, and must not cost time.
    for (i, x) in a.chars().take(MAX_KEY).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Well above the longest known key.
const MAX_KEY: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        read(&Path::new("f").into(), text, Role::Main, &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_known_key_is_in_the_sample() {
        let sample = include_str!("../../config/pingtest.toml");
        let tables = [LOG_KEYS, DIAGNOSTICS_KEYS, LEDGER_KEYS, CONTROL_KEYS, HOOK_KEYS];
        for key in [MAIN_KEYS, TARGET_KEYS].into_iter().chain(tables).flatten() {
            let shown = [format!("{key} ="), format!("[{key}]")];
            assert!(shown.iter().any(|shown| sample.contains(shown)), "{key}");
        }
    }

    #[test]
    fn every_known_key_is_in_the_manual_page() {
        let page = include_str!("../../packaging/usr/share/man/man5/pingtest.toml.5");
        let tables = [MAIN_KEYS, TARGET_KEYS, LOG_KEYS, DIAGNOSTICS_KEYS, LEDGER_KEYS, CONTROL_KEYS, HOOK_KEYS];
        for key in tables.into_iter().flatten() {
            let shown = [format!("\n.B {key}\n"), format!("\n.BR {key} \""), format!("\n.SH [{key}]\n")];
            assert!(
                shown.iter().any(|shown| page.contains(shown)) || page.contains(&format!("\n.SH [[{key}]]\n")),
                "{key}"
            );
        }
    }

    #[test]
    fn every_key_of_judging_is_read_by_itself() {
        assert_eq!((JUDGING_KEYS.first(), JUDGING_KEYS.last()), (Some(&"down_after"), Some(&"degraded_for")));
        for key in JUDGING_KEYS {
            assert_eq!(problems(&format!("[defaults]\n{key} = []")).len(), 1, "{key}");
        }
    }

    #[test]
    fn problems_do_not_hide_one_another() {
        let told = problems("[defaults]\nsize = \"x\"\nttl = 1.5\n[log]\ndir = 1\n[[target]]\nhost = []\n");
        assert_eq!(told.len(), 4, "{told:#?}");
    }

    #[test]
    fn distance_counts_slips_of_the_finger() {
        assert_eq!(distance("interval", "interval"), 0);
        assert_eq!(distance("intervall", "interval"), 1);
        assert_eq!(distance("tmieout", "timeout"), 2);
        assert_eq!(distance("", "ttl"), 3);
        assert!(distance(&"x".repeat(1_000_000), "ttl") > 2);
    }

    #[test]
    fn an_integer_of_any_size_is_read_or_saturates() {
        let huge = format!("[defaults]\nmark = {}\nttl = -{}", "9".repeat(100), "9".repeat(100));
        let mut problems = Vec::new();
        let file = read(&Path::new("f").into(), &huge, Role::Main, &mut problems).expect("must be accepted");
        assert_eq!(file.defaults.mark.value(), Some(&i128::MAX));
        assert_eq!(file.defaults.ttl.value(), Some(&i128::MIN));
    }
}
