//! The compiled program from end to end, with real packets in networks made for each test.
//!
//! Whatever needs root, namespaces, veth or nftables is skipped where they are missing, and says so. Nothing is sent to an address
//! outside the namespaces.

mod support;

// A release build has no switch for its clocks.
#[cfg(debug_assertions)]
mod clocks;
mod daemon;
mod doctor;
mod gateway;
mod identity;
mod journal;
mod names;
mod network;
mod ping;
mod reload;
mod restart;
mod router;
mod scale;
mod service;
mod simnet;
mod stale_session;
mod stall;
mod status;
