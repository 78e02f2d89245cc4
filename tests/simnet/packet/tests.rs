//! Packets built and read back, and what is deliberately wrong with some.
