//! The peer wire protocol (BEP 3, 6, 10).

pub mod codec;
pub mod extension;
pub mod handshake;
mod message;
pub mod metadata;
pub mod pex;

pub use codec::piece_header;
pub use handshake::{Handshake, Reserved};
pub use message::Message;
