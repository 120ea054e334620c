//! Values with units: sizes, rates, durations, ratios and limits.
//!
//! A number without a unit is refused, so that nobody has to guess; only 0, which is the same in
//! every unit, may stand alone. Everything is whole-numbered arithmetic: what is shown reads back
//! as the same value.

mod bytes;
mod count;
mod duration;
mod number;

pub use bytes::{ByteSize, Rate};
pub use count::{Limit, Ratio};
