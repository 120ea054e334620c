//! SHA-1 and SHA-256 over many pieces or blocks at once.
//!
//! One SHA stream is bound by the latency of its rounds: the processor waits most of the time. Two to
//! four independent streams ("lanes") interleaved in one loop fill the gaps and cost 1.8 to 2.6 times
//! less CPU time a byte. So whoever verifies pieces collects those that wait and hashes them together.
//!
//! Where to start: [`update_many_sha1`] with one [`Job`] for each piece, whose bytes may arrive in any
//! number of steps and scattered slices; [`State::finish`] gives the hash. For messages that are
//! complete: [`sha1_many`], [`sha256_many`], and [`leaf_hashes_sha256`] for the blocks of BEP 52.
//!
//! - `state`: one message's midstate, length and buffered bytes
//! - `lanes`: which jobs share the lanes, and when they change
//! - `many`: whole messages and BEP 52 leaves
//! - `kernel`: the compression functions and the table from which one is chosen at run time. The
//!   crates `sha1` and `sha2` are the fallback, the kernel of a single lane, and the oracle in tests.
//!
//! `unsafe` code is allowed in `kernel` alone. The crate knows no clock, thread or I/O.
//!
//! ```
//! use lane_hash::{Job, Sha1State, update_many_sha1};
//!
//! // Two pieces, of which the first has arrived in two slices so far.
//! let mut pieces = [Sha1State::new(), Sha1State::new()];
//! let [first, second] = &mut pieces;
//! update_many_sha1(&mut [
//!     Job { state: first, segments: &["a".as_bytes(), b"b"] },
//!     Job { state: second, segments: &[b"abc"] },
//! ]);
//! let [mut first, second] = pieces;
//! assert_eq!(second.finish()[..4], [0xa9, 0x99, 0x3e, 0x36]);
//! // The first goes on when its next bytes are there.
//! update_many_sha1(&mut [Job { state: &mut first, segments: &[b"c"] }]);
//! assert_eq!(first.finish()[..4], [0xa9, 0x99, 0x3e, 0x36]);
//! ```

mod algorithm;
mod kernel;
mod lanes;
mod many;
mod state;
#[cfg(test)]
mod tests;

pub use algorithm::{Algorithm, Sha1, Sha256};
pub use kernel::{Kernel, MAX_LANES, kernel};
pub use lanes::{
    Job, Sha1Job, Sha256Job, update_many, update_many_sha1, update_many_sha256, update_many_with,
};
pub use many::{LEAF_LEN, leaf_hashes_sha256, sha1_many, sha256_many};
pub use state::{Sha1State, Sha256State, State};

/// Bytes that both algorithms compress at a time. (The specification calls this a block; in this
/// project a block is 16 KiB of a piece.)
pub(crate) const ROW_LEN: usize = 64;

/// What one step of a compression function takes from a message.
pub(crate) type Row = [u8; ROW_LEN];
