//! SHA-1 on the SHA instructions of x86-64, 2 to 4 messages interleaved.
//!
//! One message keeps the rounds waiting for each other (`sha1rnds4` takes about four cycles and the
//! next four rounds need its result). The steps of several messages written side by side let the
//! processor work on the others meanwhile. Source: FIPS 180-4 §6.1 and the Intel SDM on `SHA1*`.
#![expect(unsafe_code, reason = "loads of 16 bytes into a register take a pointer")]

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_extract_epi32, _mm_loadu_si128, _mm_set_epi32, _mm_set_epi64x,
    _mm_setzero_si128, _mm_sha1msg1_epu32, _mm_sha1msg2_epu32, _mm_sha1nexte_epu32,
    _mm_sha1rnds4_epu32, _mm_shuffle_epi8, _mm_xor_si128,
};

use crate::Row;

/// From this many lanes on, the registers are short, and words are best made just before their use.
/// With fewer lanes, making them a group earlier hides more of the latency. (Both measured.)
const LANES_SHORT_OF_REGISTERS: usize = 4;

/// The four rounds of group `$group` (0 to 19), in each lane.
///
/// A lane's `message` holds the last 16 words of the message schedule, four to a register. `e` holds
/// what `a` was four rounds ago, of which `sha1nexte` makes the `e` of these rounds.
macro_rules! four_rounds {
    ($group:literal, $abcd:ident, $e:ident, $message:ident) => {
        for lane in 0..N {
            let words = &mut $message[lane];
            if N >= LANES_SHORT_OF_REGISTERS {
                extend(words, $group);
            }
            let e = if $group == 0 {
                _mm_add_epi32($e[lane], words[0])
            } else {
                _mm_sha1nexte_epu32($e[lane], words[$group % 4])
            };
            $e[lane] = $abcd[lane];
            // The last operand chooses the round function and constant, which last for 20 rounds.
            $abcd[lane] = _mm_sha1rnds4_epu32::<{ $group / 5 }>($abcd[lane], e);
            if N < LANES_SHORT_OF_REGISTERS {
                extend(words, $group + 1);
            }
        }
    };
}

/// Puts the words of group `group` in the place of the oldest, for the groups that need it.
#[expect(clippy::indexing_slicing, reason = "each index is taken modulo the array's length")]
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn extend(words: &mut [__m128i; 4], group: usize) {
    if !(4..20).contains(&group) {
        return;
    }
    let mixed = _mm_xor_si128(
        _mm_sha1msg1_epu32(words[group % 4], words[(group + 1) % 4]),
        words[(group + 2) % 4],
    );
    words[group % 4] = _mm_sha1msg2_epu32(mixed, words[(group + 3) % 4]);
}

/// Compresses `N` lanes, row by row. See [`super::Compress`].
#[expect(
    clippy::indexing_slicing,
    clippy::needless_range_loop,
    reason = "indices are constants or below the length of each of several arrays"
)]
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(super) fn compress<const N: usize>(words: &mut [[u32; 5]], rows: &[&[Row]]) {
    let (Some(words), Some(rows)) = (words.first_chunk_mut::<N>(), rows.first_chunk::<N>()) else {
        return;
    };
    let count = rows.iter().map(|rows| rows.len()).min().unwrap_or(0);
    let rows = rows.map(|rows| &rows[..count]);
    let mut abcd = [_mm_setzero_si128(); N];
    let mut e = [_mm_setzero_si128(); N];
    for lane in 0..N {
        let [w0, w1, w2, w3, w4] = words[lane].map(u32::cast_signed);
        abcd[lane] = _mm_set_epi32(w0, w1, w2, w3);
        e[lane] = _mm_set_epi32(w4, 0, 0, 0);
    }
    for index in 0..count {
        let (abcd_before, e_before) = (abcd, e);
        let mut message = [[_mm_setzero_si128(); 4]; N];
        for lane in 0..N {
            message[lane] = load(&rows[lane][index]);
        }
        four_rounds!(0, abcd, e, message);
        four_rounds!(1, abcd, e, message);
        four_rounds!(2, abcd, e, message);
        four_rounds!(3, abcd, e, message);
        four_rounds!(4, abcd, e, message);
        four_rounds!(5, abcd, e, message);
        four_rounds!(6, abcd, e, message);
        four_rounds!(7, abcd, e, message);
        four_rounds!(8, abcd, e, message);
        four_rounds!(9, abcd, e, message);
        four_rounds!(10, abcd, e, message);
        four_rounds!(11, abcd, e, message);
        four_rounds!(12, abcd, e, message);
        four_rounds!(13, abcd, e, message);
        four_rounds!(14, abcd, e, message);
        four_rounds!(15, abcd, e, message);
        four_rounds!(16, abcd, e, message);
        four_rounds!(17, abcd, e, message);
        four_rounds!(18, abcd, e, message);
        four_rounds!(19, abcd, e, message);
        for lane in 0..N {
            e[lane] = _mm_sha1nexte_epu32(e[lane], e_before[lane]);
            abcd[lane] = _mm_add_epi32(abcd[lane], abcd_before[lane]);
        }
    }
    for lane in 0..N {
        words[lane] = [
            _mm_extract_epi32::<3>(abcd[lane]),
            _mm_extract_epi32::<2>(abcd[lane]),
            _mm_extract_epi32::<1>(abcd[lane]),
            _mm_extract_epi32::<0>(abcd[lane]),
            _mm_extract_epi32::<3>(e[lane]),
        ]
        .map(i32::cast_unsigned);
    }
}

/// A row as sixteen words, the first in the highest place, as the instructions want them.
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn load(row: &Row) -> [__m128i; 4] {
    let reversed = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f);
    let quarters: &[[u8; 16]; 4] = row.as_chunks::<16>().0.first_chunk().unwrap_or(&[[0; 16]; 4]);
    quarters.each_ref().map(|quarter| {
        // SAFETY: the reference is to 16 readable bytes, and the load asks for no alignment.
        let words = unsafe { _mm_loadu_si128(quarter.as_ptr().cast()) };
        _mm_shuffle_epi8(words, reversed)
    })
}
