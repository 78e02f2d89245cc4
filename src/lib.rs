//! pingtest
pub mod clock;
pub mod icmp;
pub mod monitor;
mod watch;
