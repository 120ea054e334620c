//! Bencode, strict, without recursion, over borrowed bytes (BEP 3).
//!
//! [`parse`] makes one flat table of the values with their byte ranges, so that an info-hash can be
//! taken over the raw bytes and a hostile input costs memory in proportion to its own length only.
//! [`Encoder`] writes. Text is bytes here: who needs text decides what to do with bad UTF-8.

mod encode;
mod parse;

pub use encode::Encoder;
pub use parse::{
    Dict, Document, Error, Kind, Limits, List, Value, parse, parse_lenient, parse_prefix,
};
