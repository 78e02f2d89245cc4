//! The package and the units under a real systemd, as they ship.
//!
//! Each machine is a container of its own that boots the systemd of this system (machine.rs). `tests/run` builds the package before,
//! and a debug build of the program, which alone can be made to stall; then it runs
//!
//! ```sh
//! cargo test --release --locked --test service -- --nocapture
//! ```
//!
//! `cargo test` leaves them out (`test = false` in Cargo.toml): they want the package.

#[path = "../real/support/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "made for tests/real, which uses all of it")]
mod support;

mod cgroup;
mod deaths;
mod directories;
mod install;
mod instances;
mod journal;
mod machine;
mod outages;
mod package;
mod reload;
mod say;
mod stalls;
mod station;
mod upgrade;
