//! pingtest
pub mod monitor;
