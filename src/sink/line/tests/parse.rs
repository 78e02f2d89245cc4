//! Lines read back: all that the writers write, and much that they do not.

use serde_json::Value;

use super::*;

/// Stamps from which the instant can be had, but for what they cut off.
const FORMATS: [&str; 9] = [
    StampFormat::DEFAULT,
    "unix",
    "rfc3339",
    "[%d/%b/%Y:%H:%M:%S%.6f %z]",
    "%+",
    "%s.%9f",
    "%F %T%.f",
    "%A, %e %B %Y, %I:%M:%S %p %Z ",
    "%T%n%F [pt]",
];

#[test]
fn hard_lines_are_read_for_what_they_are() {
    let cases = [
        ("64 bytes from ::1: icmp_seq=1 time=0.050 ms", Outcome::Reply, r#""addr":"::1","seq":1"#),
        ("64 bytes from fe80::1%eth0: icmp_seq=1 ttl=1 time=5 ms", Outcome::Reply, r#""addr":"fe80::1%eth0","seq":1"#),
        ("64 bytes from web001 (172.17.0.2): icmp_seq=1 time=5.1 ms", Outcome::Reply, r#""addr":"172.17.0.2","seq":1"#),
        ("8 bytes from web (fe80::1%eth0): icmp_seq=9 time=9 ms (LATE)", Outcome::Late, r#""addr":"fe80::1%eth0""#),
        (
            "64 bytes from 9.9.9.9: icmp_seq=1 time=5 ms (DIFFERENT ADDRESS!)",
            Outcome::DifferentAddress,
            r#""from":"9.9.9.9"}"#,
        ),
        ("no answer from web001: icmp_seq=2 timeout=1.5 ms", Outcome::Lost, r#""seq":2,"outcome":"lost"}"#),
        ("no answer from web001 (::1): icmp_seq=2", Outcome::Lost, r#""addr":"::1","seq":2,"outcome":"lost"}"#),
        (
            "From ::1 icmp_seq=5 Time exceeded: Hop limit (LATE)",
            Outcome::Unreachable,
            r#""error":"Time exceeded: Hop limit"}"#,
        ),
        (
            "From 1.1.1.1 icmp_seq=5 Frag needed (mtu = 1400)",
            Outcome::Unreachable,
            r#""error":"Frag needed (mtu = 1400)"}"#,
        ),
        (
            "not sent to ::1: icmp_seq=6 odd: icmp_seq=7 (LATE)",
            Outcome::NotSent,
            r#""error":"odd: icmp_seq=7 (LATE)"}"#,
        ),
        (
            "not measured: 1 probe to web, icmp_seq=7 (not resolved: a (b), icmp_seq=8 (LATE))",
            Outcome::NotMeasured,
            r#""seq":7,"outcome":"not_measured","error":"not resolved: a (b), icmp_seq=8 (LATE)","count":1}"#,
        ),
        (
            "not measured: 41 probes to web (1.2.3.4), icmp_seq=7..47 (stopped)",
            Outcome::NotMeasured,
            r#""addr":"1.2.3.4","seq":7,"outcome":"not_measured","error":"stopped","count":41}"#,
        ),
        (
            "not measured: 12 probes to web (1.2.3.4) (pingtest did not run for up to 12.3 s)",
            Outcome::NotMeasured,
            r#""addr":"1.2.3.4","outcome":"not_measured","error":"pingtest did not run for up to 12.3 s","count":12}"#,
        ),
        (
            "not measured: 1 probe to web (pingtest did not run for 1.0 s)",
            Outcome::NotMeasured,
            r#""outcome":"not_measured","error":"pingtest did not run for 1.0 s","count":1}"#,
        ),
        (
            "address of a changed: b changed: 172.17.0.2 -> fe80::1%eth0",
            Outcome::AddressChanged,
            r#""addr":"fe80::1%eth0","outcome":"address_changed","error":"was 172.17.0.2"}"#,
        ),
        (
            "not written: 1 line to a.log, between 2026-11-22_13:09:55.123 and 2026-11-22_13:09:57.123 (full (really))",
            Outcome::NotWritten,
            r#""outcome":"not_written","error":"full (really)","count":1}"#,
        ),
        ("not written: 37 lines (log queue full)", Outcome::NotWritten, r#""error":"log queue full","count":37}"#),
    ];
    for (body, outcome, json) in cases {
        for label in ["", "[web.1:2_3-4] "] {
            let line = format!("2026-11-22_13:09:57.123 {label}{body}");
            let mut parser = parser(&[StampFormat::DEFAULT]);
            let entry = parser.entry(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(entry.outcome(), outcome, "{line}");
            assert_eq!(entry.target(), (!label.is_empty()).then_some("web.1:2_3-4"), "{line}");
            assert_eq!(as_text(&entry), line);
            assert!(as_json(&entry, &mut parser).contains(json), "{line}: {}", as_json(&entry, &mut parser));
        }
    }
}

#[test]
fn what_is_no_line_of_ours_is_nothing() {
    let whole = "2026-11-22_13:09:57.123 64 bytes from 223.5.5.5: icmp_seq=1 ttl=118 time=5.12 ms";
    let torn = (0..whole.len()).map(|len| whole[..len].to_owned());
    let foreign = [
        "64 bytes from 223.5.5.5: icmp_seq=1 ttl=118 time=5.12 ms",
        "2026-11-22_13:09:57.123  64 bytes from 223.5.5.5: icmp_seq=1 ttl=118 time=5.12 ms",
        "2026-11-22_13:09:57.123 [a b] 64 bytes from 223.5.5.5: icmp_seq=1 ttl=118 time=5.12 ms",
        "2026-11-22_13:09:57.123 64 bytes from 223.5.5.5: icmp_seq=1 ttl=300 time=5.12 ms",
        "2026-11-22_13:09:57.123 64 bytes from 223.5.5.5: icmp_seq=+1 ttl=118 time=5.12 ms",
        "2026-11-22_13:09:57.123 64 bytes from 223.5.5.5: icmp_seq=1 ttl=118 time=nan ms",
        "2026-11-22_13:09:57.123 64 bytes from 223.5.5.5: icmp_seq=1 ttl=118 time=5.12 ms\r",
        "2026-11-22_13:09:57.123 64 bytes from \0\0\0: icmp_seq=1 ttl=118 time=5.12 ms",
        "2026-13-22_13:09:57.123 64 bytes from 223.5.5.5: icmp_seq=1 ttl=118 time=5.12 ms",
        "+99999-11-22_13:09:57.123 64 bytes from 223.5.5.5: icmp_seq=1 ttl=118 time=5.12 ms",
        "2026-11-22_13:09:57.123 From nobody icmp_seq=5 Destination Host Unreachable",
        "2026-11-22_13:09:57.123 not measured: 41 probe to ::1, icmp_seq=7 (stopped)",
        "2026-11-22_13:09:57.123 not measured: 41 probes to ::1 (stopped)",
        "2026-11-22_13:09:57.123 not written: 3 lines to a, between b and c (full)",
        r#"{"ts":"2026-11-22T13:09:57.123456+01:00"}"#,
        r#"{"ts":"2026-11-22T13:09:57.123456+01:00","outcome":"lost"}"#,
        r#"{"ts":"2026-11-22T13:09:57.123456+01:00","target":"a","seq":1,"outcome":"won"}"#,
        r#"{"ts":"2026-11-22T13:09:57+01:00","target":"a","seq":1,"outcome":"lost"}"#,
        r#"{"ts":"2026-11-22T13:09:57.123456+01:00","target":"a","outcome":"not_measured","error":"stopped","count":3}"#,
        r#"{"ts":"2026-11-22T13:09:57.123456+01:00","target":"a","seq":1,"outcome":"reply","rtt_ms":-1,"bytes":64}"#,
        r#"{"ts":"2026-11-22T13:09:57.123456+01:00","target":"a","seq":1,"outcome":"reply","rtt_ms":1e300,"bytes":64}"#,
    ];
    for line in torn.chain(foreign.map(str::to_owned)) {
        assert!(parser(&FORMATS).entry(line.as_bytes()).is_none(), "{line}");
    }
    assert!(parser(&FORMATS).entry(whole.as_bytes()).is_some());
    let long = vec![b'6'; 1 << 20];
    assert!(parser(&FORMATS).entry(&long).is_none());
    assert!(parser(&FORMATS).moment(&long).is_none());
    assert!(parser(&FORMATS).entry(b"2026-11-22_13:09:57.123 \xff").is_none());
}

#[test]
fn a_line_of_json_becomes_the_text_that_it_can_tell() {
    let whole = [
        answer(AnswerKind::Reply, 1, micro(5_120)),
        answer(AnswerKind::Late, 1, micro(2_405_000)),
        Event::NotSent { seq: 6, error: SendError { errno: 101, text: "Network is unreachable" } },
        Event::NotMeasured { first: 7, last: 7, count: 1, reason: Reason::Stopped },
        Event::NotRunning { count: 12, time: micro(12_340_000), ending: Ending::Abrupt },
    ];
    for event in whole {
        let record = record(literal("alidns", "223.5.5.5"), event);
        assert_eq!(text_of(&json(&record)), text(&record));
    }
    let web = || named("web", "web001", Some("172.17.0.2"));
    let error = Event::Unreachable {
        seq: 5,
        sent: wall(0),
        from: ip("10.0.0.1").into(),
        error: HOST_UNREACHABLE,
        lateness: Lateness::AfterLoss,
    };
    let cases = [
        (Event::Lost { seq: 2, sent: wall(0), timeout: micro(1) }, "no answer from 172.17.0.2: icmp_seq=2"),
        (error, "From 10.0.0.1 icmp_seq=5 Destination Host Unreachable"),
        (
            Event::NotMeasured { first: 7, last: 47, count: 41, reason: Reason::Stopped },
            "not measured: 41 probes to 172.17.0.2, icmp_seq=7 (stopped)",
        ),
        (
            Event::AddressChanged { old: ip("172.17.0.2").into(), new: ip("172.17.0.3").into() },
            "address of web changed: 172.17.0.2 -> 172.17.0.3",
        ),
    ];
    for (event, body) in cases {
        assert_eq!(text_of(&json(&record(web(), event))), format!("2026-11-22_13:09:57.123 {body}"));
    }
}

#[test]
fn a_line_of_missing_lines_is_read_in_every_style() {
    let name = Name::new("alidns").unwrap();
    let missing = Missing {
        target: Some(&name),
        label: "alidns.log",
        count: 37,
        first: wall(-2_000),
        last: wall(0),
        cause: "log queue full (5 s)",
    };
    for format in FORMATS {
        let line = render_missing(&style(Format::Text, format, Labels::Bracketed), &missing);
        let mut parser = parser(&[format]);
        let entry = parser.entry(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
        let json = as_json(&entry, &mut parser);
        assert!(
            json.ends_with(r#""target":"alidns","outcome":"not_written","error":"log queue full (5 s)","count":37}"#)
        );
        assert_eq!(as_text(&entry), line);
    }
    let line = render_missing(&style(Format::Json, StampFormat::DEFAULT, Labels::None), &missing);
    assert_eq!(text_of(&line), "2026-11-22_13:09:57.123 not written: 37 lines (log queue full (5 s))");
}

#[test]
fn an_hour_that_passes_twice_has_two_bounds_unless_the_stamp_tells() {
    let moment = |format: &str, stamp: &str| {
        let stamps = [StampFormat::new(format).unwrap()];
        parse::Parser::new(&stamps, Berlin).moment(format!("{stamp} …").as_bytes()).unwrap()
    };
    let exactly = |text| Moment { earliest: instant(text), latest: instant(text) };
    let twice = Moment { earliest: instant("2026-10-25T00:30:00.5Z"), latest: instant("2026-10-25T01:30:00.5Z") };
    assert_eq!(moment("%F %T%.3f", "2026-10-25 02:30:00.500"), twice);
    assert_eq!(moment("%F %T%.3f", "2026-10-25 03:00:00.000"), exactly("2026-10-25T02:00:00Z"));
    assert_eq!(moment("%F %T %z", "2026-10-25 02:30:00 +0100"), exactly("2026-10-25T01:30:00Z"));
    assert_eq!(moment("%F %T %Z", "2026-10-25 02:30:00 +02:00"), exactly("2026-10-25T00:30:00Z"));
    assert_eq!(moment("%F %H:%M", "2026-03-29 01:59"), exactly("2026-03-29T00:59:00Z"));
}

#[test]
fn an_hour_that_is_skipped_means_the_instant_after_it() {
    let stamps = [StampFormat::new("%F %T").unwrap()];
    let mut parser = Parser::new(&stamps, Berlin);
    let after = instant("2026-03-29T01:00:00Z");
    for stamp in ["2026-03-29 02:00:00 ", "2026-03-29 02:30:00 ", "2026-03-29 02:59:59 "] {
        assert_eq!(parser.moment(stamp.as_bytes()), Some(Moment { earliest: after, latest: after }));
    }
}

#[test]
fn stamps_without_a_date_or_a_time_of_day_are_not_readable() {
    for format in
        FORMATS.into_iter().chain(["%F %H:%M", "%c", "%D %r", "%j/%Y %R", "%s", "%G-W%V-%u %X", "%-d.%-m.%y %T"])
    {
        assert!(StampFormat::new(format).unwrap().is_readable(), "{format}");
    }
    for format in ["%H:%M:%S", "%F", "no specifier", "%Y %T", "%F %I:%M", "%s%3f"] {
        let stamp = StampFormat::new(format).unwrap();
        assert!(!stamp.is_readable(), "{format}");
        let line = render(&style(Format::Text, format, Labels::None), &record(literal("a", "::1"), some_reply()));
        assert!(Parser::new(&[stamp], zone()).entry(line.as_bytes()).is_none(), "{line}");
    }
    let ambiguous = StampFormat::new("%-d%-m%Y %T").unwrap();
    assert!(!ambiguous.is_readable(), "1122026 is the 1st of December or the 11th of February");
}

#[test]
fn formats_may_change_within_a_file() {
    let record = record(literal("alidns", "223.5.5.5"), some_reply());
    let mut parser = parser(&FORMATS);
    for _ in 0..2 {
        for format in FORMATS {
            let line = render(&style(Format::Text, format, Labels::Bracketed), &record);
            let entry = parser.entry(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(entry.target(), Some("alidns"), "{line}");
        }
        assert!(parser.entry(json(&record).as_bytes()).is_some());
    }
}

#[test]
fn outcomes_go_by_their_words() {
    for outcome in Outcome::ALL {
        assert_eq!(outcome.as_str().parse(), Ok(outcome));
        assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
    }
    let words = "reply, lost, late, duplicate, damaged, different_address, unreachable, not_sent, not_measured, address_changed, outage_began, outage_ended, first_reply, not_written";
    let error = "won".parse::<Outcome>().unwrap_err();
    assert_eq!(error.to_string(), format!(r#"not an outcome: "won" (allowed: {words})"#));
}

proptest! {
    #[test]
    fn any_line_is_given_back_as_it_was(
        records in prop::collection::vec(any_record(), 1..4),
        bracketed in any::<bool>(),
        format in prop::sample::select(&FORMATS),
    ) {
        let labels = if bracketed { Labels::Bracketed } else { Labels::None };
        let mut parser = parser(&[format]);
        for record in records {
            // Away from the ends of time, before which no stamp that is cut off can be kept.
            let record = Record { at: Wall::from_nanos((record.at.as_nanos() / 2).abs()), ..record };
            let line = render(&style(Format::Text, format, labels), &record);
            let entry = parser.entry(line.as_bytes());
            prop_assert_eq!(entry.as_ref().map(as_text), Some(line.clone()));
            prop_assert_eq!(entry.and_then(|entry| entry.target().map(str::to_owned)), bracketed.then(|| "any".to_owned()));
            let line = json(&record);
            let entry = parser.entry(line.as_bytes());
            let same = entry.map(|entry| as_json(&entry, &mut parser));
            prop_assert_eq!(same, Some(line));
        }
    }

    #[test]
    fn text_and_json_tell_the_same(
        mut record in any_record(),
        (target, addr) in real_peer(),
        at in 1_767_000_000_000_000_000_i64..1_800_000_000_000_000_000,
        format in prop::sample::select(&FORMATS),
    ) {
        (record.at, record.target, record.addr) = (Wall::from_nanos(at), target.label(), addr);
        let line = render(&style(Format::Text, format, Labels::None), &record);
        let mut parser = parser(&[format]);
        let entry = parser.entry(line.as_bytes()).expect("a line of ours");
        let value = |line: String| serde_json::from_str::<Value>(&line).expect("a line is JSON");
        let (read, written) = (value(as_json(&entry, &mut parser)), value(json(&record)));
        for key in ["target", "seq", "outcome", "ttl", "bytes", "error", "count"] {
            prop_assert_eq!(&read[key], &written[key], "{}: {}", key, line);
        }
        let shown = |line: &Value| line.get("from").or(line.get("addr")).cloned();
        prop_assert_eq!(shown(&read), shown(&written), "{}", line);
        prop_assert!(read["sent"].is_null());
        let [read, written] = [read, written].map(|line| line["rtt_ms"].as_f64().unwrap_or_default());
        let exact = if written < 100.0 { written * 0.0051 + 0.000_501 } else { 0.501 };
        prop_assert!((read - written).abs() <= exact, "{} as {}", written, read);
        let behind = at - entry.moment.earliest.as_nanos();
        prop_assert!((0..1_000_000_000).contains(&behind), "{} by {} ns", line, behind);
    }

    #[test]
    fn json_as_text_says_no_less(record in any_record(), (target, addr) in real_peer()) {
        let record = Record { target: target.label(), addr, at: wall(0), ..record };
        let mut parser = parser(&["rfc3339"]);
        let line = json(&record);
        let text = as_text(&parser.entry(line.as_bytes()).expect("a line of ours"));
        let again = parser.entry(text.as_bytes()).expect("text that we wrote");
        let value = |line: &str| serde_json::from_str::<Value>(line).expect("a line is JSON");
        let (one, two) = (value(&line), value(&as_json(&again, &mut parser)));
        for key in ["ts", "seq", "outcome", "ttl", "bytes", "error", "count"] {
            prop_assert_eq!(&one[key], &two[key], "{}: {}", key, text);
        }
    }

    #[test]
    fn local_time_is_found_again_whatever_the_clocks_do(
        instants in prop::collection::vec(
            prop_oneof![1_774_700_000_i64..1_774_800_000, 1_792_800_000_i64..1_793_000_000],
            1..20,
        ),
        format in prop::sample::select(&FORMATS),
    ) {
        let stamp = StampFormat::new(format).unwrap();
        let mut stamper = stamp::Stamper::new(&stamp, Berlin);
        let mut parser = Parser::new(&[stamp], Berlin);
        for second in instants {
            let at = Wall::from_nanos(second * 1_000_000_000);
            let mut line = String::new();
            stamper.write(at, &mut Printable(&mut line)).unwrap();
            line.push(' ');
            let Moment { earliest, latest } = parser.moment(line.as_bytes()).expect("a stamp of ours");
            prop_assert!(at == earliest || at == latest, "{}", line);
            let apart = if earliest == latest { 0 } else { 3600 };
            prop_assert_eq!(latest - earliest, Duration::from_secs(apart));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        record in any_record(),
        format in prop::sample::select(&FORMATS),
        at in any::<prop::sample::Index>(),
        other in any::<u8>(),
        noise: Vec<u8>,
    ) {
        let mut parser = parser(&FORMATS);
        for style in [Format::Text, Format::Json].map(|form| style(form, format, Labels::Bracketed)) {
            let mut line = render(&style, &record).into_bytes();
            let at = at.index(line.len());
            line[at] = other;
            for line in [&line[..], &line[..at], &noise] {
                let _ = parser.moment(line);
                if let Some(entry) = parser.entry(line) {
                    as_text(&entry);
                    as_json(&entry, &mut parser);
                }
            }
        }
    }
}

fn parser(formats: &[&str]) -> Parser<FixedOffset> {
    let stamps: Vec<_> = formats.iter().map(|format| StampFormat::new(format).unwrap()).collect();
    Parser::new(&stamps, zone())
}

fn as_text(entry: &Entry) -> String {
    let mut out = Vec::new();
    entry.write_text(Labels::None, &mut out);
    String::from_utf8(out).unwrap()
}

fn as_json(entry: &Entry, parser: &mut Parser<FixedOffset>) -> String {
    let mut out = Vec::new();
    entry.write_json(entry.moment.earliest, Some("any"), parser, &mut out);
    String::from_utf8(out).unwrap()
}

/// A line of JSON as text.
fn text_of(line: &str) -> String {
    as_text(&parser(&[StampFormat::DEFAULT]).entry(line.as_bytes()).unwrap())
}

fn some_reply() -> Event {
    Event::Answer(some_answer(AnswerKind::Reply))
}

/// A target as a configuration can have it, and the address it has.
fn real_peer() -> impl Strategy<Value = (Target, Option<Addr>)> {
    let address = any::<IpAddr>().prop_map(Addr::from);
    let name = "[a-z][a-z0-9.-]{0,20}";
    let zoned = Addr { ip: ip("fe80::1"), scope: 2 };
    prop_oneof![
        address.clone().prop_map(|addr| (target("any", Host::Address(addr)), Some(addr))),
        (name, proptest::option::of(address)).prop_map(|(name, addr)| (target("any", Host::Name(name.into())), addr)),
        Just((target("any", Host::Name("fe80::1%eth0".into())), Some(zoned))),
    ]
}
