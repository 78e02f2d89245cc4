//! The ledger: what was found out about targets, kept in SQLite, written off the driver's path.

pub mod history;
