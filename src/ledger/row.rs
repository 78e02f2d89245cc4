//! An outage as a row of the table, and back.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Row, Statement, params};

use super::history::PastOutage;
use crate::monitor::outage::{Bound, Cause, Outage};
use crate::monitor::sample::IcmpError;
use crate::monitor::target::Addr;
use crate::monitor::time::Wall;

/// Writes an outage, known before or not. One that has an end is no longer abandoned.
pub(super) const UPSERT: &str = "
    INSERT INTO outage (target, began, began_earliest, ended, ended_earliest, lasted, unmeasured, cause, detail, sender, sender_scope,
        error_version, error_kind, error_code, error_info, first_seq, lost, fragments, new_ids, new_id_helped, behind)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)
    ON CONFLICT (target, began) DO UPDATE SET
        began_earliest = excluded.began_earliest, ended = excluded.ended, ended_earliest = excluded.ended_earliest,
        lasted = excluded.lasted, unmeasured = excluded.unmeasured, cause = excluded.cause, detail = excluded.detail,
        sender = excluded.sender, sender_scope = excluded.sender_scope, error_version = excluded.error_version,
        error_kind = excluded.error_kind, error_code = excluded.error_code, error_info = excluded.error_info,
        first_seq = excluded.first_seq, lost = excluded.lost, fragments = excluded.fragments, new_ids = excluded.new_ids,
        new_id_helped = excluded.new_id_helped, behind = excluded.behind,
        abandoned = iif(excluded.ended IS NULL, abandoned, 0)";

/// The columns that [`outage`] and [`past_outage`] read.
pub(super) const COLUMNS: &str = "outage.target, outage.began, began_earliest, outage.ended, ended_earliest, lasted, unmeasured, cause,
    detail, sender, sender_scope, error_version, error_kind, error_code, error_info, first_seq, lost, fragments, new_ids,
    new_id_helped, behind, abandoned";

/// Numbers of SQLite are signed; nothing that is counted here comes near the difference.
pub(super) fn signed(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// What stands in a column that is never negative, unless somebody else has written it.
pub(super) fn unsigned<T: TryFrom<i64> + Default>(number: i64) -> T {
    T::try_from(number).unwrap_or_default()
}

pub(super) fn upsert(statement: &mut Statement<'_>, target: i64, outage: &Outage) -> rusqlite::Result<()> {
    let cause = CauseColumns::of(&outage.cause);
    let [version, kind, code, info] = cause.error;
    statement.execute(params![
        target,
        outage.began.at.as_nanos(),
        outage.began.earliest.map(Wall::as_nanos),
        outage.ended.map(|ended| ended.at.as_nanos()),
        outage.ended.and_then(|ended| ended.earliest).map(Wall::as_nanos),
        signed(outage.lasted.as_nanos()),
        signed(outage.unmeasured.as_nanos()),
        cause.word,
        cause.detail,
        cause.sender.map(|addr| addr.ip.to_string()),
        cause.sender.map(|addr| addr.scope),
        version,
        kind,
        code,
        info,
        signed(outage.first_seq),
        signed(outage.lost),
        outage.fragments,
        outage.new_ids,
        outage.new_id_helped,
        outage.behind,
    ])?;
    Ok(())
}

struct CauseColumns {
    word: &'static str,
    detail: Option<String>,
    sender: Option<Addr>,
    error: [Value; 4],
}

impl CauseColumns {
    fn of(cause: &Cause) -> Self {
        let (word, detail, sender, error) = match cause {
            Cause::Unanswered => ("unanswered", None, None, None),
            Cause::Damaged => ("damaged", None, None, None),
            Cause::DifferentAddress(from) => ("different_address", None, Some(*from), None),
            Cause::NotResolved(words) => ("not_resolved", Some(words.to_string()), None, None),
            Cause::Unreachable { error, from } => ("unreachable", Some(error.to_string()), Some(*from), Some(*error)),
        };
        let error = error.map_or([const { Value::Null }; 4], |error| {
            let (version, kind, code, info) = match error {
                IcmpError::V4 { kind, code, info } => (4, kind, code, info),
                IcmpError::V6 { kind, code, info } => (6, kind, code, info),
            };
            [version, kind.into(), code.into(), info.into()].map(Value::Integer)
        });
        Self { word, detail, sender, error }
    }
}

/// An outage as the rules know it. A cause that cannot be understood is none.
pub(super) fn outage(row: &Row<'_>) -> rusqlite::Result<Outage> {
    Ok(Outage {
        began: Bound { at: wall(row, "began")?, earliest: earliest(row, "began_earliest")? },
        ended: match earliest(row, "ended")? {
            Some(at) => Some(Bound { at, earliest: earliest(row, "ended_earliest")? }),
            None => None,
        },
        lasted: duration(row, "lasted")?,
        cause: cause(row)?,
        first_seq: unsigned(row.get("first_seq")?),
        lost: unsigned(row.get("lost")?),
        unmeasured: duration(row, "unmeasured")?,
        fragments: unsigned(row.get("fragments")?),
        new_ids: unsigned(row.get("new_ids")?),
        new_id_helped: row.get("new_id_helped")?,
        behind: unsigned(row.get("behind")?),
    })
}

/// An outage as it is told.
pub(super) fn past_outage(row: &Row<'_>) -> rusqlite::Result<PastOutage> {
    let outage = outage(row)?;
    Ok(PastOutage {
        began: outage.began.at,
        began_earliest: outage.began.earliest,
        ended: outage.ended.map(|ended| ended.at),
        ended_earliest: outage.ended.and_then(|ended| ended.earliest),
        is_abandoned: row.get("abandoned")?,
        lasted: outage.lasted,
        unmeasured: outage.unmeasured,
        cause: row.get("cause")?,
        detail: row.get("detail")?,
        from: sender(row)?.map(text),
        lost: outage.lost,
        fragments: outage.fragments,
        new_ids: outage.new_ids,
        new_id_helped: outage.new_id_helped,
        behind: outage.behind,
    })
}

/// An address with its zone's number, where it has one: the interface may have another name by the time it is read.
pub(super) fn text(addr: Addr) -> String {
    match addr.scope {
        0 => addr.ip.to_string(),
        scope => format!("{}%{scope}", addr.ip),
    }
}

fn cause(row: &Row<'_>) -> rusqlite::Result<Cause> {
    let word: String = row.get("cause")?;
    let detail: Option<String> = row.get("detail")?;
    Ok(match (word.as_str(), sender(row)?, icmp_error(row)?) {
        ("damaged", _, _) => Cause::Damaged,
        ("different_address", Some(from), _) => Cause::DifferentAddress(from),
        ("not_resolved", _, _) => Cause::NotResolved(Arc::from(detail.unwrap_or_default())),
        ("unreachable", Some(from), Some(error)) => Cause::Unreachable { error, from },
        (_, _, _) => Cause::Unanswered,
    })
}

fn sender(row: &Row<'_>) -> rusqlite::Result<Option<Addr>> {
    let ip: Option<String> = row.get("sender")?;
    let scope: Option<i64> = row.get("sender_scope")?;
    let ip = ip.and_then(|ip| ip.parse::<IpAddr>().ok());
    Ok(ip.map(|ip| Addr { ip, scope: unsigned(scope.unwrap_or(0)) }))
}

fn icmp_error(row: &Row<'_>) -> rusqlite::Result<Option<IcmpError>> {
    let number = |column| row.get::<_, Option<i64>>(column).map(Option::unwrap_or_default);
    let (kind, code, info) =
        (unsigned(number("error_kind")?), unsigned(number("error_code")?), unsigned(number("error_info")?));
    Ok(match number("error_version")? {
        4 => Some(IcmpError::V4 { kind, code, info }),
        6 => Some(IcmpError::V6 { kind, code, info }),
        _ => None,
    })
}

fn wall(row: &Row<'_>, column: &str) -> rusqlite::Result<Wall> {
    row.get(column).map(Wall::from_nanos)
}

fn earliest(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Wall>> {
    row.get::<_, Option<i64>>(column).map(|nanos| nanos.map(Wall::from_nanos))
}

fn duration(row: &Row<'_>, column: &str) -> rusqlite::Result<Duration> {
    row.get(column).map(|nanos| Duration::from_nanos(unsigned(nanos)))
}
