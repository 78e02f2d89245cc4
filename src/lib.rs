//! pingtest
pub mod config;
pub mod monitor;
