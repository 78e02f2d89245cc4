//! Names to addresses, off the loop: the system's resolver, so that /etc/hosts, nsswitch.conf(5) and search domains count; and
//! `@gateway`, which the routing table knows.
//!
//! getaddrinfo(3) blocks, for half a minute where a name server is silent, so look-ups run on threads of their own. How often and
//! for which target, `monitor` decides.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::monitor::Lookup;
use crate::monitor::identity::TargetId;
use crate::monitor::target::{Addr, GATEWAY};

mod gateway;

/// Look-ups that may hang at a time before further ones have to wait for them.
const THREADS: usize = 128;

/// What a look-up led to: the addresses in the system's order, or the resolver's words.
pub type Found = Result<Vec<Addr>, Arc<str>>;

/// Threads that look names up.
#[derive(Debug)]
pub struct Resolver {
    jobs: Sender<Lookup>,
    crew: Arc<Crew>,
    is_started: bool,
}

/// What the threads share.
#[derive(Debug)]
struct Crew {
    waiting: Mutex<Receiver<Lookup>>,
    threads: AtomicUsize,
    /// Threads that look nothing up.
    idle: AtomicUsize,
}

impl Resolver {
    /// A resolver without threads: they come with the names.
    pub fn new() -> Self {
        let (jobs, waiting) = mpsc::channel();
        let crew = Crew { waiting: Mutex::new(waiting), threads: AtomicUsize::new(0), idle: AtomicUsize::new(0) };
        Self { jobs, crew: Arc::new(crew), is_started: false }
    }

    /// Has `lookup` done, and `deliver` told of its end on another thread. Never waits. A target has one look-up under way at a
    /// time, so no more wait than there are targets.
    pub fn look_up(&mut self, lookup: Lookup, deliver: impl Fn(TargetId, Found) + Clone + Send + 'static) {
        // The first thread only: to start a hundred takes milliseconds, and the caller has probes to send.
        self.is_started = self.is_started || start_thread(&self.crew, deliver);
        // The receiver lives as long as this resolver does.
        let _ = self.jobs.send(lookup);
    }
}

/// Starts a thread, unless there are enough. A thread that takes a look-up and leaves nobody idle starts another first, so that one
/// is always there for the next look-up.
fn start_thread<D: Fn(TargetId, Found) + Clone + Send + 'static>(crew: &Arc<Crew>, deliver: D) -> bool {
    if crew.threads.fetch_add(1, Ordering::Relaxed) >= THREADS {
        crew.threads.fetch_sub(1, Ordering::Relaxed);
        return false;
    }
    crew.idle.fetch_add(1, Ordering::Relaxed);
    let own = Arc::clone(crew);
    let started = thread::Builder::new().name("resolver".into()).spawn(move || work(&own, &deliver)).is_ok();
    if !started {
        crew.idle.fetch_sub(1, Ordering::Relaxed);
        crew.threads.fetch_sub(1, Ordering::Relaxed);
    }
    started
}

fn work<D: Fn(TargetId, Found) + Clone + Send + 'static>(crew: &Arc<Crew>, deliver: &D) {
    while let Some(lookup) = next(&crew.waiting) {
        if crew.idle.fetch_sub(1, Ordering::Relaxed) == 1 {
            start_thread(crew, deliver.clone());
        }
        deliver(lookup.target, look_up(&lookup.host));
        crew.idle.fetch_add(1, Ordering::Relaxed);
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new()
    }
}

/// The next look-up; `None` when the resolver has gone.
fn next(waiting: &Mutex<Receiver<Lookup>>) -> Option<Lookup> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// The addresses of `host`, in the order of RFC 6724; of `@gateway` IPv4 first.
///
/// # Errors
/// gai_strerror(3)'s words, or what is wrong with the default route.
fn look_up(host: &str) -> Found {
    if let Some(zone) = host.strip_prefix(GATEWAY) {
        return gateway::look_up(zone.strip_prefix('%'));
    }
    match (host, 0).to_socket_addrs() {
        Ok(found) => {
            let mut addrs: Vec<Addr> = Vec::new();
            for addr in found.map(addr) {
                if !addrs.contains(&addr) {
                    addrs.push(addr);
                }
            }
            Ok(addrs)
        }
        Err(error) => Err(words(&error.to_string()).into()),
    }
}

fn addr(found: SocketAddr) -> Addr {
    let scope = match found {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(found) => found.scope_id(),
    };
    Addr { ip: found.ip(), scope }
}

/// The standard library puts a preface before the resolver's own words.
fn words(error: &str) -> &str {
    error.strip_prefix("failed to lookup address information: ").unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::sync::Barrier;
    use std::time::Duration;

    use super::*;

    fn target(index: usize) -> TargetId {
        TargetId::new(index).expect("small")
    }

    #[test]
    fn names_lead_to_addresses_and_nonsense_to_the_resolvers_words() {
        let (tell, told) = mpsc::channel();
        let deliver = move |target, found| tell.send((target, found)).expect("listening");
        let mut resolver = Resolver::new();
        resolver.look_up(Lookup { target: target(0), host: "localhost".into() }, deliver.clone());
        resolver.look_up(Lookup { target: target(1), host: "no-such-name.invalid".into() }, deliver);
        for _ in 0..2 {
            match told.recv_timeout(Duration::from_secs(60)).expect("an answer") {
                (id, Ok(addrs)) if id == target(0) => {
                    assert!(addrs.iter().all(|addr| addr.ip.is_loopback()) && !addrs.is_empty(), "{addrs:?}");
                }
                (id, Err(error)) if id == target(1) => assert!(!error.contains("failed to lookup"), "{error}"),
                (id, found) => panic!("{id:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn the_caller_starts_one_thread_whatever_the_number_of_names() {
        let mut resolver = Resolver::new();
        let crew = Arc::clone(&resolver.crew);
        let _nobody_goes_on = crew.waiting.lock().expect("no other test has it");
        for index in 0..20 {
            resolver.look_up(Lookup { target: target(index), host: "127.0.0.1".into() }, |_, _| {});
        }
        assert_eq!(crew.threads.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn look_ups_that_hang_hold_up_no_further_one() {
        const LOOKUPS: usize = 20;
        let (tell, told) = mpsc::channel();
        let all_under_way = Arc::new(Barrier::new(LOOKUPS));
        let deliver = move |target, _| {
            all_under_way.wait();
            tell.send(target).expect("listening");
        };
        let mut resolver = Resolver::new();
        for index in 0..LOOKUPS {
            resolver.look_up(Lookup { target: target(index), host: "127.0.0.1".into() }, deliver.clone());
        }
        for _ in 0..LOOKUPS {
            told.recv_timeout(Duration::from_secs(60)).expect("each has a thread of its own");
        }
    }

    #[test]
    fn a_zone_becomes_a_scope() {
        let found = look_up("fe80::1%lo").expect("an address literal");
        assert_eq!(found, [Addr { ip: IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)), scope: 1 }]);
        assert_eq!(look_up("127.0.0.1").expect("an address literal"), [Addr::from(Ipv4Addr::LOCALHOST)]);
    }
}
