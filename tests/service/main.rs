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
mod machine;

#[test]
fn smoke() {
    let Some(mut machine) = machine::Machine::new() else { return };
    let far = support::net::Namespace::new().unwrap();
    machine.plug(&far);
    println!("{:?}", machine.run(&["ping", "-c1", "10.99.0.4"]));
    println!("{}", machine.sh("ps -e; mount; cat /proc/self/cgroup; journalctl --no-pager | tail"));
    machine.power_off();
    machine.boot();
    println!("{}", machine.sh("journalctl --no-pager --list-boots"));
}
