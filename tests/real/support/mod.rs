//! What tests with real packets are made of: networks of their own, the program at work in one of them, the lines it writes.

pub(crate) mod dns;
pub(crate) mod journal;
pub(crate) mod line;
pub(crate) mod load;
pub(crate) mod net;
pub(crate) mod program;
pub(crate) mod responder;
pub(crate) mod simnet;
pub(crate) mod wait;
