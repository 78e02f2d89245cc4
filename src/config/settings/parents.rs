//! Whose parent is whom: names become targets that exist, circles are refused, and equal rules are shared.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::judging::Shared;
use super::names::{Names, SUFFIXES, with_suffix};
use super::version;
use crate::config::error::Problem;
use crate::config::reader::Written;
use crate::monitor::outage::Rules;
use crate::monitor::target::{Family, Host, IpVersion, Name, Target};

/// A target, and the parent it asks for.
pub(super) struct Child {
    pub(super) target: Target,
    pub(super) parent: Option<Written<Name>>,
}

/// The targets with their parents.
pub(super) fn settle(
    mut children: Vec<Child>,
    names: &Names,
    mut rules: Shared,
    problems: &mut Vec<Problem>,
) -> Vec<Arc<Target>> {
    for child in &mut children {
        child.parent = child.parent.take().and_then(|parent| meant(&child.target, parent, names, problems));
    }
    problems.extend(circles(&children));
    let settled = children.into_iter().map(|Child { mut target, parent }| {
        if let Some(parent) = parent {
            target.rules = rules.of(Rules { parent: Some(parent.value), ..(*target.rules).clone() });
        }
        Arc::new(target)
    });
    settled.collect()
}

/// The target that is meant by a parent's name: for a leg of a target of both families the parent's leg of the same family, if there
/// is one. `None`, and a problem, where there is no such target.
fn meant(target: &Target, parent: Written<Name>, names: &Names, problems: &mut Vec<Problem>) -> Option<Written<Name>> {
    let leg = family(target).and_then(|family| {
        let (suffix, _) = SUFFIXES.iter().find(|(_, leg)| *leg == family)?;
        let leg = with_suffix(&parent.value, suffix).filter(|leg| names.has(leg))?;
        Some((leg, target.name.as_str().ends_with(suffix)))
    });
    let value = match (names.has(&parent.value), leg) {
        (true, Some((leg, true))) | (false, Some((leg, _))) => leg,
        (true, Some((_, false)) | None) => parent.value,
        (false, None) => {
            if !names.has_gaps {
                problems.push(parent.place.problem(nobody(&names.meant_by(&parent.value))));
            }
            return None;
        }
    };
    Some(Written { value, place: parent.place })
}

fn nobody(legs: &[Name]) -> String {
    match legs {
        [] => r#"must be the name of another target, or "off"; there is none of this name"#.to_owned(),
        legs => {
            let legs: Vec<_> = legs.iter().map(|leg| format!("\"{leg}\"")).collect();
            format!("must say which family is meant: write {}", legs.join(" or "))
        }
    }
}

/// The family of a target's packets, where only one is possible.
fn family(target: &Target) -> Option<Family> {
    match (&target.host, target.family) {
        (Host::Address(addr), _) => Some(match version(addr.ip) {
            IpVersion::V4 => Family::Ipv4,
            IpVersion::V6 => Family::Ipv6,
        }),
        (Host::Name(_), Family::Any) => None,
        (Host::Name(_), family @ (Family::Ipv4 | Family::Ipv6)) => Some(family),
    }
}

/// One problem for each circle of parents, told of the first of its targets.
fn circles(children: &[Child]) -> Vec<Problem> {
    let by_name: BTreeMap<&Name, usize> =
        children.iter().enumerate().map(|(index, child)| (&child.target.name, index)).collect();
    let parent = |index: usize| by_name.get(&children[index].parent.as_ref()?.value).copied();
    // On which walk each target was come by first; every walk goes up until it meets a target that was.
    let mut walks: Vec<Option<usize>> = vec![None; children.len()];
    let mut problems = Vec::new();
    for start in 0..children.len() {
        let (mut at, mut way) = (Some(start), Vec::new());
        while let Some(index) = at.filter(|&index| walks[index].is_none()) {
            walks[index] = Some(start);
            way.push(index);
            at = parent(index);
        }
        if let Some(met) = at.filter(|&index| walks[index] == Some(start) && !way.is_empty()) {
            let circle: Vec<_> = way.into_iter().skip_while(|&index| index != met).collect();
            problems.extend(circle_problem(children, &circle));
        }
    }
    problems
}

fn circle_problem(children: &[Child], circle: &[usize]) -> Option<Problem> {
    let first = circle.iter().enumerate().min_by_key(|(_, index)| **index).map(|(position, _)| position)?;
    let round = circle.iter().cycle().skip(first).take(circle.len() + 1);
    let names: Vec<_> = round.map(|&index| children[index].target.name.as_str()).collect();
    let place = &children[circle[first]].parent.as_ref()?.place;
    Some(place.problem(match circle.len() {
        1 => r#"must be the name of another target, or "off""#.to_owned(),
        _ => format!("must not lead back to the target itself: {}", names.join(" -> ")),
    }))
}
