//! pingtest
pub mod monitor;
pub mod sink;
