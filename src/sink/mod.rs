//! Where records go: one file per destination, each on its own side of a bounded queue.
//!
//! A sink renders and keeps what the monitor decided. It judges nothing, knows no configuration and no socket, and nothing
//! here can make the monitor wait.

pub mod archive;
pub mod file;
#[cfg(test)]
mod fixture;
pub mod line;
pub mod rotation;
