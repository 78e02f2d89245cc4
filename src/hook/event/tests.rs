//! Events in words, to the letter.

use std::net::Ipv4Addr;
use std::time::Instant;

use chrono::FixedOffset;

use super::*;
use crate::monitor::outage::{Bound, Cause, Outage};
use crate::monitor::sample::IcmpError;
use crate::monitor::target::{Host, Label, Name};

/// 2026-11-22T13:09:57.123456Z.
const AT: Wall = Wall::from_nanos(1_795_352_997_123_456_789);

#[expect(clippy::disallowed_methods, reason = "any instant will do, and there is no other way to have one")]
fn event(what: What) -> Event {
    let target = Label { name: Name::new("gw-la").expect("a name"), host: Host::Name("gw.example".into()) };
    let addr = Some(Ipv4Addr::new(192, 0, 2, 7).into());
    let finding = Arc::new(Finding { at: AT, target, addr, what });
    Event { trigger: trigger(&finding.what).expect("worth telling"), finding, since: Instant::now() }
}

fn outage() -> Outage {
    Outage {
        began: Bound { at: AT, earliest: Some(AT - Duration::from_secs(1)) },
        ended: None,
        lasted: Duration::from_micros(12_345_678),
        cause: Cause::Unanswered,
        first_seq: 7,
        lost: 12,
        unmeasured: Duration::ZERO,
        fragments: 1,
        new_ids: 1,
        new_id_helped: false,
        behind: 3,
    }
}

fn words(what: What, missed: u64) -> Told {
    let zone = FixedOffset::east_opt(3600).expect("an offset");
    told(&event(what), missed, &zone, |index| (index == 2).then(|| "eth0".into()))
}

#[test]
fn an_outage_is_told_with_its_bounds_its_cause_and_its_figures() {
    let ended = Some(Bound { at: AT + Duration::from_secs(12), earliest: None });
    let error = IcmpError::V4 { kind: 3, code: 1, info: 0 };
    let from = Addr { ip: "fe80::1".parse().expect("an address"), scope: 2 };
    let told = words(What::OutageEnded(Outage { ended, cause: Cause::Unreachable { error, from }, ..outage() }), 0);
    let expected = concat!(
        r#"{"event":"outage_ended","ts":"2026-11-22T14:09:57.123456+01:00","target":"gw-la","host":"gw.example","#,
        r#""addr":"192.0.2.7","outage":{"began":"2026-11-22T14:09:57.123456+01:00","#,
        r#""began_earliest":"2026-11-22T14:09:56.123456+01:00","ended":"2026-11-22T14:10:09.123456+01:00","#,
        r#""lasted_s":12.345678,"cause":"unreachable","detail":"Destination Host Unreachable","from":"fe80::1%eth0","#,
        r#""lost":12,"unmeasured_s":0.0,"fragments":1,"new_ids":1,"new_id_helped":false,"behind":3}}"#,
    );
    assert_eq!(told.json, expected);
    let variables: Vec<_> = told.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        variables,
        [
            "PINGTEST_ADDR=192.0.2.7",
            "PINGTEST_BEGAN=2026-11-22T14:09:57.123456+01:00",
            "PINGTEST_CAUSE=unreachable",
            "PINGTEST_ENDED=2026-11-22T14:10:09.123456+01:00",
            "PINGTEST_EVENT=outage_ended",
            "PINGTEST_HOST=gw.example",
            "PINGTEST_LASTED=12.345678",
            "PINGTEST_TARGET=gw-la",
        ]
    );
}

#[test]
fn what_does_not_apply_is_absent() {
    let told = words(What::OutageBegan(outage()), 0);
    for absent in ["ended", "detail", "from", "missed", "first_reply", "old"] {
        assert!(!told.json.contains(&format!("\"{absent}\":")), "{absent}: {}", told.json);
    }
}

#[test]
fn other_events_are_told_with_what_they_have() {
    let first = What::FirstReply(finding::FirstReply {
        seq: 31,
        after: Duration::from_secs(30),
        lost: 30,
        hint: Some(WarmUp::BridgeListeningAndLearning),
    });
    let told = words(first, 0);
    let expected = r#""first_reply":{"after_s":30.0,"lost":30,"hint":"bridge_listening_and_learning"}}"#;
    assert!(told.json.ends_with(expected), "{}", told.json);

    let (old, new) = (Ipv4Addr::new(172, 17, 0, 2).into(), Ipv4Addr::new(172, 17, 0, 3).into());
    let told = words(What::AddressChanged { old, new }, 5);
    assert!(told.json.ends_with(r#""old":"172.17.0.2","new":"172.17.0.3","missed":5}"#), "{}", told.json);
    assert_eq!(told.variables["PINGTEST_OLD"], "172.17.0.2");
    assert_eq!(told.variables["PINGTEST_MISSED"], "5");
}

#[test]
fn a_state_pulls_a_trigger_only_into_and_out_of_degraded() {
    let changed = |from, to| trigger(&What::StateChanged { from, to });
    assert_eq!(changed(State::Up, State::Degraded), Some(Trigger::DegradedBegan));
    assert_eq!(changed(State::Degraded, State::Up), Some(Trigger::DegradedEnded));
    assert_eq!(changed(State::Degraded, State::Down), Some(Trigger::DegradedEnded));
    assert_eq!(changed(State::Up, State::Down), None, "the outage is an event of its own");
    assert_eq!(trigger(&What::OutageAmended(outage())), None);
    assert_eq!(trigger(&What::Watched), None);
}
