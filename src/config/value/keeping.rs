//! Rules of the values that say what is remembered, who may ask and who is told.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Result, duration_between, file_or_off, refuse};

/// The shortest time for which minutes are kept: what a table of the last hour needs.
const MIN_KEEP_MINUTES: Duration = Duration::from_secs(3600);
/// The longest, ten years: whoever wants more wants a monitoring system's data base.
const MAX_KEEP_MINUTES: Duration = Duration::from_secs(3650 * 86_400);
/// The shortest time for a hook: a program needs some of it to start.
const MIN_HOOK_TIMEOUT: Duration = Duration::from_millis(100);
/// The longest: a hook that has not come to an end by then never will.
const MAX_HOOK_TIMEOUT: Duration = Duration::from_secs(3600);
/// Bytes of a socket's path: `sun_path` has 108, the last of them NUL (unix(7)).
const MAX_SOCKET_PATH: usize = 107;
/// Characters of a group's name (useradd(8)).
const MAX_GROUP: usize = 32;

/// How long counts are kept minute by minute.
pub(crate) fn keep_minutes(text: &str) -> Result<Duration> {
    duration_between(text, MIN_KEEP_MINUTES, MAX_KEEP_MINUTES)
}

/// How long a hook may take.
pub(crate) fn hook_timeout(text: &str) -> Result<Duration> {
    duration_between(text, MIN_HOOK_TIMEOUT, MAX_HOOK_TIMEOUT)
}

/// The path of a socket, or `None` for `off`.
pub(crate) fn socket(text: &str) -> Result<Option<PathBuf>> {
    if text.len() > MAX_SOCKET_PATH {
        return refuse(format!("must have at most {MAX_SOCKET_PATH} bytes, as every socket's path"));
    }
    file_or_off(text)
}

/// The name of a group; whether it exists only the system can tell.
pub(crate) fn group(text: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    // Samba's machine accounts end in "$".
    let name = text.strip_suffix('$').unwrap_or(text);
    let valid = text.len() <= MAX_GROUP && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !valid || !name.chars().all(plain) {
        return refuse(format!(
            r#"must be the name of a group, such as "adm": a letter or "_", then letters, digits, "_", "-" or ".", {MAX_GROUP} at most"#
        ));
    }
    Ok(text.into())
}

/// A program and its arguments, as they are handed to execve(2).
pub(crate) fn program(words: Vec<String>) -> Result<Vec<String>> {
    if words.first().is_none_or(String::is_empty) {
        return refuse("must begin with a program");
    }
    if words.iter().any(|word| word.contains('\0')) {
        return refuse("must have no NUL in it");
    }
    Ok(words)
}

/// An address to post to: `http://` or `https://`, a host, perhaps a port, and what follows.
///
/// A user or a password before the host is refused: it would not be sent, and `http://example.org@evil.example/` leads to evil.example.
pub(crate) fn webhook(text: &str) -> Result<String> {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return refuse(r#"must begin with "https://" or "http://""#);
    };
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return refuse(r#"must have no blanks and only ASCII characters (others in their "%41" or "xn--" form)"#);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return refuse("must have no user or password before its host");
    }
    if !is_host_and_port(authority) {
        return refuse(
            r#"must have a host behind its "//", and perhaps a port, such as "https://example.org:8443/hook""#,
        );
    }
    Ok(text.into())
}

fn is_port_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_host_and_port(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[').map(|inner| inner.split_once(']')) {
        Some(Some((ip, rest))) if ip.parse::<Ipv6Addr>().is_ok() => ("", Some(rest)),
        Some(_) => return false,
        None => match authority.find(':') {
            Some(colon) => (&authority[..colon], Some(&authority[colon..])),
            None => (authority, None),
        },
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_port = |port: &str| port.strip_prefix(':').is_some_and(is_port_number);
    let has_host = authority.starts_with('[') || (!host.is_empty() && host.chars().all(plain));
    has_host && port.is_none_or(|port| port.is_empty() || is_port(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_has_a_scheme_and_a_host() {
        for text in [
            "https://example.org",
            "http://127.0.0.1:8080/hook?a=b@c#d",
            "https://[::1]/x",
            "https://[2001:db8::1]:443",
            "https://hooks.example.org/services/T0/B0/@x",
        ] {
            assert_eq!(webhook(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "example.org",
            "ftp://example.org",
            "HTTPS:example.org",
            "https://",
            "https:///x",
            "https://?x",
            "https://:80",
            "https://a:0",
            "https://a:65536",
            "https://a:b",
            "https://a:+80",
            "https://[::1",
            "https://[::g]/",
            "https://[::1]80",
            "https://user:secret@example.org/",
            "https://example.org@evil.example",
            "https://example.org/a b",
            "https://example.org/\n",
            "https://münchen.example/",
            "https://a\\b/",
        ] {
            assert!(webhook(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_group_is_named_as_groups_are() {
        for text in ["adm", "_x", "a-b.c1", "host$", &"g".repeat(32)] {
            assert_eq!(group(text).as_deref(), Ok(text));
        }
        for text in ["", "$", "4", "-a", "a b", "a:b", "ä", &"g".repeat(33)] {
            assert!(group(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_command_begins_with_a_program() {
        let words = |words: &[&str]| program(words.iter().map(|&word| word.to_owned()).collect());
        assert!(words(&["sh", "-c", ""]).is_ok());
        for refused in [&[][..], &["", "x"], &["x", "a\0b"]] {
            assert!(words(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_sockets_path_fits_into_its_address() {
        assert!(socket(&"s".repeat(107)).is_ok());
        assert!(socket(&"s".repeat(108)).is_err());
        assert_eq!(socket("off"), Ok(None));
    }
}
