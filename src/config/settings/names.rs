//! The names of targets: given or made from the host, unique, none that a rotated log might have, nor one that means no target. A target
//! of both families goes by one name in the configuration and has two.

use std::collections::BTreeMap;

use crate::config::error::{Place, Problem};
use crate::config::reader::{Field, Written};
use crate::config::value;
use crate::monitor::target::{Family, Host, Name};

/// The names by which targets can be meant.
pub(crate) struct Names {
    /// Each with the place where it was given.
    taken: BTreeMap<Name, Place>,
    /// Whether there may be others, of targets that could not be read.
    pub(super) has_gaps: bool,
}

impl Names {
    /// No names so far. With `has_gaps` there may be targets in files that could not be read.
    pub(super) fn new(has_gaps: bool) -> Self {
        Self { taken: BTreeMap::new(), has_gaps }
    }

    /// The targets that a name stands for: the one of that name, or both legs of the `[[target]]` of that name.
    pub(super) fn meant_by(&self, name: &Name) -> Vec<Name> {
        if self.has(name) {
            return vec![name.clone()];
        }
        let legs = SUFFIXES.iter().filter_map(|(suffix, _)| with_suffix(name, suffix));
        legs.filter(|leg| self.has(leg)).collect()
    }

    /// Whether there is a target of this very name.
    pub(super) fn has(&self, name: &Name) -> bool {
        self.taken.contains_key(name)
    }

    /// Takes the names of `legs`. A name that is taken already becomes a problem, one for both legs.
    pub(super) fn reserve(&mut self, written: &Written<Name>, legs: &[(Name, Family)], problems: &mut Vec<Problem>) {
        let clash = legs.iter().find_map(|(name, _)| Some((name, self.taken.get(name)?)));
        if let Some((name, first)) = clash {
            let reason = format!("the name \"{name}\" is taken by the target at {first}; names must be unique");
            problems.push(written.place.problem(reason));
        }
        for (name, _) in legs {
            self.taken.entry(name.clone()).or_insert_with(|| written.place.clone());
        }
    }
}

/// The name as given, or the host's where none is.
pub(super) fn name_or_default(
    name: Field<Name>,
    host: &Field<Host>,
    problems: &mut Vec<Problem>,
) -> Option<Written<Name>> {
    match name {
        Field::Set(name) => Some(name),
        Field::Refused => None,
        Field::Unset => host.clone().check(|host| default_name(&host), problems).into_written(),
    }
}

pub(super) fn name(text: &str) -> value::Result<Name> {
    let name = value::name(text)?;
    if is_dated(&name) {
        return value::refuse(r#"must not end like the date of a rotated log, such as "-2026-11-22""#);
    }
    if name.as_str() == NOBODY {
        return value::refuse(r#"must not be "off": as a parent it means none"#);
    }
    Ok(name)
}

fn default_name(host: &Host) -> value::Result<Name> {
    let name = value::default_name(host)?;
    if is_dated(&name) {
        return value::refuse("ends like the date of a rotated log: add a name that does not");
    }
    if name.as_str() == NOBODY {
        return value::refuse(r#"cannot be a name, as "off" means none where a parent is written: add another name"#);
    }
    Ok(name)
}

/// What `parent` is for a target without one, and so nobody's name.
pub(super) const NOBODY: &str = "off";

/// Whether a name ends in `-YYYY-MM-DD` or `-YYYY-MM-DDTHH`: its live file might be a rotated one of another target.
fn is_dated(name: &Name) -> bool {
    let shape: String = name.as_str().chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    ["-0000-00-00", "-0000-00-00T00"].iter().any(|date| shape.ends_with(date))
}

/// What a target of family `both` adds to its name for each of its legs.
pub(super) const SUFFIXES: [(&str, Family); 2] = [(".ipv4", Family::Ipv4), (".ipv6", Family::Ipv6)];

pub(super) fn with_suffix(name: &Name, suffix: &str) -> Option<Name> {
    Name::new(&format!("{name}{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_rotated_log_might_have_is_refused() {
        for text in ["web-2026-11-22", "web-2026-11-22T13", "a.b:c-9999-99-99", "-2026-11-22"] {
            assert!(name(text).is_err(), "{text}");
            assert!(default_name(&Host::Name(text.into())).is_err(), "{text}");
        }
        for text in ["pingtest", "2026-11-22", "web-2026-11-22a", "web-2026-11-22T1", "web-2026-11", "web_2026-11-22"] {
            assert!(name(text).is_ok(), "{text}");
        }
    }
}
