//! The peer wire protocol (BEP 3, 6, 10).

pub mod codec;
pub mod handshake;
mod message;

pub use codec::piece_header;
pub use handshake::{Handshake, Reserved};
pub use message::Message;
