//! The simulated network's journal: which requests reached it and what it answered, by its own clock.
//!
//! It knows the journal's format (`tests/simnet/README.md`) and nothing of pingtest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;

/// Everything that reached the simulated network.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// The moment from which the times of the script count, ns.
    pub(crate) ready: u64,
    /// The requests to each address in the order of their arrival.
    pub(crate) hosts: BTreeMap<IpAddr, Vec<Request>>,
}

/// An echo request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    /// When it was read off the device, ns.
    pub(crate) at: u64,
    /// Its sequence number on the wire.
    pub(crate) sequence: u16,
    /// Length of the ICMP message.
    pub(crate) bytes: usize,
    /// What went back, in this order.
    pub(crate) answers: Vec<Answer>,
}

/// A packet that went back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Answer {
    /// Just before it was handed to the kernel, ns.
    pub(crate) at: u64,
    /// What it was.
    pub(crate) kind: Kind,
    /// From whom, where that is not the address that was asked.
    pub(crate) from: Option<IpAddr>,
    /// ICMP type and code of an error.
    pub(crate) error: Option<(u8, u8)>,
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Reply,
    Duplicate,
    DamagedFlip,
    DamagedChecksum,
    Truncated,
    OtherAddress,
    Error,
    ForgedIdentifier,
    ForgedSequence,
    ForgedTag,
    ForgedForeign,
}

/// A line; keys that no proof asks for are passed over.
#[derive(Deserialize)]
struct Line<'a> {
    event: &'a str,
    #[serde(default)]
    at: u64,
    dst: Option<IpAddr>,
    #[serde(default)]
    seq: u16,
    /// Counts the requests to this address from 1.
    #[serde(default)]
    n: usize,
    #[serde(default)]
    bytes: usize,
    kind: Option<Kind>,
    from: Option<IpAddr>,
    #[serde(rename = "type")]
    icmp_type: Option<u8>,
    code: Option<u8>,
    #[serde(default)]
    requests: usize,
    #[serde(default)]
    answers: usize,
}

impl Kind {
    /// All of them.
    #[allow(dead_code, reason = "for the proofs")]
    pub(crate) const ALL: [Self; 11] = [
        Self::Reply,
        Self::Duplicate,
        Self::DamagedFlip,
        Self::DamagedChecksum,
        Self::Truncated,
        Self::OtherAddress,
        Self::Error,
        Self::ForgedIdentifier,
        Self::ForgedSequence,
        Self::ForgedTag,
        Self::ForgedForeign,
    ];
}

impl Journal {
    /// Reads a whole journal.
    pub(crate) fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let journal = Self::parse(BufReader::with_capacity(1 << 20, file));
        journal.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn parse(mut text: impl BufRead) -> Result<Self, String> {
        let (mut journal, mut line, mut promised) = (Self::default(), String::new(), None);
        while text.read_line(&mut line).map_err(|error| error.to_string())? > 0 {
            let parsed: Line<'_> = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
            match parsed.event {
                "ready" => journal.ready = parsed.at,
                "end" => promised = Some((parsed.requests, parsed.answers)),
                _ => journal.add(&parsed),
            }
            line.clear();
        }
        let read = (journal.requests().count(), journal.requests().map(|(_, request)| request.answers.len()).sum());
        if promised == Some(read) { Ok(journal) } else { Err(format!("it is not whole: {promised:?}, {read:?}")) }
    }

    /// All requests, and to whom they were.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (IpAddr, &Request)> {
        self.hosts.iter().flat_map(|(&host, requests)| requests.iter().map(move |request| (host, request)))
    }

    fn add(&mut self, line: &Line<'_>) {
        let requests = self.hosts.entry(line.dst.expect("an address")).or_default();
        match (line.event, line.kind) {
            ("request", _) => {
                requests.push(Request { at: line.at, sequence: line.seq, bytes: line.bytes, answers: Vec::new() });
                assert_eq!(requests.len(), line.n, "requests are counted without a gap");
            }
            ("answer", Some(kind)) => {
                let from = line.from.filter(|_| line.from != line.dst);
                let answer = Answer { at: line.at, kind, from, error: line.icmp_type.zip(line.code) };
                requests[line.n - 1].answers.push(answer);
            }
            (event, _) => panic!("no such event: {event}"),
        }
    }
}

#[test]
fn a_journal_is_read_as_its_description_shows_it() {
    let journal = Journal::parse(
        concat!(
            r#"{"event":"request","at":10,"dst":"10.1.0.7","ident":4711,"seq":12,"n":1,"bytes":64,"fate":["error"]}"#,
            "\n",
            r#"{"event":"request","at":11,"dst":"10.1.0.8","ident":4711,"seq":12,"n":1,"bytes":64,"fate":[],"why":"loss"}"#,
            "\n",
            r#"{"event":"answer","at":20,"due":19,"dst":"10.1.0.7","seq":12,"n":1,"kind":"error","from":"10.1.0.1","type":3,"code":1,"router":"10.1.0.1"}"#,
            "\n",
            r#"{"event":"end","requests":2,"answers":1,"unanswerable":3}"#,
            "\n",
        )
        .as_bytes(),
    )
    .expect("it is whole");
    let answers = vec![Answer { at: 20, kind: Kind::Error, from: "10.1.0.1".parse().ok(), error: Some((3, 1)) }];
    let seven: IpAddr = "10.1.0.7".parse().expect("an address");
    assert_eq!(journal.hosts[&seven], [Request { at: 10, sequence: 12, bytes: 64, answers }]);
    assert_eq!(journal.requests().count(), 2);
}

#[test]
fn a_journal_that_is_not_whole_proves_nothing() {
    let request = "{\"event\":\"request\",\"at\":1,\"dst\":\"10.1.0.7\",\"seq\":1,\"n\":1}\n";
    let end = "{\"event\":\"end\",\"requests\":1,\"answers\":1,\"unanswerable\":0}\n";
    for text in [request.to_owned(), format!("{request}{end}")] {
        assert!(Journal::parse(text.as_bytes()).is_err(), "{text}");
    }
}
