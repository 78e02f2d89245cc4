//! The database: how it is opened for writing and for reading, and how an older one becomes one of today.
//!
//! The version of its tables is SQLite's `user_version`; each migration takes it one further and stays as it is for ever.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::Error;

/// What makes a database of version N one of version N + 1, from 0 on, an empty one.
const MIGRATIONS: &[&str] = &[include_str!("schema/1.sql")];
/// The version that is written.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;
/// "PING": tells ledgers from other databases (`PRAGMA application_id`).
const APPLICATION: i64 = 0x5049_4e47;
/// Nobody but the thread itself writes, so that somebody who does is at work by hand.
const BUSY: Duration = Duration::from_millis(250);
/// What the write-ahead log may take on the disk after a checkpoint: a minute of ten thousand targets fits.
const JOURNAL_BYTES: i64 = 16 << 20;
/// Files up to this size are looked through when they are opened: a tenth of a second.
const CHECKED_BYTES: u64 = 16 << 20;
/// Who may read what is made here: the group, as with the logs.
const MODE: u32 = 0o640;

/// Opens the ledger to write it, makes it where it is missing and brings it up to date.
pub(super) fn open_to_write(path: &Path) -> Result<Connection, Error> {
    make_file(path).map_err(|error| Error::file(path, error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sqlite = |error| Error::sqlite(path, error);
    let mut conn = connect(path, flags).map_err(sqlite)?;
    let version = version(&conn, path)?;
    settle(&conn, version).map_err(sqlite)?;
    migrate(&mut conn, version).map_err(sqlite)?;
    if fs::metadata(path).is_ok_and(|meta| meta.len() <= CHECKED_BYTES) {
        check(&conn).map_err(sqlite)?;
    }
    Ok(conn)
}

/// Opens the ledger to read it, while it is written or not.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, Error> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::Missing { path: path.to_owned() }),
        Err(error) => return Err(Error::file(path, error)),
        Ok(_) => {}
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match connect(path, flags).map_err(|error| Error::sqlite(path, error)).and_then(|conn| usable(conn, path)) {
        Err(Error::Sqlite { source, .. }) if lacks_write_access(&source) => open_at_rest(path, source),
        opened => opened,
    }
}

fn connect(path: impl AsRef<Path>, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY)?;
    Ok(conn)
}

/// What SQLite says to a reader who may not make the files in which readers and writers of a write-ahead log meet.
fn lacks_write_access(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

/// Nobody writes the ledger where it has no write-ahead log: then it can be read without making any file beside it.
fn open_at_rest(path: &Path, source: rusqlite::Error) -> Result<Connection, Error> {
    if fs::metadata(beside(path, "-wal")).is_ok_and(|meta| meta.len() > 0) {
        return Err(Error::Unclosed { path: path.to_owned(), source });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let conn = connect(uri(path), flags).map_err(|error| Error::sqlite(path, error))?;
    usable(conn, path)
}

/// As SQLite wants it written (<https://sqlite.org/uri.html>), with every byte that might mean something escaped.
fn uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let escaped = path.as_os_str().as_bytes().iter().map(|&byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    format!("file:{}?immutable=1", escaped.collect::<String>())
}

fn usable(conn: Connection, path: &Path) -> Result<Connection, Error> {
    match version(&conn, path)? {
        0 => Err(Error::Missing { path: path.to_owned() }),
        _ => Ok(conn),
    }
}

/// The file, with `suffix` added to its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// SQLite would make it as well, but with other rights; those of the files beside it follow from it.
fn make_file(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The version of its tables, 0 where there are none.
fn version(conn: &Connection, path: &Path) -> Result<i64, Error> {
    let ask = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|error| Error::sqlite(path, error));
    let version = ask("PRAGMA user_version")?;
    let is_ours = match ask("PRAGMA application_id")? {
        APPLICATION => true,
        _ => version == 0 && ask("SELECT count(*) FROM sqlite_master")? == 0,
    };
    match version {
        _ if !is_ours => Err(Error::Foreign { path: path.to_owned() }),
        version if version > VERSION => Err(Error::Newer { path: path.to_owned(), version, known: VERSION }),
        version => Ok(version),
    }
}

fn settle(conn: &Connection, version: i64) -> rusqlite::Result<()> {
    if version == 0 {
        // Has to be there before the first table.
        conn.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    }
    // What was committed survives the end of this process; the latest may not survive a loss of power, but the file stays whole.
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    conn.query_row(&format!("PRAGMA journal_size_limit = {JOURNAL_BYTES}"), [], |_| Ok(()))?;
    conn.execute_batch("PRAGMA synchronous = NORMAL")
}

fn migrate(conn: &mut Connection, version: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(version).unwrap_or(0);
    for (migration, version) in MIGRATIONS.iter().zip(1..).skip(done) {
        let tx = conn.transaction()?;
        tx.execute_batch(migration)?;
        tx.execute_batch(&format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {version}"))?;
        tx.commit()?;
    }
    Ok(())
}

fn check(conn: &Connection) -> rusqlite::Result<()> {
    let found: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match found.as_str() {
        "ok" => Ok(()),
        _ => {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            Err(rusqlite::Error::SqliteFailure(code, Some(found)))
        }
    }
}
