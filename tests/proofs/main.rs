//! Proofs: what pingtest claims, held against witnesses that share no code with it.
//!
//! The witnesses are the journal of the simulated network (`tests/simnet`) and packet captures of tcpdump. The compiled program runs
//! in network namespaces, as it ships; each proof prints its figures. `tests/run` builds both programs in release and then runs
//!
//! ```sh
//! cargo test --release --locked --test proofs -- --nocapture
//! ```
//!
//! `cargo test` leaves them out (`test = false` in Cargo.toml): they take minutes, and mean little in a debug build.

#[path = "../real/support/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "made for tests/real, which uses all of it")]
mod support;

mod account;
mod asked;
mod capture;
mod confusion;
mod details;
mod disk;
mod downtime;
mod findings;
mod full_disk;
mod kept;
mod kills;
mod lateness;
mod load;
mod log;
mod matrix;
mod outages;
mod overload;
mod pace;
mod restarts;
mod retention;
mod rtt;
mod shelf;
mod slow_disk;
mod stage;
mod storm;
mod taken_away;
mod truth;
mod weather;
