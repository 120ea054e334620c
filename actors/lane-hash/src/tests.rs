//! Every kernel of this processor against the crates `sha1` and `sha2`.

use proptest::prelude::*;
use sha1::Digest;

use crate::*;

/// Lengths around every seam: none, below and above one row, both lengths of padding.
const SHORT_LENGTHS: std::ops::Range<usize> = 0..201;

fn oracle_sha1(message: &[u8]) -> [u8; 20] {
    sha1::Sha1::digest(message).into()
}

fn oracle_sha256(message: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(message).into()
}

/// Bytes that differ from row to row and from seed to seed.
fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut word = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}

/// Cuts a message where `cuts` say (each modulo what is left).
fn cut<'a>(message: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = message;
    let mut segments = Vec::new();
    for cut in cuts {
        let (segment, after) = rest.split_at(cut % (rest.len() + 1));
        segments.push(segment);
        rest = after;
    }
    segments.push(rest);
    segments
}

/// Hashes all messages at once by each kernel of this processor.
fn check<A: Algorithm>(messages: &[Vec<&[u8]>], oracle: fn(&[u8]) -> A::Digest) {
    let expected: Vec<_> = messages.iter().map(|segments| oracle(&segments.concat())).collect();
    for kernel in Kernel::<A>::all_here() {
        let mut states = vec![State::<A>::new(); messages.len()];
        let mut jobs: Vec<_> = states
            .iter_mut()
            .zip(messages)
            .map(|(state, segments)| Job { state, segments: segments.as_slice() })
            .collect();
        update_many_with(kernel, &mut jobs);
        for (state, segments) in states.iter().zip(messages) {
            assert_eq!(state.length(), segments.concat().len() as u64, "{kernel:?}");
        }
        let actual: Vec<_> = states.into_iter().map(State::finish).collect();
        assert_eq!(actual, expected, "{kernel:?}");
    }
}

fn check_both(messages: &[Vec<&[u8]>]) {
    check::<Sha1>(messages, oracle_sha1);
    check::<Sha256>(messages, oracle_sha256);
}

#[test]
fn equals_the_crates_for_every_short_length_at_once_and_alone() {
    let messages: Vec<_> = SHORT_LENGTHS.map(|length| bytes(length, length as u64)).collect();
    let whole: Vec<_> = messages.iter().map(|message| vec![message.as_slice()]).collect();
    check_both(&whole);
    for message in &whole {
        check_both(std::slice::from_ref(message));
    }
}

#[test]
fn equals_the_crates_for_short_messages_cut_at_every_byte() {
    let message = bytes(200, 7);
    let messages: Vec<_> = SHORT_LENGTHS.map(|at| cut(&message, &[at])).collect();
    check_both(&messages);
}

#[test]
fn equals_the_crates_for_every_number_of_lanes() {
    let data: Vec<_> = (0..19).map(|seed| bytes(40_000 + seed * 64, seed as u64)).collect();
    for count in 0..data.len() {
        let messages: Vec<_> = data[..count].iter().map(|m| m.chunks(16_384).collect()).collect();
        check_both(&messages);
    }
}

#[test]
fn gives_the_published_hashes() {
    // FIPS 180-4 examples of NIST: one row, two rows, a million times `a`.
    let two_rows = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    let million = vec![b'a'; 1_000_000];
    let messages: [&[&[u8]]; 4] = [&[b""], &[b"abc"], &[two_rows], &[&million]];
    let mut sha1 = [[0; 20]; 4];
    sha1_many(&messages, &mut sha1);
    assert_eq!(
        sha1.map(hex),
        [
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "a9993e364706816aba3e25717850c26c9cd0d89d",
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
            "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
        ]
    );
    let mut sha256 = [[0; 32]; 4];
    sha256_many(&messages, &mut sha256);
    assert_eq!(
        sha256.map(hex),
        [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        ]
    );
}

fn hex<const N: usize>(digest: [u8; N]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_clone_forks_the_message() {
    let (front, back) = (bytes(100, 1), bytes(100, 2));
    let mut state = Sha1State::new();
    update_many_sha1(&mut [Job { state: &mut state, segments: &[&front] }]);
    let mut forked = state.clone();
    update_many_sha1(&mut [Job { state: &mut forked, segments: &[&back] }]);
    assert_eq!(state.finish(), oracle_sha1(&front));
    assert_eq!(forked.finish(), oracle_sha1(&[front, back].concat()));
}

#[test]
fn leaves_are_cut_each_16_kib_whatever_the_segments() {
    for length in [0, 1, LEAF_LEN - 1, LEAF_LEN, LEAF_LEN + 1, 5 * LEAF_LEN + 77] {
        let data = bytes(length, 3);
        let expected: Vec<_> = data.chunks(LEAF_LEN).map(oracle_sha256).collect();
        for segment in [1000, LEAF_LEN, 3 * LEAF_LEN, usize::MAX] {
            let segments: Vec<_> = data.chunks(segment).collect();
            let mut leaves = vec![[0; 32]; expected.len()];
            leaf_hashes_sha256(&segments, &mut leaves);
            assert_eq!(leaves, expected, "{length} bytes in segments of {segment}");
        }
    }
}

#[test]
fn the_chosen_kernel_is_the_first_of_a_table_that_ends_with_the_crate() {
    fn check<A: Algorithm>() {
        let here: Vec<_> = Kernel::<A>::all_here().collect();
        assert_eq!(Kernel::<A>::chosen().name(), here[0].name());
        assert_eq!(here[here.len() - 1].name(), "crate");
        assert!(here.iter().all(|kernel| (1..=MAX_LANES).contains(&kernel.lanes())));
    }
    check::<Sha1>();
    check::<Sha256>();
    assert_eq!(kernel(), Kernel::<Sha1>::chosen().name());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn equals_the_crates_for_any_lengths_and_segments(
        shapes in prop::collection::vec(
            (0_usize..40_000, prop::collection::vec(0_usize..20_000, 0..6)), 0..12),
    ) {
        let data: Vec<_> =
            shapes.iter().enumerate().map(|(i, (length, _))| bytes(*length, i as u64)).collect();
        let messages: Vec<_> =
            data.iter().zip(&shapes).map(|(message, (_, cuts))| cut(message, cuts)).collect();
        check_both(&messages);
    }

    #[test]
    fn a_message_may_arrive_in_any_number_of_updates(
        steps in prop::collection::vec(prop::collection::vec(0_usize..300, 3), 1..20),
    ) {
        let mut states = vec![Sha1State::new(); 3];
        let mut whole = vec![Vec::new(); 3];
        for (step, lengths) in steps.iter().enumerate() {
            let parts: Vec<_> =
                lengths.iter().map(|&length| [bytes(length, step as u64)]).collect();
            for (whole, part) in whole.iter_mut().zip(&parts) {
                whole.extend_from_slice(&part[0]);
            }
            let mut jobs: Vec<_> = states
                .iter_mut()
                .zip(&parts)
                .map(|(state, segments)| Job { state, segments })
                .collect();
            update_many_sha1(&mut jobs);
        }
        for (state, whole) in states.into_iter().zip(&whole) {
            prop_assert_eq!(state.finish(), oracle_sha1(whole));
        }
    }
}
