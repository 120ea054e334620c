//! One message in the making: midstate, length, and the bytes that do not fill a row yet.

use std::fmt;

use crate::algorithm::{Algorithm, Sha1, Sha256};
use crate::kernel::Kernel;
use crate::{ROW_LEN, Row};

/// Where the length of the message starts in the last row (FIPS 180-4 §5.1.1).
const LENGTH_AT: usize = ROW_LEN - size_of::<u64>();

/// A message of which some bytes were hashed. Cloning it forks the message.
///
/// Bytes are added by [`crate::update_many`]. Invariant: `buffered < ROW_LEN`, and `words` covers the
/// first `length - buffered` bytes.
#[derive(Clone)]
pub struct State<A: Algorithm> {
    words: A::Words,
    /// Bytes of the message so far.
    length: u64,
    buffer: Row,
    buffered: usize,
}

/// A SHA-1 message in the making.
pub type Sha1State = State<Sha1>;

/// A SHA-256 message in the making.
pub type Sha256State = State<Sha256>;

impl<A: Algorithm> State<A> {
    /// The empty message.
    #[must_use]
    pub fn new() -> Self {
        Self { words: A::INITIAL, length: 0, buffer: [0; ROW_LEN], buffered: 0 }
    }

    /// Bytes of the message so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The hash of the message: 20 bytes (SHA-1) or 32 (SHA-256).
    #[must_use]
    pub fn finish(mut self) -> A::Digest {
        let bits = self.length.wrapping_mul(8);
        let padding = self.buffer.get_mut(self.buffered..).unwrap_or_default();
        padding.fill(0);
        if let Some(marker) = padding.first_mut() {
            *marker = 0x80;
        }
        if self.buffered >= LENGTH_AT {
            compress_one::<A>(&mut self.words, &self.buffer);
            self.buffer = [0; ROW_LEN];
        }
        if let Some(length) = self.buffer.last_chunk_mut() {
            *length = bits.to_be_bytes();
        }
        compress_one::<A>(&mut self.words, &self.buffer);
        A::digest(self.words)
    }

    /// Whether bytes wait for a row to be filled.
    pub(crate) fn has_buffered(&self) -> bool {
        self.buffered > 0
    }

    /// Moves bytes from the front of `bytes` into the buffer and compresses the row that they fill up.
    pub(crate) fn buffer(&mut self, bytes: &mut &[u8]) {
        let room = self.buffer.get_mut(self.buffered..).unwrap_or_default();
        let taken = room.len().min(bytes.len());
        let (front, rest) = bytes.split_at(taken);
        for (slot, byte) in room.iter_mut().zip(front) {
            *slot = *byte;
        }
        *bytes = rest;
        self.length += taken as u64;
        self.buffered += taken;
        if self.buffered == ROW_LEN {
            compress_one::<A>(&mut self.words, &self.buffer);
            self.buffered = 0;
        }
    }

    pub(crate) fn words(&self) -> A::Words {
        self.words
    }

    /// Puts the midstate after the next `bytes` of the message, which a kernel compressed. Bytes that
    /// went through [`Self::buffer`] are counted there.
    pub(crate) fn advance(&mut self, words: A::Words, bytes: usize) {
        self.words = words;
        self.length += bytes as u64;
    }
}

/// Compresses a row by the crate's kernel, which is the best for a single lane.
fn compress_one<A: Algorithm>(words: &mut A::Words, row: &Row) {
    Kernel::<A>::single().compress(std::slice::from_mut(words), &[std::slice::from_ref(row)]);
}

impl<A: Algorithm> Default for State<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Algorithm> fmt::Debug for State<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("words", &self.words)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}
