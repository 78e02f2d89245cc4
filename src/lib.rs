//! pingtest
pub mod clock;
pub mod config;
pub mod icmp;
pub mod monitor;
pub(crate) mod watch;
