//! SHA-256 on the SHA instructions of x86-64, 2 or 3 messages interleaved.
//!
//! Why interleaved: see [`super::sha1_ni`]. Source: FIPS 180-4 §6.2 and the Intel SDM on `SHA256*`.
//! The instructions keep the eight words as `abef` and `cdgh`, the first named in the highest place.
#![expect(unsafe_code, reason = "loads of 16 bytes into a register take a pointer")]

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_loadu_si128, _mm_set_epi32,
    _mm_set_epi64x, _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32,
    _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
};

use crate::Row;

/// The constants of the 64 rounds, four to a group (FIPS 180-4 §4.2.2).
const CONSTANTS: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
    [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
    [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
    [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
    [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
    [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
    [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
    [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
    [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];

/// The four rounds of group `$group` (0 to 15), in each lane.
///
/// A lane's `message` holds the last 16 words of the message schedule, four to a register.
macro_rules! four_rounds {
    ($group:literal, $abef:ident, $cdgh:ident, $message:ident) => {
        let [k0, k1, k2, k3] = CONSTANTS[$group].map(u32::cast_signed);
        let constants = _mm_set_epi32(k3, k2, k1, k0);
        for lane in 0..N {
            let words = &mut $message[lane];
            // A group earlier than they are needed, which hides latency (measured).
            extend(words, $group + 1);
            let sum = _mm_add_epi32(words[$group % 4], constants);
            // Two rounds turn abef into the cdgh of two rounds later.
            $cdgh[lane] = _mm_sha256rnds2_epu32($cdgh[lane], $abef[lane], sum);
            let upper = _mm_shuffle_epi32::<0b00_00_11_10>(sum);
            $abef[lane] = _mm_sha256rnds2_epu32($abef[lane], $cdgh[lane], upper);
        }
    };
}

/// Puts the words of group `group` in the place of the oldest, for the groups that need it.
#[expect(clippy::indexing_slicing, reason = "each index is taken modulo the array's length")]
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn extend(words: &mut [__m128i; 4], group: usize) {
    if !(4..16).contains(&group) {
        return;
    }
    let newest = words[(group + 3) % 4];
    let mixed = _mm_add_epi32(
        _mm_sha256msg1_epu32(words[group % 4], words[(group + 1) % 4]),
        _mm_alignr_epi8::<4>(newest, words[(group + 2) % 4]),
    );
    words[group % 4] = _mm_sha256msg2_epu32(mixed, newest);
}

/// Compresses `N` lanes, row by row. See [`super::Compress`].
#[expect(
    clippy::indexing_slicing,
    clippy::needless_range_loop,
    reason = "indices are constants or below the length of each of several arrays"
)]
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(super) fn compress<const N: usize>(words: &mut [[u32; 8]], rows: &[&[Row]]) {
    let (Some(words), Some(rows)) = (words.first_chunk_mut::<N>(), rows.first_chunk::<N>()) else {
        return;
    };
    let count = rows.iter().map(|rows| rows.len()).min().unwrap_or(0);
    let rows = rows.map(|rows| &rows[..count]);
    let mut abef = [_mm_setzero_si128(); N];
    let mut cdgh = [_mm_setzero_si128(); N];
    for lane in 0..N {
        let [a, b, c, d, e, f, g, h] = words[lane].map(u32::cast_signed);
        abef[lane] = _mm_set_epi32(a, b, e, f);
        cdgh[lane] = _mm_set_epi32(c, d, g, h);
    }
    for index in 0..count {
        let (abef_before, cdgh_before) = (abef, cdgh);
        let mut message = [[_mm_setzero_si128(); 4]; N];
        for lane in 0..N {
            message[lane] = load(&rows[lane][index]);
        }
        four_rounds!(0, abef, cdgh, message);
        four_rounds!(1, abef, cdgh, message);
        four_rounds!(2, abef, cdgh, message);
        four_rounds!(3, abef, cdgh, message);
        four_rounds!(4, abef, cdgh, message);
        four_rounds!(5, abef, cdgh, message);
        four_rounds!(6, abef, cdgh, message);
        four_rounds!(7, abef, cdgh, message);
        four_rounds!(8, abef, cdgh, message);
        four_rounds!(9, abef, cdgh, message);
        four_rounds!(10, abef, cdgh, message);
        four_rounds!(11, abef, cdgh, message);
        four_rounds!(12, abef, cdgh, message);
        four_rounds!(13, abef, cdgh, message);
        four_rounds!(14, abef, cdgh, message);
        four_rounds!(15, abef, cdgh, message);
        for lane in 0..N {
            abef[lane] = _mm_add_epi32(abef[lane], abef_before[lane]);
            cdgh[lane] = _mm_add_epi32(cdgh[lane], cdgh_before[lane]);
        }
    }
    for lane in 0..N {
        words[lane] = [
            _mm_extract_epi32::<3>(abef[lane]),
            _mm_extract_epi32::<2>(abef[lane]),
            _mm_extract_epi32::<3>(cdgh[lane]),
            _mm_extract_epi32::<2>(cdgh[lane]),
            _mm_extract_epi32::<1>(abef[lane]),
            _mm_extract_epi32::<0>(abef[lane]),
            _mm_extract_epi32::<1>(cdgh[lane]),
            _mm_extract_epi32::<0>(cdgh[lane]),
        ]
        .map(i32::cast_unsigned);
    }
}

/// A row as sixteen words, the first of each four in the lowest place.
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn load(row: &Row) -> [__m128i; 4] {
    let swapped = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let quarters: &[[u8; 16]; 4] = row.as_chunks::<16>().0.first_chunk().unwrap_or(&[[0; 16]; 4]);
    quarters.each_ref().map(|quarter| {
        // SAFETY: the reference is to 16 readable bytes, and the load asks for no alignment.
        let words = unsafe { _mm_loadu_si128(quarter.as_ptr().cast()) };
        _mm_shuffle_epi8(words, swapped)
    })
}
