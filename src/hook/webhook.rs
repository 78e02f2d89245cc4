//! Posts an event to an address: one try, and what its outcome means.
//!
//! TLS trusts the system's roots, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`. A proxy is used where `HTTPS_PROXY`, `HTTP_PROXY` or
//! `ALL_PROXY` name one and `NO_PROXY` does not exempt the address. Redirects are not followed: a receiver that moved is to be
//! configured anew.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::notice::{Failure, one_line};

const USER_AGENT: &str = concat!("pingtest/", env!("CARGO_PKG_VERSION"));
/// What of an answer is read, bytes: enough to say why an event was refused.
const READ: u64 = 1024;
/// Room for the head of an answer, and for what is sent, bytes.
const BUFFER: usize = 16_384;
/// The statuses besides 5xx that say "not now" (RFC 6585).
const TOO_MANY_REQUESTS: u16 = 429;

/// Posts to one address, over one connection as long as that works.
#[derive(Debug)]
pub(super) struct Poster {
    address: String,
    agent: Option<Agent>,
}

impl Poster {
    pub(super) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), agent: None }
    }

    /// One try, within the time.
    pub(super) fn post(&mut self, json: &str, within: Duration) -> Result<(), Failure> {
        let agent = self.agent.get_or_insert_with(agent);
        let outcome = post(agent, &self.address, json, within);
        if outcome.is_err() {
            // The next try begins from scratch: with another connection, and with the roots as they are then.
            self.agent = None;
        }
        outcome
    }
}

fn agent() -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(1)
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .user_agent(USER_AGENT)
        .build()
        .new_agent()
}

fn post(agent: &Agent, address: &str, json: &str, within: Duration) -> Result<(), Failure> {
    let request = agent.post(address).config().timeout_global(Some(within)).build();
    let answer = request.header("Content-Type", "application/json").send(json);
    let mut answer = answer.map_err(|error| Failure::NoAnswer(words(&error)))?;
    let mut body = Vec::new();
    // A body that breaks off changes nothing about the status.
    let _ = answer.body_mut().as_reader().take(READ).read_to_end(&mut body);
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let reason = status.canonical_reason().unwrap_or("(no name for that)");
    Err(Failure::Refused { code: status.as_u16(), reason, body: one_line(&body) })
}

/// What went wrong, without the address, which may be a secret.
fn words(error: &ureq::Error) -> String {
    if let ureq::Error::BadUri(_) = error {
        return "the address is of no use".into();
    }
    let words = error.to_string();
    // The library's names for its parts tell an operator nothing.
    ["io: ", "rustls: "].iter().find_map(|part| words.strip_prefix(part)).unwrap_or(&words).to_owned()
}

/// Whether the same may be told another time: nobody answered, or the answer was "not now".
pub(super) fn is_worth_another_try(failure: &Failure) -> bool {
    match failure {
        Failure::NoAnswer(_) => true,
        Failure::Refused { code, .. } => matches!(*code, TOO_MANY_REQUESTS | 500..=599),
        Failure::NotRun(_) | Failure::Exited { .. } | Failure::TimedOut { .. } | Failure::Stopped { .. } => false,
    }
}

/// Scheme, host and port of an address: what follows, and what stands before an `@`, may be a password.
pub(super) fn public_part(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_only_what_is_no_secret_is_shown() {
        for (address, shown) in [
            ("https://hooks.example.com/services/T0/B0/secret", "https://hooks.example.com"),
            ("https://user:secret@example.com:8443/x?token=secret", "https://example.com:8443"),
            ("http://[::1]:8080?secret", "http://[::1]:8080"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(public_part(address), shown);
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_was_decided_is_not() {
        let refused = |code| Failure::Refused { code, reason: "", body: String::new() };
        assert!(is_worth_another_try(&Failure::NoAnswer("connection refused".into())));
        for code in [429, 500, 502, 503, 504, 599] {
            assert!(is_worth_another_try(&refused(code)), "{code}");
        }
        for code in [301, 302, 400, 401, 403, 404, 410, 422] {
            assert!(!is_worth_another_try(&refused(code)), "{code}");
        }
    }
}
