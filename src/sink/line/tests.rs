//! Every event as text and as JSON, to the letter.

mod parse;

use chrono::{DateTime, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, Offset, Utc};
use proptest::prelude::*;

use super::*;
use crate::monitor::finding::FirstReply;
use crate::monitor::outage::Ending;
use crate::monitor::record::{Answer, AnswerKind, Event, Lateness, SendError};
use crate::monitor::sample::IcmpError;
use crate::monitor::target::Target;
use crate::sink::fixture::target;

const HOST_UNREACHABLE: IcmpError = IcmpError::V4 { kind: 3, code: 1, info: 0 };

#[test]
fn a_reply_reads_as_iputils_prints_it() {
    let record = record(literal("alidns", "223.5.5.5"), answer(AnswerKind::Reply, 1, micro(5_120)));
    assert_eq!(text(&record), "2026-11-22_13:09:57.123 64 bytes from 223.5.5.5: icmp_seq=1 ttl=118 time=5.12 ms");
    assert_eq!(
        json(&record),
        r#"{"ts":"2026-11-22T13:09:57.123456+01:00","target":"alidns","addr":"223.5.5.5","seq":1,"outcome":"reply","rtt_ms":5.12,"ttl":118,"bytes":64,"sent":"2026-11-22T13:09:55.000000+01:00"}"#
    );
}

#[test]
fn a_shared_file_names_the_target_in_brackets() {
    let record = record(literal("alidns", "223.5.5.5"), answer(AnswerKind::Reply, 1, micro(5_120)));
    let line = render(&style(Format::Text, "%F_%H:%M:%S%.3f", Labels::Bracketed), &record);
    assert_eq!(line, "2026-11-22_13:09:57.123 [alidns] 64 bytes from 223.5.5.5: icmp_seq=1 ttl=118 time=5.12 ms");
}

#[test]
fn a_host_given_by_name_is_shown_with_its_address() {
    let record = record(named("web", "web001", Some("172.17.0.2")), answer(AnswerKind::Reply, 7, micro(123)));
    assert_eq!(body(&record), "64 bytes from web001 (172.17.0.2): icmp_seq=7 ttl=118 time=0.123 ms");
    assert!(json(&record).contains(r#""target":"web","addr":"172.17.0.2","seq":7"#));
}

#[test]
fn a_loss_carries_the_timeout() {
    let lost = |timeout| Event::Lost { seq: 2, sent: wall(-2_000), timeout };
    let whole = record(literal("alidns", "223.5.5.5"), lost(Duration::from_secs(2)));
    assert_eq!(text(&whole), "2026-11-22_13:09:57.123 no answer from 223.5.5.5: icmp_seq=2 timeout=2000 ms");
    assert_eq!(
        json(&whole),
        r#"{"ts":"2026-11-22T13:09:57.123456+01:00","target":"alidns","addr":"223.5.5.5","seq":2,"outcome":"lost","sent":"2026-11-22T13:09:55.123456+01:00"}"#
    );
    let part = record(named("web", "web001", Some("172.17.0.2")), lost(micro(1_500)));
    assert_eq!(body(&part), "no answer from web001 (172.17.0.2): icmp_seq=2 timeout=1.5 ms");
    let tiny = record(literal("alidns", "223.5.5.5"), lost(Duration::from_nanos(1_000_010)));
    assert_eq!(body(&tiny), "no answer from 223.5.5.5: icmp_seq=2 timeout=1.00001 ms");
}

#[test]
fn each_kind_of_answer_has_its_mark_and_its_outcome() {
    let cases = [
        (AnswerKind::Reply, "time=2405 ms", r#""outcome":"reply""#),
        (AnswerKind::Late, "time=2405 ms (LATE)", r#""outcome":"late""#),
        (AnswerKind::Duplicate, "time=2405 ms (DUP!)", r#""outcome":"duplicate""#),
        (AnswerKind::Damaged, "time=2405 ms (DAMAGED)", r#""outcome":"damaged""#),
        (AnswerKind::DifferentAddress, "time=2405 ms (DIFFERENT ADDRESS!)", r#""outcome":"different_address""#),
    ];
    for (kind, end, outcome) in cases {
        let record = record(literal("alidns", "223.5.5.5"), answer(kind, 2, micro(2_405_000)));
        assert_eq!(body(&record), format!("64 bytes from 223.5.5.5: icmp_seq=2 ttl=118 {end}"));
        assert!(json(&record).contains(outcome), "{}", json(&record));
    }
}

#[test]
fn an_answer_from_elsewhere_shows_who_sent_it() {
    let event =
        Event::Answer(Answer { from: Some(ip("10.0.0.9").into()), ..some_answer(AnswerKind::DifferentAddress) });
    let record = record(named("web", "web001", Some("172.17.0.2")), event);
    assert_eq!(body(&record), "64 bytes from 10.0.0.9: icmp_seq=4 ttl=118 time=5.20 ms (DIFFERENT ADDRESS!)");
    assert_eq!(
        json(&record),
        r#"{"ts":"2026-11-22T13:09:57.123456+01:00","target":"web","addr":"172.17.0.2","seq":4,"outcome":"different_address","rtt_ms":5.2,"ttl":118,"bytes":64,"from":"10.0.0.9","sent":"2026-11-22T13:09:55.000000+01:00"}"#
    );
}

#[test]
fn a_time_to_live_the_kernel_did_not_tell_is_left_out() {
    let event = Event::Answer(Answer { ttl: None, ..some_answer(AnswerKind::Reply) });
    let record = record(literal("alidns", "223.5.5.5"), event);
    assert_eq!(body(&record), "64 bytes from 223.5.5.5: icmp_seq=4 time=5.20 ms");
    assert!(!json(&record).contains("ttl"));
}

#[test]
fn an_error_names_its_sender() {
    let error = |from: &str, lateness| Event::Unreachable {
        seq: 5,
        sent: wall(0),
        from: ip(from).into(),
        error: HOST_UNREACHABLE,
        lateness,
    };
    let in_time = record(literal("alidns", "223.5.5.5"), error("10.0.0.1", Lateness::InTime));
    assert_eq!(body(&in_time), "From 10.0.0.1 icmp_seq=5 Destination Host Unreachable");
    assert_eq!(
        json(&in_time),
        r#"{"ts":"2026-11-22T13:09:57.123456+01:00","target":"alidns","addr":"223.5.5.5","seq":5,"outcome":"unreachable","from":"10.0.0.1","error":"Destination Host Unreachable","sent":"2026-11-22T13:09:57.123456+01:00"}"#
    );
    let late = record(literal("alidns", "223.5.5.5"), error("223.5.5.5", Lateness::AfterLoss));
    assert_eq!(body(&late), "From 223.5.5.5 icmp_seq=5 Destination Host Unreachable (LATE)");
    assert!(!json(&late).contains("from"), "the address probed is in addr");
}

#[test]
fn a_probe_the_kernel_refused_says_why() {
    let error = SendError { errno: 101, text: "Network is unreachable" };
    let record = record(literal("alidns", "223.5.5.5"), Event::NotSent { seq: 6, error });
    assert_eq!(body(&record), "not sent to 223.5.5.5: icmp_seq=6 Network is unreachable");
    assert_eq!(
        json(&record),
        r#"{"ts":"2026-11-22T13:09:57.123456+01:00","target":"alidns","addr":"223.5.5.5","seq":6,"outcome":"not_sent","error":"Network is unreachable"}"#
    );
}

#[test]
fn probes_not_measured_share_a_line() {
    let reason = Reason::Suspended(Duration::from_millis(41_020));
    let many = record(
        literal("alidns", "223.5.5.5"),
        Event::NotMeasured { first: 7, last: 47, count: 41, reason: reason.clone() },
    );
    assert_eq!(body(&many), "not measured: 41 probes to 223.5.5.5, icmp_seq=7..47 (suspended for 41.0 s)");
    assert_eq!(
        json(&many),
        r#"{"ts":"2026-11-22T13:09:57.123456+01:00","target":"alidns","addr":"223.5.5.5","seq":7,"outcome":"not_measured","error":"suspended for 41.0 s","count":41}"#
    );
    let one = record(literal("alidns", "223.5.5.5"), Event::NotMeasured { first: 7, last: 7, count: 1, reason });
    assert_eq!(body(&one), "not measured: 1 probe to 223.5.5.5, icmp_seq=7 (suspended for 41.0 s)");
}

#[test]
fn time_in_which_pingtest_did_not_run_has_no_number() {
    let absence = |count, ending| Event::NotRunning { count, time: Duration::from_millis(12_340), ending };
    let clean = record(literal("alidns", "223.5.5.5"), absence(12, Ending::Clean));
    assert_eq!(body(&clean), "not measured: 12 probes to 223.5.5.5 (pingtest did not run for 12.3 s)");
    assert_eq!(
        json(&clean),
        r#"{"ts":"2026-11-22T13:09:57.123456+01:00","target":"alidns","addr":"223.5.5.5","outcome":"not_measured","error":"pingtest did not run for 12.3 s","count":12}"#
    );
    let abrupt = record(named("web", "web001", None), absence(1, Ending::Abrupt));
    assert_eq!(body(&abrupt), "not measured: 1 probe to web001 (pingtest did not run for up to 12.3 s)");
    assert!(!json(&abrupt).contains("addr"));
}

#[test]
fn each_reason_has_its_words() {
    let cases = [
        (Reason::Suspended(Duration::from_millis(41_000)), "suspended for 41.0 s"),
        (Reason::Suspended(Duration::from_millis(999)), "suspended for 999 ms"),
        (Reason::Suspended(Duration::from_micros(999_700)), "suspended for 1.0 s"),
        (Reason::Stalled(Duration::from_secs(5)), "stalled for 5.0 s"),
        (Reason::Stalled(Duration::from_millis(120)), "stalled for 120 ms"),
        (Reason::LocalDrops, "local receive buffer overflowed"),
        (Reason::NotResolved("Name or service not known".into()), "not resolved: Name or service not known"),
        (Reason::ArrivalUnknown, "clock trouble: time of arrival unknown"),
        (Reason::Removed, "target removed"),
        (Reason::Changed, "target changed"),
        (Reason::Stopped, "stopped"),
    ];
    for (reason, words) in cases {
        assert_eq!(Words(&reason).to_string(), words);
    }
}

#[test]
fn a_name_without_an_address_stands_alone() {
    let event = Event::NotMeasured { first: 1, last: 1, count: 1, reason: Reason::NotResolved("No such host".into()) };
    let record = record(named("web", "web001", None), event);
    assert_eq!(body(&record), "not measured: 1 probe to web001, icmp_seq=1 (not resolved: No such host)");
    assert!(!json(&record).contains("addr"));
}

#[test]
fn a_changed_address_shows_both() {
    let event = Event::AddressChanged { old: ip("172.17.0.2").into(), new: ip("172.17.0.3").into() };
    let record = record(named("web", "web001", Some("172.17.0.2")), event);
    assert_eq!(text(&record), "2026-11-22_13:09:57.123 address of web001 changed: 172.17.0.2 -> 172.17.0.3");
    assert_eq!(
        json(&record),
        r#"{"ts":"2026-11-22T13:09:57.123456+01:00","target":"web","addr":"172.17.0.3","outcome":"address_changed","error":"was 172.17.0.2"}"#
    );
}

#[test]
fn a_link_local_host_is_shown_with_its_zone_as_written() {
    let mut record = record(named("router", "fe80::1%eth0", None), answer(AnswerKind::Reply, 1, micro(300)));
    record.addr = Some(Addr { ip: ip("fe80::1"), scope: 2 });
    assert_eq!(body(&record), "64 bytes from fe80::1%eth0: icmp_seq=1 ttl=118 time=0.300 ms");
    assert!(json(&record).contains(r#""addr":"fe80::1%eth0""#));
}

#[test]
fn zones_elsewhere_go_by_name_or_else_by_number() {
    let error = |scope| Event::Unreachable {
        seq: 5,
        sent: wall(0),
        from: Addr { ip: ip("fe80::9"), scope },
        error: IcmpError::V6 { kind: 1, code: 3, info: 0 },
        lateness: Lateness::InTime,
    };
    let known = record(literal("v6", "2001:db8::1"), error(2));
    assert_eq!(body(&known), "From fe80::9%eth0 icmp_seq=5 Destination unreachable: Address unreachable");
    assert!(json(&known).contains(r#""from":"fe80::9%eth0""#));
    let gone = record(literal("v6", "2001:db8::1"), error(9));
    assert_eq!(body(&gone), "From fe80::9%9 icmp_seq=5 Destination unreachable: Address unreachable");
}

#[test]
fn missing_lines_are_told_of() {
    let name = Name::new("alidns").unwrap();
    let missing = Missing {
        target: Some(&name),
        label: "alidns.log",
        count: 37,
        first: wall(-2_000),
        last: wall(0),
        cause: "log queue full",
    };
    assert_eq!(
        render_missing(&style(Format::Text, StampFormat::DEFAULT, Labels::None), &missing),
        "2026-11-22_13:09:57.123 not written: 37 lines to alidns.log, between 2026-11-22_13:09:55.123 and 2026-11-22_13:09:57.123 (log queue full)"
    );
    let json = style(Format::Json, StampFormat::DEFAULT, Labels::None);
    assert_eq!(
        render_missing(&json, &missing),
        r#"{"ts":"2026-11-22T13:09:57.123456+01:00","target":"alidns","outcome":"not_written","error":"log queue full","count":37}"#
    );
    assert_eq!(
        render_missing(&json, &Missing { target: None, ..missing }),
        r#"{"ts":"2026-11-22T13:09:57.123456+01:00","outcome":"not_written","error":"log queue full","count":37}"#
    );
}

#[test]
fn round_trip_times_are_rounded_where_iputils_rounds() {
    let cases = [
        (0, "0.000"),
        (999, "0.999"),
        (1_000, "1.00"),
        (1_004, "1.00"),
        (1_005, "1.01"),
        (9_994, "9.99"),
        (9_995, "10.0"),
        (10_049, "10.0"),
        (10_050, "10.1"),
        (99_949, "99.9"),
        (99_950, "100"),
        (100_499, "100"),
        (100_500, "101"),
        (2_405_000, "2405"),
    ];
    for (micros, shown) in cases {
        let record = record(literal("alidns", "223.5.5.5"), answer(AnswerKind::Reply, 1, micro(micros)));
        assert!(body(&record).ends_with(&format!(" time={shown} ms")), "{micros} µs: {}", body(&record));
    }
}

#[test]
fn json_round_trip_times_have_microseconds_and_no_exponent() {
    let cases = [
        (Duration::ZERO, "0.0"),
        (Duration::from_nanos(499), "0.0"),
        (Duration::from_nanos(500), "0.001"),
        (Duration::from_nanos(5_123_456), "5.123"),
        (Duration::from_secs(86_400), "86400000.0"),
        (Duration::MAX, "1125899906842.624"),
    ];
    for (rtt, shown) in cases {
        let line = json(&record(literal("alidns", "223.5.5.5"), answer(AnswerKind::Reply, 1, rtt)));
        assert!(line.contains(&format!(r#""rtt_ms":{shown},"#)), "{line}");
    }
}

#[test]
fn time_formats_are_followed() {
    let cases = [
        ("rfc3339", "2026-11-22T13:09:57.123456+01:00"),
        ("unix", "1795349397.123"),
        ("%F_%H:%M:%S%.3f", "2026-11-22_13:09:57.123"),
        ("%H:%M:%S.%3f %S%.6f %9f %f %.f", "13:09:57.123 57.123456 123456789 123456789 .123456789"),
        ("%+", "2026-11-22T13:09:57.123456789+01:00"),
        ("%s %z 100%%", "1795349397 +0100 100%"),
        ("no specifier", "no specifier"),
    ];
    for (format, shown) in cases {
        assert_eq!(stamp(format, wall(0)), shown, "{format}");
    }
}

#[test]
fn stamps_before_the_epoch_count_downwards() {
    assert_eq!(stamp("unix", Wall::from_nanos(-500_000_000)), "-0.500");
    assert_eq!(stamp("%F %T%.3f", Wall::from_nanos(-500_000_000)), "1970-01-01 00:59:59.500");
}

#[test]
fn a_text_that_is_no_time_format_is_refused() {
    let error = StampFormat::new("%F %Q").unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"not a time format: "%F %Q" (allowed: "rfc3339", "unix", or strftime text such as "%F %T%.3f")"#
    );
    assert!(StampFormat::new("").is_err());
    assert!(StampFormat::new("%").is_err());
    assert_eq!(StampFormat::default(), StampFormat::new(StampFormat::DEFAULT).unwrap());
}

#[test]
fn the_offset_is_followed_across_a_change_of_the_clocks() {
    let change = instant("2026-10-25T01:00:00Z");
    let mut stamper = stamp::Stamper::new(&StampFormat::new("%T%:z").unwrap(), Berlin);
    let mut render = |at| {
        let mut text = String::new();
        stamper.write(at, &mut text).unwrap();
        text
    };
    assert_eq!(render(change - Duration::from_nanos(1)), "02:59:59+02:00");
    assert_eq!(render(change), "02:00:00+01:00");
    assert_eq!(render(change - Duration::from_nanos(1)), "02:59:59+02:00");
}

#[test]
fn nothing_breaks_a_line() {
    let wild = "no\nsuch\r\nhost\u{1b}[31m\u{85}\u{2028}\u{7f}é";
    let event = Event::NotMeasured { first: 1, last: 1, count: 1, reason: Reason::NotResolved(wild.into()) };
    let record = record(named("web", "web\n001", None), event);
    let tame = "no such  host [31m   é";
    let line = render(&style(Format::Text, "%T%n%t", Labels::None), &record);
    assert_eq!(line, format!("13:09:57   not measured: 1 probe to web 001, icmp_seq=1 (not resolved: {tame})"));
    assert!(json(&record).contains(&format!(r#""error":"not resolved: {tame}""#)));
}

proptest! {
    #[test]
    fn any_record_is_one_line_in_any_format(
        record in any_record(),
        bracketed in any::<bool>(),
        format in prop_oneof![
            Just("%F_%H:%M:%S%.3f".to_owned()), Just("unix".to_owned()), Just("rfc3339".to_owned()),
            "(%[a-zA-Z+]|%\\.[369]?f|%[369]f|\\PC|\n){0,8}",
        ],
    ) {
        let labels = if bracketed { Labels::Bracketed } else { Labels::None };
        let stamp = StampFormat::new(&format).unwrap_or_default();
        for format in [Format::Text, Format::Json] {
            let style = Style { format, stamp: stamp.clone(), labels };
            let mut out = Vec::new();
            Renderer::new(&style, Local).record(&record, &mut zones, &mut out);
            let line = String::from_utf8(out).expect("lines are UTF-8");
            let body = line.strip_suffix('\n').expect("a line ends");
            prop_assert!(!body.contains(breaks_line), "{line:?}");
            if format == Format::Json {
                let value: serde_json::Value = serde_json::from_str(body).expect("a line is JSON");
                prop_assert_eq!(value["target"].as_str(), Some(record.target.name.as_str()));
                let ts = value["ts"].as_str().expect("a line has a stamp");
                let micros = DateTime::parse_from_rfc3339(ts).expect("the stamp is RFC 3339").timestamp_micros();
                prop_assert_eq!(micros, record.at.as_nanos().div_euclid(1000));
                prop_assert!(!value["rtt_ms"].to_string().contains('e'));
            }
        }
    }

    #[test]
    fn a_stamper_agrees_with_chrono_at_any_time(nanos: Vec<i64>, format in "(%[FTfsYjz+]|%\\.[369]?f|%[369]f|-){1,6}") {
        let mut stamper = stamp::Stamper::new(&StampFormat::new(&format).unwrap(), zone());
        for nanos in nanos {
            let mut text = String::new();
            stamper.write(Wall::from_nanos(nanos), &mut text).unwrap();
            prop_assert_eq!(text, zone().timestamp_nanos(nanos).format(&format).to_string());
        }
    }
}

fn text(record: &Record) -> String {
    render(&style(Format::Text, StampFormat::DEFAULT, Labels::None), record)
}

/// A text line without its stamp.
fn body(record: &Record) -> String {
    text(record).split_once(' ').unwrap().1.to_owned()
}

fn json(record: &Record) -> String {
    render(&style(Format::Json, StampFormat::DEFAULT, Labels::None), record)
}

fn render(style: &Style, record: &Record) -> String {
    let mut out = Vec::new();
    Renderer::new(style, zone()).record(record, &mut zones, &mut out);
    line(out)
}

fn render_missing(style: &Style, missing: &Missing) -> String {
    let mut out = Vec::new();
    Renderer::new(style, zone()).missing(missing, &mut out);
    line(out)
}

fn line(out: Vec<u8>) -> String {
    String::from_utf8(out).unwrap().strip_suffix('\n').unwrap().to_owned()
}

fn stamp(format: &str, at: Wall) -> String {
    let mut text = String::new();
    stamp::Stamper::new(&StampFormat::new(format).unwrap(), zone()).write(at, &mut text).unwrap();
    text
}

fn style(format: Format, stamp: &str, labels: Labels) -> Style {
    Style { format, stamp: StampFormat::new(stamp).unwrap(), labels }
}

fn zone() -> FixedOffset {
    FixedOffset::east_opt(3600).unwrap()
}

fn zones(index: u32) -> Option<Arc<str>> {
    (index == 2).then(|| "eth0".into())
}

/// The clock of the examples, moved by some milliseconds.
fn wall(millis: i64) -> Wall {
    Wall::from_nanos(instant("2026-11-22T12:09:57.123456789Z").as_nanos() + millis * 1_000_000)
}

fn instant(text: &str) -> Wall {
    let time = DateTime::parse_from_rfc3339(text).unwrap();
    Wall::from_nanos(time.timestamp_nanos_opt().unwrap())
}

fn micro(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn literal(name: &str, addr: &str) -> (Target, Option<Addr>) {
    let addr = ip(addr).into();
    (target(name, Host::Address(addr)), Some(addr))
}

fn named(name: &str, host: &str, addr: Option<&str>) -> (Target, Option<Addr>) {
    (target(name, Host::Name(host.into())), addr.map(|addr| ip(addr).into()))
}

fn record((target, addr): (Target, Option<Addr>), event: Event) -> Record {
    Record { at: wall(0), target: target.label(), addr, event }
}

fn answer(kind: AnswerKind, seq: u64, rtt: Duration) -> Event {
    Event::Answer(Answer {
        kind,
        seq,
        sent: instant("2026-11-22T12:09:55Z"),
        rtt,
        ttl: Some(118),
        bytes: 64,
        from: None,
    })
}

fn some_answer(kind: AnswerKind) -> Answer {
    let sent = instant("2026-11-22T12:09:55Z");
    Answer { kind, seq: 4, sent, rtt: micro(5_200), ttl: Some(118), bytes: 64, from: None }
}

/// Berlin's changes of the clocks in 2026.
#[derive(Debug, Clone, Copy)]
struct Berlin;

impl TimeZone for Berlin {
    type Offset = FixedOffset;

    fn from_offset(_: &FixedOffset) -> Self {
        Self
    }

    fn offset_from_local_date(&self, _: &NaiveDate) -> MappedLocalTime<FixedOffset> {
        MappedLocalTime::None
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<FixedOffset> {
        let possible = |hours: i32| {
            let offset = FixedOffset::east_opt(hours * 3600).unwrap();
            (self.offset_from_utc_datetime(&(*local - offset)) == offset).then_some(offset)
        };
        // As chrono's `Local` has it, where the hour that passes twice includes its end.
        let end = "2026-10-25T03:00:00".parse().unwrap();
        match (if *local == end { FixedOffset::east_opt(7200) } else { possible(2) }, possible(1)) {
            (Some(summer), Some(winter)) => MappedLocalTime::Ambiguous(summer, winter),
            (Some(offset), None) | (None, Some(offset)) => MappedLocalTime::Single(offset),
            (None, None) => MappedLocalTime::None,
        }
    }

    fn offset_from_utc_date(&self, _: &NaiveDate) -> FixedOffset {
        Utc.fix()
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> FixedOffset {
        let [spring, autumn] = ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"].map(instant);
        let second = Wall::from_nanos(utc.and_utc().timestamp().saturating_mul(1_000_000_000));
        let hours = if (spring..autumn).contains(&second) { 2 } else { 1 };
        FixedOffset::east_opt(hours * 3600).unwrap()
    }
}

fn any_record() -> impl Strategy<Value = Record> {
    (any::<i64>(), any_host(), proptest::option::of(any_addr()), any_event()).prop_map(|(at, host, addr, event)| {
        Record { at: Wall::from_nanos(at), target: target("any", host).label(), addr, event }
    })
}

fn any_host() -> impl Strategy<Value = Host> {
    prop_oneof![any_addr().prop_map(Host::Address), any::<String>().prop_map(|text| Host::Name(text.into()))]
}

fn any_addr() -> impl Strategy<Value = Addr> {
    (any::<IpAddr>(), 0..4u32).prop_map(|(ip, scope)| Addr { ip, scope })
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        any_answer().prop_map(Event::Answer),
        (any::<u64>(), any::<i64>(), any::<Duration>()).prop_map(|(seq, sent, timeout)| Event::Lost {
            seq,
            sent: Wall::from_nanos(sent),
            timeout
        }),
        (any::<u64>(), any_addr(), any_error(), any::<bool>()).prop_map(|(seq, from, error, late)| {
            let lateness = if late { Lateness::AfterLoss } else { Lateness::InTime };
            Event::Unreachable { seq, sent: Wall::default(), from, error, lateness }
        }),
        any::<u64>().prop_map(|seq| Event::NotSent { seq, error: SendError { errno: 0, text: "a\nb" } }),
        (any::<[u64; 3]>(), any_reason()).prop_map(|([first, last, count], reason)| Event::NotMeasured {
            first,
            last,
            count,
            reason
        }),
        (any::<u64>(), any::<Duration>(), prop::sample::select(vec![Ending::Clean, Ending::Abrupt]))
            .prop_map(|(count, time, ending)| Event::NotRunning { count, time, ending }),
        (any_addr(), any_addr()).prop_map(|(old, new)| Event::AddressChanged { old, new }),
        (any::<u64>(), any_outage_cause()).prop_map(|(seq, cause)| Event::OutageBegan { seq, began: wall(0), cause }),
        (any::<[u64; 2]>(), any::<Duration>()).prop_map(|([seq, lost], lasted)| Event::OutageEnded {
            seq,
            began: wall(0),
            lasted,
            lost
        }),
        (any::<[u64; 2]>(), any::<Duration>(), any_hint())
            .prop_map(|([seq, lost], after, hint)| { Event::FirstReply(FirstReply { seq, after, lost, hint }) }),
    ]
}

fn any_outage_cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        prop::sample::select(vec![Cause::Unanswered, Cause::Damaged]),
        any_addr().prop_map(Cause::DifferentAddress),
        any::<String>().prop_map(|text| Cause::NotResolved(text.into())),
        (any_error(), any_addr()).prop_map(|(error, from)| Cause::Unreachable { error, from }),
    ]
}

fn any_hint() -> impl Strategy<Value = Option<WarmUp>> {
    let hints = vec![WarmUp::BridgeLearning, WarmUp::BridgeListeningAndLearning];
    proptest::option::of(prop::sample::select(hints))
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let kind = prop::sample::select(vec![
        AnswerKind::Reply,
        AnswerKind::Late,
        AnswerKind::Duplicate,
        AnswerKind::Damaged,
        AnswerKind::DifferentAddress,
    ]);
    let from = proptest::option::of(any_addr());
    (kind, any::<u64>(), any::<i64>(), any::<Duration>(), any::<Option<u8>>(), any::<usize>(), from).prop_map(
        |(kind, seq, sent, rtt, ttl, bytes, from)| Answer {
            kind,
            seq,
            sent: Wall::from_nanos(sent),
            rtt,
            ttl,
            bytes,
            from,
        },
    )
}

fn any_error() -> impl Strategy<Value = IcmpError> {
    (any::<bool>(), any::<u8>(), any::<u8>(), any::<u32>()).prop_map(|(v4, kind, code, info)| {
        if v4 { IcmpError::V4 { kind, code, info } } else { IcmpError::V6 { kind, code, info } }
    })
}

fn any_reason() -> impl Strategy<Value = Reason> {
    prop_oneof![
        any::<Duration>().prop_map(Reason::Suspended),
        any::<Duration>().prop_map(Reason::Stalled),
        any::<String>().prop_map(|text| Reason::NotResolved(text.into())),
        prop::sample::select(vec![Reason::LocalDrops, Reason::Removed, Reason::Stopped]),
    ]
}
