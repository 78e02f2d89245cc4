//! Scripts that are wrong, and what is said of them.

use super::*;

/// What is said of a script that is wrong.
fn mistake(text: &str) -> String {
    parse(text).map(|script| panic!("{script:?}")).unwrap_or_else(|mistake: Mistake| mistake.to_string())
}

/// Of one with these keys in a [[net]] of IPv4.
fn mistake_in_net(keys: &str) -> String {
    mistake(&format!("[[net]]\nprefix = \"10.0.0.0/8\"\n{keys}\n"))
}

#[test]
fn what_is_left_out_has_its_default() {
    let script = parse("[[net]]\nprefix = \"fd00::7\"").unwrap();
    let addresses: Vec<_> = script.device.addresses.iter().map(IpNet::to_string).collect();
    let (DeviceName(name), Within(mtu)) = (&script.device.name, script.device.mtu);
    assert_eq!((script.seed, name.as_str(), mtu), (0, "sim0", 1500));
    assert_eq!(addresses, ["192.0.2.1/32", "2001:db8::1/128"]);
    assert_eq!(script.nets[0].prefix.to_string(), "fd00::7/128");
}

#[test]
fn times_have_units() {
    let time = |text: &str| Time::try_from(text.to_owned()).map(|Time(time)| time.as_nanos());
    let texts = ["250ms", "1.5s", "20us", "7ns", "2m", "1h", "0s"];
    let expected = [250_000_000, 1_500_000_000, 20_000, 7, 120_000_000_000, 3_600_000_000_000, 0];
    assert_eq!(texts.map(|text| time(text).unwrap()), expected);
    for text in ["5", "ms", "-1s", "1 s", "1e3s", "infs", "1d", "..s"] {
        let expected = format!("{text:?} is no time: a number with ns, us, ms, s, m or h, as in \"1.5s\"");
        assert_eq!(time(text), Err(expected));
    }
}

#[test]
fn every_script_in_the_manual_is_one() {
    let manual = include_str!("../README.md");
    let blocks: Vec<_> = manual.split("```toml\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        parse(block).unwrap_or_else(|mistake| panic!("{mistake}\nin\n{block}"));
    }
}

/// The keys that the manual has as comments, each by itself.
#[test]
fn every_key_in_the_manual_is_one() {
    let manual = include_str!("../README.md");
    let whole = manual.replace(",\n#               rate", ", rate");
    let keys: Vec<_> = whole
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| !line.starts_with(' ') && line.contains(" = "))
        .collect();
    assert_eq!(keys.len(), 18, "{keys:#?}");
    for key in keys {
        parse(&format!("[[net]]\nprefix = \"10.0.0.0/8\"\n{key}"))
            .unwrap_or_else(|mistake| panic!("{mistake}\nin\n{key}"));
    }
}

#[test]
fn mistakes_are_told_with_their_line_and_what_is_allowed() {
    for (keys, expected) in [
        (r#"delay = "5""#, r#"3: "5" is no time: a number with ns, us, ms, s, m or h, as in "1.5s""#),
        ("delay = 5", "3: invalid type: integer `5`, expected a string"),
        ("delay = true", r#"3: invalid type: boolean `true`, expected a time like "250ms" or a table"#),
        (r#"delay = { uniform = ["2ms", "1ms"] }"#, "3: uniform: the first time is the lower one"),
        (r#"delay = { uniform = ["2ms"] }"#, "3: invalid length 1, expected an array of length 2"),
        (
            r#"delay = { list = [], then = "last" }"#,
            "3: a delay is a time, or has uniform, or normal, or a list of some and then",
        ),
        (r#"delay = { list = ["1ms"], then = "first" }"#, "3: unknown variant `first`, expected `repeat` or `last`"),
        (
            r#"delay = { list = ["1ms"] }"#,
            "3: a delay is a time, or has uniform, or normal, or a list of some and then",
        ),
        (
            r#"delay = { normal = { mean = "1ms", sigma = "2ms" } }"#,
            "3: unknown field `sigma`, expected `mean` or `deviation`",
        ),
        ("loss = 1.5", "3: 1.5 is not from 0 to 1"),
        (r#"loss = "1""#, r#"3: invalid type: string "1", expected f64"#),
        ("loss = { }", "3: a loss is a probability, or has gilbert_elliott, or exact"),
        ("loss = { exact = [-1] }", "3: invalid value: integer `-1`, expected a nonzero u64"),
        ("loss = { gilbert_elliott = { p = 0.1, r = 2, good = 0, bad = 1 } }", "3: 2 is not from 0 to 1"),
        ("loss = { exact = [3, 0] }", "3: invalid value: integer `0`, expected a nonzero u64"),
        (
            "los = 1",
            "3: unknown field `los`, expected one of `prefix`, `change`, `at`, `every`, `for`, `delay`, `loss`, \
             `reorder`, `duplicate`, `damage`, `from`, `forge`, `error`, `router`, `echo_limit`, `silent`, \
             `down`, `mtu`, `hops`, `ttl`",
        ),
        (r#"duplicate = { probability = 1, copies = 0, after = "1ms" }"#, "3: 0 is not from 1 to 1000"),
        (r#"duplicate = { probability = 1, copies = 1001, after = "1ms" }"#, "3: 1001 is not from 1 to 1000"),
        ("reorder = { probability = 1 }", "3: missing field `by`"),
        (
            r#"damage = { probability = 1, kind = "burn" }"#,
            "3: unknown variant `burn`, expected one of `flip`, `checksum`, `truncate`",
        ),
        (r#"from = { address = "fd00::1" }"#, "3: from.address: fd00::1 and 10.0.0.0/8 are not of the same family"),
        (
            r#"from = { address = "127.0.0.1" }"#,
            "3: from.address: 127.0.0.1 is in 127.0.0.0/8, where there are no hosts",
        ),
        (r#"router = "224.0.0.1""#, "3: router: 224.0.0.1 is in 224.0.0.0/4, where there are no hosts"),
        (r#"router = "0.0.0.0""#, "3: router: 0.0.0.0 is in 0.0.0.0/8, where there are no hosts"),
        (r#"router = "192.0.2.1""#, "3: router: 192.0.2.1 is the device's own, from which Linux lets nothing in"),
        (
            "delay = \"1s\"\n[net.error]\ntype = \"net_unknown\"\nrouter = \"255.255.255.255\"",
            "6: error.router: 255.255.255.255 is in 255.255.255.255/32, where there are no hosts",
        ),
        (
            "[[net.change]]\nat = \"1s\"\nfrom = { address = \"192.0.2.1\" }",
            "5: from.address: 192.0.2.1 is the device's own, from which Linux lets nothing in",
        ),
        (r#"from = { address = "a.b" }"#, "3: invalid IP address syntax"),
        (
            r#"forge = { probability = 0.1, kind = "x" }"#,
            "3: unknown variant `x`, expected one of `identifier`, `sequence`, `tag`, `foreign`",
        ),
        (
            r#"error = { type = "no_route" }"#,
            "3: error.type: \"no_route\" is none of IPv4, which has net_unreachable, host_unreachable, \
             protocol_unreachable, port_unreachable, source_route_failed, net_unknown, host_unknown, \
             source_isolated, net_prohibited, host_prohibited, net_unreachable_for_service, \
             host_unreachable_for_service, admin_prohibited, precedence_violation, precedence_cutoff, \
             time_exceeded, packet_too_big, parameter_problem",
        ),
        (
            r#"error = { type = "host_unreachable", router = "fd00::1" }"#,
            "3: error.router: fd00::1 and 10.0.0.0/8 are not of the same family",
        ),
        (
            r#"error = { type = "host_unreachable", quote = "half" }"#,
            "3: unknown variant `half`, expected one of `full`, `minimal`, `header`",
        ),
        (
            "error = { kind = 3, code = 1 }",
            "3: unknown field `code`, expected one of `type`, `router`, `quote`, `options`, `probability`, `rate`",
        ),
        (
            "error = { type = { kind = 8, code = 0 } }",
            "3: error.type: 8 is no error of IPv4: those are 3, 4, 5, 11 and 12",
        ),
        ("error = { type = { kind = 3 } }", "3: missing field `code`"),
        (r#"error = { type = "host_unreachable", rate = { per_second = 0, burst = 1 } }"#, "3: 0 is not at least 1"),
        ("mtu = 70000", "3: 70000 is not from 68 to 65535"),
        ("mtu = 67", "3: 67 is not from 68 to 65535"),
        ("hops = -1", "3: -1 is not from 1 to 254"),
        ("hops = 0", "3: 0 is not from 1 to 254"),
        ("hops = 255", "3: 255 is not from 1 to 254"),
        ("ttl = 0", "3: 0 is not from 1 to 255"),
        ("ttl = 256", "3: 256 is not from 1 to 255"),
        (r#"at = "1s""#, "1: at, every and for are keys of [[net.change]] only"),
        ("down = 1", "3: invalid type: integer `1`, expected a boolean"),
        ("[[net.change]]\nloss = 1.0", "3: [[net.change]] needs at, or at and for, or every and for"),
        ("[[net.change]]\nevery = \"1s\"\nloss = 1.0", "3: [[net.change]] needs at, or at and for, or every and for"),
        ("[[net.change]]\nevery = \"1s\"\nfor = \"2s\"", "3: [[net.change]]: for must be above 0 and at most every"),
        ("[[net.change]]\nat = \"1s\"\nfor = \"0s\"\nloss = 1.0", "3: [[net.change]]: for must be above 0"),
        (
            "[[net.change]]\nat = \"1s\"",
            "3: [[net.change]] changes nothing: it needs a key of [[net]] but prefix, or down",
        ),
        ("[[net.change]]\nat = \"1s\"\nprefix = \"10.0.0.0/8\"", "3: prefix and change are keys of [[net]] only"),
        ("[[net]]\nprefix = \"10.0.0.0/8\"", "3: 10.0.0.0/8 has a [[net]] already"),
        ("[[net]]\nprefix = \"10.0.0.1/8\"", r#"4: "10.0.0.1/8" has bits behind its length: 10.0.0.0/8 is meant?"#),
        ("[[net]]\nprefix = \"ten\"", r#"4: "ten" is neither a prefix nor an address"#),
        ("[[net]]\nprefix = \"127.0.0.1\"", "4: 127.0.0.1 is in 127.0.0.0/8, where there are no hosts"),
        ("[[net]]\nprefix = \"225.1.0.0/16\"", "4: 225.1.0.0/16 is in 224.0.0.0/4, where there are no hosts"),
        ("[[net]]\nprefix = \"0.1.0.0/16\"", "4: 0.1.0.0/16 is in 0.0.0.0/8, where there are no hosts"),
        ("[[net]]\nprefix = \"::1\"", "4: ::1 is in ::1/128, where there are no hosts"),
        ("[[net]]\nprefix = \"ff02::/16\"", "4: ff02::/16 is in ff00::/8, where there are no hosts"),
        (
            "forge = { probability = 1, kind = \"foreign\" }\n[[net]]\nprefix = \"198.51.100.0/24\"",
            "3: forge: 198.51.100.254, from which \"foreign\" comes, is in 198.51.100.0/24: no prefix may hold it",
        ),
        (
            "[[net]]\nprefix = \"2001:db8::/32\"\n[[net.change]]\nat = \"1s\"\n\
             forge = { probability = 1, kind = \"foreign\" }",
            "7: forge: 2001:db8:ffff::fe, from which \"foreign\" comes, is in 2001:db8::/32: no prefix may hold it",
        ),
        (
            "[[net]]\nprefix = \"fd00::/16\"\nfrom = { address = \"::\" }",
            "5: from.address: :: is in ::/128, where there are no hosts",
        ),
        (
            "[[net]]\nprefix = \"fd00::/16\"\nerror = { type = { kind = 128, code = 0 } }",
            "5: error.type: 128 is no error of IPv6: those are 1 to 127",
        ),
        (
            "[[net]]\nprefix = \"fd00::/16\"\nerror = { type = \"no_route\", options = true }",
            "5: error.options: IPv6 has no such options",
        ),
        ("[[net]]\nttl = 1", "3: [[net]] needs a prefix"),
        ("[device]\nname = \"x\"\naddresses = [\"10.0.0.300\"]", "5: invalid IP address syntax"),
        ("[device]\nmtu = \"x\"", r#"4: invalid type: string "x", expected i64"#),
        ("[device]\nmtu = 1279", "4: 1279 is not from 1280 to 65535"),
        ("[device]\nmtu = 65536", "4: 65536 is not from 1280 to 65535"),
        ("loss = ", "3: string values must be quoted, expected literal string"),
    ] {
        assert_eq!(mistake_in_net(keys), expected, "{keys}");
    }
}

#[test]
fn names_that_no_device_can_have_are_refused() {
    for name in ["", "sixteen-letters-", "a/b", "a b", "sim%d", "a:b", "a#b", "ä", ".", "..", "all", "default"] {
        let expected = format!(
            "4: {name:?} is no device's name: 1 to 15 of a-z, A-Z, 0-9, -, _ and ., but not ., .., all or default"
        );
        assert_eq!(mistake_in_net(&format!("[device]\nname = {name:?}")), expected);
    }
}

#[test]
fn a_script_without_prefixes_is_refused() {
    for text in ["", "seed = 1", "net = []"] {
        assert_eq!(mistake(text), " there is no [[net]]: a script has at least one", "{text}");
    }
}

#[test]
fn a_prefix_may_hold_the_foreign_address_where_none_is_forged() {
    parse("[[net]]\nprefix = \"198.51.100.0/24\"\nforge = { probability = 1, kind = \"tag\" }").unwrap();
}
