//! Names of ICMP errors, and their numbers in either family.

use std::net::IpAddr;

use serde::Deserialize;

use super::value::{Brief, BriefOr};

/// Type and code of a name in IPv4 (RFC 792, 1122, 1812) and in IPv6 (RFC 4443), where it has any.
type Row = (&'static str, Option<(u8, u8)>, Option<(u8, u8)>);

const ROWS: &[Row] = &[
    ("net_unreachable", Some((3, 0)), None),
    ("host_unreachable", Some((3, 1)), None),
    ("protocol_unreachable", Some((3, 2)), None),
    ("port_unreachable", Some((3, 3)), Some((1, 4))),
    ("source_route_failed", Some((3, 5)), None),
    ("net_unknown", Some((3, 6)), None),
    ("host_unknown", Some((3, 7)), None),
    ("source_isolated", Some((3, 8)), None),
    ("net_prohibited", Some((3, 9)), None),
    ("host_prohibited", Some((3, 10)), None),
    ("net_unreachable_for_service", Some((3, 11)), None),
    ("host_unreachable_for_service", Some((3, 12)), None),
    ("admin_prohibited", Some((3, 13)), Some((1, 1))),
    ("precedence_violation", Some((3, 14)), None),
    ("precedence_cutoff", Some((3, 15)), None),
    ("no_route", None, Some((1, 0))),
    ("beyond_scope", None, Some((1, 2))),
    ("address_unreachable", None, Some((1, 3))),
    ("policy", None, Some((1, 5))),
    ("reject_route", None, Some((1, 6))),
    ("time_exceeded", Some((11, 0)), Some((3, 0))),
    ("packet_too_big", Some((3, 4)), Some((2, 0))),
    ("parameter_problem", Some((12, 0)), Some((4, 0))),
];

/// An ICMP error as a script names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "BriefOr<Name, Numbers>")]
pub(crate) enum ErrorType {
    Named(String),
    Numbers { kind: u8, code: u8 },
}

#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Name(String);

impl Brief for Name {
    const WHAT: &'static str = "the name of an ICMP error";
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Numbers {
    kind: u8,
    code: u8,
}

impl From<BriefOr<Name, Numbers>> for ErrorType {
    fn from(written: BriefOr<Name, Numbers>) -> Self {
        match written {
            BriefOr::Brief(Name(name)) => Self::Named(name),
            BriefOr::Table(Numbers { kind, code }) => Self::Numbers { kind, code },
        }
    }
}

impl ErrorType {
    /// Its type and code in IPv6, or else in IPv4; an error names those that there are.
    pub(crate) fn of_family(&self, v6: bool) -> Result<(u8, u8), String> {
        let numbers = |&(_, v4_numbers, v6_numbers): &Row| if v6 { v6_numbers } else { v4_numbers };
        match self {
            &Self::Numbers { kind, code } if is_error(kind, v6) => Ok((kind, code)),
            Self::Numbers { kind, .. } if v6 => {
                Err(format!("error.type: {kind} is no error of IPv6: those are 1 to 127"))
            }
            Self::Numbers { kind, .. } => {
                Err(format!("error.type: {kind} is no error of IPv4: those are 3, 4, 5, 11 and 12"))
            }
            Self::Named(name) => {
                let found = ROWS.iter().find(|(row, ..)| row == name).and_then(numbers);
                found.ok_or_else(|| {
                    let allowed: Vec<_> = ROWS.iter().filter(|row| numbers(row).is_some()).map(|row| row.0).collect();
                    let family = if v6 { 6 } else { 4 };
                    format!("error.type: {name:?} is none of IPv{family}, which has {}", allowed.join(", "))
                })
            }
        }
    }
}

/// Whether ICMP messages of this type are about others (RFC 1122, 3.2.2; RFC 4443, 2.1).
fn is_error(kind: u8, v6: bool) -> bool {
    if v6 { (1..=127).contains(&kind) } else { [3, 4, 5, 11, 12].contains(&kind) }
}

/// Time exceeded in transit, in the family of `address`.
pub(crate) fn time_exceeded(address: IpAddr) -> (u8, u8) {
    if address.is_ipv6() { (3, 0) } else { (11, 0) }
}

/// Packet too big, or fragmentation needed, in the family of `address`.
pub(crate) fn packet_too_big(address: IpAddr) -> (u8, u8) {
    if address.is_ipv6() { (2, 0) } else { (3, 4) }
}
