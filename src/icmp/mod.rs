//! ICMP as it is on this system: bytes, sockets, and the engine that sends and receives through them.
//!
//! [`wire`] turns bytes into packets and back and is pure; [`socket`] opens one socket and talks to the kernel; [`engine`]
//! holds a socket for each set of options. They report what happened and judge nothing: that is `monitor`'s.

pub mod engine;
pub mod filter;
mod ident;
mod loopback;
mod slot;
pub mod socket;
pub mod wire;
