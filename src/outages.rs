//! `pingtest outages`: what the ledger tells of outages, in figures that can be defended.

pub mod rhythm;
