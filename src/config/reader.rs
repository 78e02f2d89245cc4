//! Reading TOML tables key by key: each value comes with its place, and one of the wrong form becomes a problem.
//!
//! Knows where things stand and what kind they are; which keys there are, and what they mean, it does not know.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeFloat, DeInteger, DeString, DeTable, DeValue};

use super::error::{Place, Problem, escaped, excerpt};
use super::value;

/// A key as far as it is known.
#[derive(Debug, Clone, Default)]
pub(super) enum Field<T> {
    /// Not written.
    #[default]
    Unset,
    /// Written, and refused: its problem has been told, and whatever depends on it must not tell another.
    Refused,
    /// Written and sound so far.
    Set(Written<T>),
}

impl<T> Field<T> {
    /// Applies a rule to the value; what the rule refuses becomes a problem.
    pub(super) fn check<U>(self, rule: impl FnOnce(T) -> value::Result<U>, problems: &mut Vec<Problem>) -> Field<U> {
        match self {
            Self::Unset => Field::Unset,
            Self::Refused => Field::Refused,
            Self::Set(Written { value, place }) => match rule(value) {
                Ok(value) => Field::Set(Written { value, place }),
                Err(refusal) => {
                    problems.push(place.problem(refusal.to_string()));
                    Field::Refused
                }
            },
        }
    }

    /// The field itself where it is written, `inherited` where not.
    pub(super) fn or<'a>(&'a self, inherited: &'a Self) -> &'a Self {
        match self {
            Self::Unset => inherited,
            Self::Refused | Self::Set(_) => self,
        }
    }

    /// The sound value.
    pub(super) fn value(&self) -> Option<&T> {
        self.written().map(|written| &written.value)
    }

    /// As [`Field::value`], taken out.
    pub(super) fn into_value(self) -> Option<T> {
        self.into_written().map(|written| written.value)
    }

    /// As [`Field::written`], taken out.
    pub(super) fn into_written(self) -> Option<Written<T>> {
        match self {
            Self::Unset | Self::Refused => None,
            Self::Set(written) => Some(written),
        }
    }

    /// The sound value and where it stands.
    pub(super) fn written(&self) -> Option<&Written<T>> {
        match self {
            Self::Unset | Self::Refused => None,
            Self::Set(written) => Some(written),
        }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Written<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// A file's text, and how to find a place in it.
pub(super) struct Source<'a> {
    pub(super) path: &'a Arc<Path>,
    text: &'a str,
    /// Offsets of the first byte of each line.
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &'a Arc<Path>, text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(end, _)| end + 1)).collect();
        Self { path, text, lines }
    }

    /// Line number, from 1.
    fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|&start| start <= offset)
    }

    fn slice(&self, span: Range<usize>) -> &'a str {
        self.text.get(span).unwrap_or("")
    }

    /// What the parser says, and where.
    pub(super) fn syntax_problem(&self, error: &toml::de::Error) -> Problem {
        let span = error.span().unwrap_or(0..0);
        let line = self.line(span.start);
        let column = self.slice(self.lines[line - 1]..span.start).chars().count() + 1;
        let found = excerpt(self.slice(span).trim());
        let quoted = if found.is_empty() { found } else { format!(": `{found}`") };
        let reason = format!("not valid TOML: {}{quoted}", escaped(error.message()));
        Problem { line: Some(line), column: Some(column), ..Problem::in_file(self.path, reason) }
    }
}

/// How a message names the table in which a key stands.
#[derive(Debug, Clone)]
pub(super) enum Title {
    /// The file itself: the key alone.
    Root,
    /// `defaults.KEY`.
    Named(&'static str),
    /// `target "LABEL": KEY`. Without a label, and for the key whose value is the label, `target.KEY`.
    Target {
        /// The key and its value.
        label: Option<(&'static str, String)>,
    },
}

impl Title {
    fn key(&self, key: &str) -> String {
        let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let shown = excerpt(key);
        let shown = if !key.is_empty() && key.chars().all(bare) { shown } else { format!("\"{shown}\"") };
        match self {
            Self::Root => shown,
            Self::Named(table) => format!("{table}.{shown}"),
            Self::Target { label: Some((label_key, label)) } if *label_key != key => {
                format!("target \"{label}\": {shown}")
            }
            Self::Target { .. } => format!("target.{shown}"),
        }
    }
}

/// A table while it is read.
pub(super) struct Table<'a, 'i> {
    pub(super) source: &'a Source<'a>,
    pub(super) title: Title,
    pub(super) entries: &'a DeTable<'i>,
}

impl<'a, 'i> Table<'a, 'i> {
    /// Where `key` ought to stand in the table that begins with `header`.
    pub(super) fn missing(&self, key: &str, header: Range<usize>) -> Place {
        Place {
            file: Arc::clone(self.source.path),
            line: self.source.line(header.start),
            key: self.title.key(key),
            value: None,
        }
    }

    /// The value of `key`, where it is of the form.
    pub(super) fn field<T>(&self, key: &str, form: Form<T>, problems: &mut Vec<Problem>) -> Field<T> {
        match self.entries.get_key_value(key) {
            None => Field::Unset,
            Some((key, value)) => self.formed(key, value, form, problems),
        }
    }

    fn formed<T>(
        &self,
        key: &Spanned<DeString<'i>>,
        value: &Spanned<DeValue<'i>>,
        form: Form<T>,
        problems: &mut Vec<Problem>,
    ) -> Field<T> {
        let place = self.place(key, value);
        match (form.read)(value.get_ref()) {
            Some(value) => Field::Set(Written { value, place }),
            None => {
                problems.push(place.problem(format!("must be {}, not {}", form.wanted, found(value.get_ref()))));
                Field::Refused
            }
        }
    }

    fn place(&self, key: &Spanned<DeString<'i>>, value: &Spanned<DeValue<'i>>) -> Place {
        let written = self.source.slice(value.span());
        // The place of a table is its header, or a part of a dotted key: no value to show.
        let is_header = value.get_ref().is_table() && !written.starts_with('{') || written.starts_with("[[");
        Place {
            file: Arc::clone(self.source.path),
            // Not the key's line: an array's elements have lines of their own.
            line: self.source.line(value.span().start),
            key: self.title.key(key.get_ref()),
            value: (!is_header).then(|| excerpt(written)),
        }
    }

    /// The table under `key`.
    pub(super) fn table(&self, key: &'static str, problems: &mut Vec<Problem>) -> Option<Self> {
        let (written_key, value) = self.entries.get_key_value(key)?;
        let Some(entries) = value.get_ref().as_table() else {
            let reason = format!("must be one table headed [{key}] in single brackets, not {}", found(value.get_ref()));
            problems.push(self.place(written_key, value).problem(reason));
            return None;
        };
        Some(Table { source: self.source, title: Title::Named(key), entries })
    }

    /// The tables of the array under `key`, each with its header's span. What else it holds becomes problems.
    pub(super) fn tables(&self, key: &str, problems: &mut Vec<Problem>) -> Vec<(Range<usize>, &'a DeTable<'i>)> {
        let Some((written_key, value)) = self.entries.get_key_value(key) else { return Vec::new() };
        let mut refuse = |value: &Spanned<DeValue<'i>>| {
            let reason = format!("must be tables headed [[{key}]] in double brackets, not {}", found(value.get_ref()));
            problems.push(self.place(written_key, value).problem(reason));
        };
        let Some(elements) = value.get_ref().as_array() else {
            refuse(value);
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(elements.len());
        for element in elements.iter() {
            match element.get_ref().as_table() {
                Some(entries) => tables.push((element.span(), entries)),
                None => refuse(element),
            }
        }
        tables
    }

    /// The strings of the array under `key`. What else it holds becomes problems.
    pub(super) fn texts(&self, key: &str, wanted: &str, problems: &mut Vec<Problem>) -> Vec<Written<String>> {
        let list = self.elements(key, wanted, problems).into_value().unwrap_or_default();
        list.into_iter().filter_map(Field::into_written).collect()
    }

    /// The array of strings under `key`, refused as a whole where any of them is.
    pub(super) fn list(&self, key: &str, wanted: &str, problems: &mut Vec<Problem>) -> Field<Vec<Written<String>>> {
        match self.elements(key, wanted, problems) {
            Field::Unset => Field::Unset,
            Field::Refused => Field::Refused,
            Field::Set(Written { value, place }) => match value.into_iter().map(Field::into_written).collect() {
                Some(value) => Field::Set(Written { value, place }),
                None => Field::Refused,
            },
        }
    }

    fn elements(&self, key: &str, wanted: &str, problems: &mut Vec<Problem>) -> Field<Vec<Field<String>>> {
        let Some((key, value)) = self.entries.get_key_value(key) else { return Field::Unset };
        let place = self.place(key, value);
        let Some(elements) = value.get_ref().as_array() else {
            problems.push(place.problem(format!("must be {wanted}, not {}", found(value.get_ref()))));
            return Field::Refused;
        };
        let value = elements.iter().map(|element| self.formed(key, element, TEXT, problems)).collect();
        Field::Set(Written { value, place })
    }

    /// Whether any of `keys` is written.
    pub(super) fn has_any(&self, keys: &[&str]) -> bool {
        keys.iter().any(|&key| self.entries.contains_key(key))
    }

    /// Every key that is not among `known`, and where it stands.
    pub(super) fn unknown(&self, known: &[&str]) -> impl Iterator<Item = (&str, Place)> {
        let is_unknown = move |key: &str| !known.contains(&key);
        let entries = self.entries.iter().filter(move |(key, _)| is_unknown(key.get_ref()));
        entries.map(|(key, value)| (key.get_ref().as_ref(), self.place(key, value)))
    }
}

/// The kind of value a key takes.
pub(super) struct Form<T> {
    /// What it is called in a problem.
    wanted: &'static str,
    read: fn(&DeValue<'_>) -> Option<T>,
}

pub(super) const TEXT: Form<String> =
    Form { wanted: "a string in quotes", read: |value| value.as_str().map(str::to_owned) };
pub(super) const NUMBER: Form<i128> = Form { wanted: "a whole number", read: |value| value.as_integer().map(number) };
pub(super) const SWITCH: Form<bool> = Form { wanted: "true or false", read: |value| value.as_bool() };
pub(super) const DURATION: Form<String> = quantity("a duration such as \"1s\"");
pub(super) const DURATION_OR_OFF: Form<String> = quantity("\"off\" or a duration such as \"1s\"");
pub(super) const SHARE_OR_OFF: Form<String> = quantity("\"off\" or a share such as \"20%\"");
pub(super) const NUMBER_OR_OFF: Form<String> = Form {
    wanted: "\"off\" or a whole number",
    read: |value| match value.as_integer() {
        // Decimal, however it is written.
        Some(integer) => Some(number(integer).to_string()),
        None => value.as_str().map(str::to_owned),
    },
};
pub(super) const BYTES: Form<String> = quantity("a size such as \"100MiB\"");

/// A bare number passes as its text: the rule that asks for a unit can then show how to write it.
const fn quantity(wanted: &'static str) -> Form<String> {
    let read = |value: &DeValue<'_>| {
        let text = value.as_str().or_else(|| value.as_integer().map(DeInteger::as_str));
        text.or_else(|| value.as_float().map(DeFloat::as_str)).map(str::to_owned)
    };
    Form { wanted, read }
}

/// TOML's integers have any size here: what is too large for every type saturates, for the bounds to refuse.
fn number(integer: &DeInteger<'_>) -> i128 {
    let text = integer.as_str();
    let limit = if text.starts_with('-') { i128::MIN } else { i128::MAX };
    i128::from_str_radix(text, integer.radix()).unwrap_or(limit)
}

/// A value's kind with its article.
fn found(value: &DeValue<'_>) -> String {
    let kind = value.type_str();
    let article = if kind.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_at_its_first_and_last_byte() {
        let path = Path::new("f").into();
        let source = Source::new(&path, "ab\nc\n");
        assert_eq!([0, 2, 3, 4, 5].map(|offset| source.line(offset)), [1, 1, 2, 2, 3]);
    }
}
