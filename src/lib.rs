//! pingtest
pub(crate) mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod driver;
pub mod icmp;
pub mod logging;
pub mod monitor;
pub mod ping;
pub mod resolve;
pub mod sink;
pub(crate) mod watch;
pub use cli::main;
