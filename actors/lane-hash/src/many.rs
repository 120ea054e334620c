//! Whole messages, and the leaves of BEP 52.

use crate::algorithm::{Algorithm, Sha1, Sha256};
use crate::lanes::{Job, update_many};
use crate::state::State;

/// Bytes of a leaf of a merkle tree of BEP 52; the last of a file may be shorter.
pub const LEAF_LEN: usize = 16 * 1024;

/// The SHA-1 of each message, which is given as its segments in order.
///
/// `out` must be as long as `messages`.
pub fn sha1_many<S: AsRef<[u8]>>(messages: &[&[S]], out: &mut [[u8; 20]]) {
    many::<Sha1, S>(messages, out);
}

/// The SHA-256 of each message, which is given as its segments in order.
///
/// `out` must be as long as `messages`.
pub fn sha256_many<S: AsRef<[u8]>>(messages: &[&[S]], out: &mut [[u8; 32]]) {
    many::<Sha256, S>(messages, out);
}

/// The SHA-256 of each [`LEAF_LEN`] bytes of the data, which is given as its segments in order.
///
/// The last leaf is as short as the data makes it and is not padded (BEP 52); no data has no leaf.
/// `out` must have one place for each leaf.
pub fn leaf_hashes_sha256<S: AsRef<[u8]>>(data: &[S], out: &mut [[u8; 32]]) {
    let (slices, leaf_slices) = cut_leaves(data);
    let mut rest = slices.as_slice();
    let mut leaves = Vec::with_capacity(leaf_slices.len());
    for count in leaf_slices {
        let (leaf, after) = rest.split_at_checked(count).unwrap_or_default();
        leaves.push(leaf);
        rest = after;
    }
    many::<Sha256, &[u8]>(&leaves, out);
}

/// The data cut at the ends of segments and leaves, and how many slices each leaf has.
fn cut_leaves<S: AsRef<[u8]>>(data: &[S]) -> (Vec<&[u8]>, Vec<usize>) {
    let mut slices = Vec::with_capacity(data.len());
    let mut leaf_slices = Vec::new();
    let mut room = 0;
    for segment in data {
        let mut bytes = segment.as_ref();
        while !bytes.is_empty() {
            if room == 0 {
                leaf_slices.push(0);
                room = LEAF_LEN;
            }
            let (slice, rest) = bytes.split_at(room.min(bytes.len()));
            slices.push(slice);
            if let Some(count) = leaf_slices.last_mut() {
                *count += 1;
            }
            room -= slice.len();
            bytes = rest;
        }
    }
    (slices, leaf_slices)
}

fn many<A: Algorithm, S: AsRef<[u8]>>(messages: &[&[S]], out: &mut [A::Digest]) {
    assert!(messages.len() == out.len(), "a place for the hash of each message");
    let mut states = vec![State::<A>::new(); messages.len()];
    let mut jobs: Vec<_> =
        states.iter_mut().zip(messages).map(|(state, &segments)| Job { state, segments }).collect();
    update_many(&mut jobs);
    for (state, digest) in states.into_iter().zip(out) {
        *digest = state.finish();
    }
}
