//! What is wrong with a configuration: one [`Problem`] for each mistake, all of them together as [`Problems`].
//!
//! A problem says where (file, line, key), what stands there (the value as written) and what is allowed instead, on one
//! line. This module does not know what is right or wrong; it only tells.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::secrets;
use crate::printable::printable;

/// Every problem of a configuration, at least one, in the order of the files and their lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Puts `problems` into the order in which somebody mends them: by file, as `files` were read, then by line.
    pub(super) fn sorted(mut problems: Vec<Problem>, files: &[Arc<Path>]) -> Self {
        let rank = |problem: &Problem| files.iter().position(|file| *file == problem.file).unwrap_or(files.len());
        problems.sort_by_cached_key(|problem| (rank(problem), problem.line, problem.column));
        // A mistake in [defaults] comes up once for each target that inherits it.
        problems.dedup();
        Self(problems)
    }

    /// The problems one by one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    /// One problem a line, without a line end after the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

/// One mistake in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The file it is in, as the path was given or made from `include`.
    pub file: Arc<Path>,
    /// The line, from 1; `None` where the file as a whole is meant.
    pub line: Option<usize>,
    /// The column in characters, from 1; given where the text is not TOML.
    pub column: Option<usize>,
    /// The key, with the table it stands in: `defaults.interval`, `target "alidns": interval`.
    pub key: Option<String>,
    /// The value as written, shortened and fit for one line.
    pub value: Option<String>,
    /// What is wrong or what is allowed: lower case, no full stop.
    pub reason: String,
}

impl Problem {
    /// A problem with a file as a whole.
    pub(super) fn in_file(file: &Arc<Path>, reason: impl Into<String>) -> Self {
        Self { file: Arc::clone(file), line: None, column: None, key: None, value: None, reason: reason.into() }
    }
}

impl fmt::Display for Problem {
    /// `FILE:LINE: KEY = VALUE: REASON`, always one line; parts that are not known are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(&self.file.to_string_lossy()))?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
        }
        write!(f, ": {}", self.reason)
    }
}

/// Where a key and its value stand.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The file.
    pub(super) file: Arc<Path>,
    /// The line, from 1.
    pub(super) line: usize,
    /// As [`Problem::key`].
    pub(super) key: String,
    /// As [`Problem::value`].
    pub(super) value: Option<String>,
}

impl Place {
    /// What is wrong here.
    pub(super) fn problem(&self, reason: impl Into<String>) -> Problem {
        Problem {
            file: Arc::clone(&self.file),
            line: Some(self.line),
            column: None,
            key: Some(self.key.clone()),
            value: self.value.clone(),
            reason: reason.into(),
        }
    }

    /// `KEY = VALUE at FILE:LINE`, for a reason that quotes a second place.
    pub(super) fn quoted(&self) -> String {
        match &self.value {
            Some(value) => format!("{} = {value} at {self}", self.key),
            None => format!("{} at {self}", self.key),
        }
    }
}

impl fmt::Display for Place {
    /// `FILE:LINE`, for a reason that points at a second place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", escaped(&self.file.to_string_lossy()), self.line)
    }
}

/// `text` on one line and without secrets, cut off with `…` where it is long.
pub(super) fn excerpt(text: &str) -> String {
    /// Enough to recognise a value by; a whole problem then fits a wide terminal.
    const MAX_CHARS: usize = 60;
    let text = secrets::hidden(text);
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => escaped(&text[..end]) + "…",
        None => escaped(&text),
    }
}

/// `text` on one line: a configuration must not steer the terminal that shows its mistakes.
pub(super) fn escaped(text: &str) -> String {
    printable(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(file: &str, line: usize) -> Problem {
        let place = Place { file: Path::new(file).into(), line, key: "size".into(), value: Some("-1".into()) };
        place.problem("must be at least 0")
    }

    #[test]
    fn a_problem_is_one_line_of_file_line_key_value_and_bound() {
        assert_eq!(at("a.toml", 7).to_string(), "a.toml:7: size = -1: must be at least 0");
    }

    #[test]
    fn parts_that_are_not_known_are_left_out() {
        let whole = Problem::in_file(&Path::new("a.toml").into(), "is empty");
        assert_eq!(whole.to_string(), "a.toml: is empty");
        let there = Problem { line: Some(2), column: Some(5), ..whole };
        assert_eq!(there.to_string(), "a.toml:2:5: is empty");
    }

    #[test]
    fn problems_are_sorted_by_file_as_read_then_line_and_told_once() {
        let files: [Arc<Path>; 2] = [Path::new("z").into(), Path::new("a").into()];
        let sorted = Problems::sorted(vec![at("a", 1), at("z", 10), at("z", 9), at("a", 1)], &files);
        let lines: Vec<_> = sorted.iter().map(|p| (p.file.to_str(), p.line)).collect();
        assert_eq!(lines, [(Some("z"), Some(9)), (Some("z"), Some(10)), (Some("a"), Some(1))]);
    }

    #[test]
    fn an_excerpt_is_short_and_harmless() {
        assert_eq!(excerpt("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(excerpt(&"ä".repeat(60)), "ä".repeat(60));
        assert_eq!(excerpt(&"ä".repeat(61)), "ä".repeat(60) + "…");
    }
}
