//! Records for the sinks' tests.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::line::{Format, Labels, StampFormat, Style};
use crate::monitor::record::{Answer, AnswerKind, Event, Record};
use crate::monitor::target::{Family, Host, Name, SocketOptions, Target};
use crate::monitor::time::Wall;

/// Text lines that begin with seconds since the epoch, whatever the time zone.
pub(super) fn style() -> Style {
    Style { format: Format::Text, stamp: StampFormat::new("unix").unwrap(), labels: Labels::None }
}

/// Reply number `seq`, that many milliseconds after the epoch.
pub(super) fn reply(name: &str, seq: u64) -> Record {
    let addr = Ipv4Addr::new(192, 0, 2, 1).into();
    let at = Wall::from_nanos(seq as i64 * 1_000_000);
    let answer = Answer {
        kind: AnswerKind::Reply,
        seq,
        sent: at,
        rtt: Duration::from_micros(500),
        ttl: Some(64),
        bytes: 64,
        from: None,
    };
    let target = target(name, Host::Address(addr)).label();
    Record { at, target, addr: Some(addr), event: Event::Answer(answer) }
}

pub(super) fn target(name: &str, host: Host) -> Target {
    Target {
        name: Name::new(name).unwrap(),
        host,
        family: Family::Any,
        interval: Duration::from_secs(1),
        phase: Duration::ZERO,
        timeout: Duration::from_secs(2),
        size: 56,
        options: SocketOptions::default(),
        resolve_every: Duration::from_secs(60),
        count: None,
        rules: std::sync::Arc::default(),
    }
}
