//! The rules, pure: std and plain data only.
pub mod record;
pub mod sample;
pub mod schedule;
pub mod target;
pub mod time;
