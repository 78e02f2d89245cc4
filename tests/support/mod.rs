//! What several tests share.

pub(crate) mod finding;
pub(crate) mod ledger;
pub(crate) mod script;
pub(crate) mod world;
