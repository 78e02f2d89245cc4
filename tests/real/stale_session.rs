//! A firewall on the way that has had enough of a session: probes with another ICMP identifier get through where the old ones do not.

use std::path::Path;

use serde_json::Value;

use crate::support::line::Line;
use crate::support::net::Pair;
use crate::support::program::{self, Daemon, Rights, with_either_socket};
use crate::support::wait::{self, PATIENCE};

with_either_socket! {
    another_identifier_escapes_a_firewall_that_drops_the_old_one
    a_target_that_keeps_its_identifier_stays_down
}

/// So many probes of a session get through, and then none for a day. Sessions are told apart by the identifier, as stateful firewalls
/// and NAT do.
const RULES: [&str; 2] = [
    "input icmp type echo-request meter four { icmp id limit rate over 1/day burst 20 packets } drop",
    "input icmpv6 type echo-request meter six { icmpv6 id limit rate over 1/day burst 20 packets } drop",
];
const PASSED: u64 = 20;
/// Losses after which the identifier changes where nobody says otherwise.
const NEW_ID_AFTER: u64 = 10;
/// Probes that are under way when the tenth loss is certain, and one more for a busy machine.
const UNDER_WAY: u64 = 5;

const TARGETS: [&str; 2] = ["10.99.0.2", "fd99::2"];

fn config(keys: &str) -> String {
    let targets = TARGETS.map(|host| format!("[[target]]\nhost = \"{host}\"\n")).concat();
    format!("[defaults]\ninterval = \"50ms\"\ntimeout = \"200ms\"\n{keys}\n{targets}")
}

fn another_identifier_escapes_a_firewall_that_drops_the_old_one(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    pair.far.nft(&RULES);
    let mut daemon = Daemon::start(&pair.near, rights, &format!("[ledger]\npath = \"ledger.db\"\n{}", config("")));
    for _ in 0..2 {
        daemon.expect_of_all(&TARGETS, "outage_ended");
    }
    let ledger = daemon.program.dir().join("ledger.db");
    for target in TARGETS {
        let helped = || is_told_to_have_helped(&ledger, target).then_some(());
        wait::until(PATIENCE, helped).unwrap_or_else(|| panic!("not told that it helped {target}"));
    }
    let lines = daemon.stop();
    for target in TARGETS {
        let of_target = |outcome: &str| lines.iter().filter(|line| line.is(target, outcome)).collect::<Vec<_>>();
        for ended in &of_target("outage_ended")[..2] {
            let lost = ended.count.expect("it is counted");
            assert!((NEW_ID_AFTER..=NEW_ID_AFTER + UNDER_WAY).contains(&lost), "{ended:?}");
        }
        let began: Vec<_> = of_target("outage_began").iter().map(|line| line.seq()).collect();
        assert_eq!(began[0], PASSED + 1, "{}", story(&lines, target));
    }
}

fn a_target_that_keeps_its_identifier_stays_down(rights: Rights) {
    let Some(pair) = Pair::new() else { return };
    pair.far.nft(&RULES);
    let mut daemon = Daemon::start(&pair.near, rights, &config("new_id_after = \"off\""));
    daemon.expect_of_all(&TARGETS, "outage_began");
    for target in TARGETS {
        daemon.expect("many losses", |line| line.is(target, "lost") && line.seq() > PASSED + 5 * NEW_ID_AFTER);
        daemon.rewind();
    }
    let lines = daemon.stop();
    for target in TARGETS {
        let ended = lines.iter().find(|line| line.is(target, "outage_ended"));
        assert!(ended.is_none(), "{}", story(&lines, target));
    }
}

/// Whether the ledger says of the first outage that another identifier ended it.
fn is_told_to_have_helped(ledger: &Path, target: &str) -> bool {
    let ledger = ledger.to_str().expect("a plain path");
    let told = program::run(&["outages", "--json", "--ledger", ledger, "--target", target]);
    let told: Value = serde_json::from_str(&told.stdout).unwrap_or_default();
    let first = &told["targets"][0]["outages"][0];
    first["new_id_helped"] == true && first["new_ids"] == 1
}

/// What became of the target, in short.
fn story(lines: &[Line], target: &str) -> String {
    let of_target = lines.iter().filter(|line| line.target == target);
    of_target.map(|line| format!("{} {}, ", line.seq(), line.outcome)).collect()
}
