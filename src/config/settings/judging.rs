//! What makes losses an outage, each value checked by itself, and inherited key by key. Whom a parent's name means is settled in
//! `parents`.

use std::sync::Arc;
use std::time::Duration;

use super::names::NOBODY;
use crate::config::error::Problem;
use crate::config::file;
use crate::config::reader::{Field, Written};
use crate::config::value;
use crate::monitor::outage::{BURST_INTERVAL, DegradedRules, Rules};
use crate::monitor::target::Name;

/// Over which time thresholds are judged where nobody says: long enough that a single loss is no 20 %.
pub const DEFAULT_DEGRADED_FOR: Duration = Duration::from_secs(60);

/// The keys as far as they are known. Only what other values may contradict keeps its place.
#[derive(Debug)]
pub(super) struct Judging {
    pub(super) down_after: Option<u32>,
    pub(super) up_after: Option<u32>,
    pub(super) merge_within: Option<Duration>,
    pub(super) suspect_interval: Field<Option<Duration>>,
    pub(super) burst: Option<u32>,
    pub(super) new_id_after: Option<Option<u32>>,
    pub(super) parent: Field<Option<Name>>,
    pub(super) degraded_loss: Option<Option<u16>>,
    pub(super) degraded_rtt: Option<Option<Duration>>,
    pub(super) degraded_for: Option<Duration>,
}

impl Judging {
    pub(super) fn checked(written: Option<Box<file::Judging>>, problems: &mut Vec<Problem>) -> Self {
        let written = written.map(|written| *written).unwrap_or_default();
        Self {
            down_after: written.down_after.check(value::in_a_row, problems).into_value(),
            up_after: written.up_after.check(value::in_a_row, problems).into_value(),
            merge_within: written.merge_within.check(|text| value::merge_within(&text), problems).into_value(),
            suspect_interval: written.suspect_interval.check(|text| value::suspect_interval(&text), problems),
            burst: written.burst.check(value::burst, problems).into_value(),
            new_id_after: written.new_id_after.check(|text| value::new_id_after(&text), problems).into_value(),
            parent: written.parent.check(|text| parent(&text), problems),
            degraded_loss: written.degraded_loss.check(|text| value::degraded_loss(&text), problems).into_value(),
            degraded_rtt: written.degraded_rtt.check(|text| value::degraded_rtt(&text), problems).into_value(),
            degraded_for: written.degraded_for.check(|text| value::degraded_for(&text), problems).into_value(),
        }
    }

    pub(super) fn or(&self, inherited: &Self) -> Self {
        Self {
            down_after: self.down_after.or(inherited.down_after),
            up_after: self.up_after.or(inherited.up_after),
            merge_within: self.merge_within.or(inherited.merge_within),
            suspect_interval: self.suspect_interval.or(&inherited.suspect_interval).clone(),
            burst: self.burst.or(inherited.burst),
            new_id_after: self.new_id_after.or(inherited.new_id_after),
            parent: self.parent.or(&inherited.parent).clone(),
            degraded_loss: self.degraded_loss.or(inherited.degraded_loss),
            degraded_rtt: self.degraded_rtt.or(inherited.degraded_rtt),
            degraded_for: self.degraded_for.or(inherited.degraded_for),
        }
    }

    /// The rules, as yet without a parent.
    pub(super) fn rules(&self) -> Rules {
        let default = Rules::default();
        Rules {
            down_after: self.down_after.unwrap_or(default.down_after),
            up_after: self.up_after.unwrap_or(default.up_after),
            merge_within: self.merge_within.unwrap_or(default.merge_within),
            suspect_interval: self.suspect_interval(),
            burst: self.burst.unwrap_or(default.burst),
            new_id_after: self.new_id_after.unwrap_or(default.new_id_after),
            parent: None,
            degraded: self.degraded(),
        }
    }

    fn suspect_interval(&self) -> Option<Duration> {
        self.suspect_interval.value().copied().flatten()
    }

    fn degraded(&self) -> Option<DegradedRules> {
        let (loss, rtt) = (self.degraded_loss.flatten(), self.degraded_rtt.flatten());
        let within = self.degraded_for.unwrap_or(DEFAULT_DEGRADED_FOR);
        (loss.is_some() || rtt.is_some()).then_some(DegradedRules { loss, rtt, within })
    }

    /// The parent that a target of these names asks for. One that is only inherited does not apply to itself.
    pub(super) fn parent_of(&self, names: [&Name; 2], own: &Self) -> Option<Written<Name>> {
        let Written { value, place } = self.parent.written()?.clone();
        let parent = value?;
        let is_itself = matches!(own.parent, Field::Unset) && names.contains(&&parent);
        (!is_itself).then_some(Written { value: parent, place })
    }

    /// The shortest time between two probes, and what so many of them are called.
    pub(super) fn shortest_pace(&self, interval: Duration) -> (Duration, &'static str) {
        let suspect = self.suspect_interval().map(|suspect| (suspect, "times suspect_interval"));
        let burst = self.burst.filter(|&burst| burst > 0).map(|_| (BURST_INTERVAL, "times the 20 ms of a burst"));
        [suspect, burst]
            .into_iter()
            .flatten()
            .fold((interval, "intervals"), |shortest, pace| if pace.0 < shortest.0 { pace } else { shortest })
    }
}

/// Rules that targets have in common: those of the defaults, and those of the target before. Neighbours are often alike, forty behind
/// one gateway among them.
pub(super) struct Shared {
    defaults: Arc<Rules>,
    last: Arc<Rules>,
}

impl Shared {
    pub(super) fn new(defaults: Rules) -> Self {
        let defaults = Arc::new(defaults);
        Self { last: Arc::clone(&defaults), defaults }
    }

    pub(super) fn of(&mut self, rules: Rules) -> Arc<Rules> {
        if rules == *self.defaults {
            return Arc::clone(&self.defaults);
        }
        if rules != *self.last {
            self.last = Arc::new(rules);
        }
        Arc::clone(&self.last)
    }
}

fn parent(text: &str) -> value::Result<Option<Name>> {
    if text == NOBODY {
        return Ok(None);
    }
    match Name::new(text) {
        Some(name) => Ok(Some(name)),
        None => value::refuse(r#"must be the name of another target, or "off""#),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_may_be_the_shortest_pace() {
        let mut judging = Judging::checked(None, &mut Vec::new());
        let ms = Duration::from_millis;
        assert_eq!(judging.shortest_pace(ms(1000)), (ms(1000), "intervals"));
        judging.burst = Some(0);
        assert_eq!(judging.shortest_pace(ms(1000)).0, ms(1000));
        judging.burst = Some(1);
        assert_eq!(judging.shortest_pace(ms(1000)).0, BURST_INTERVAL);
        assert_eq!(judging.shortest_pace(ms(10)), (ms(10), "intervals"));
    }
}
