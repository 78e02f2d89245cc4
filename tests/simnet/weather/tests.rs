//! The rules in virtual time, key by key.
