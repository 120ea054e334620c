//! The peer wire protocol (BEP 3, 6, 10).

mod message;

pub use message::Message;
