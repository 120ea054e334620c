//! Bitfields (BEP 3), against a plain list of truths.

use bittorrent::PieceIndex;
use bittorrent::bitfield::Bitfield;

use crate::Seed;
use crate::input::Input;

/// Reads a bitfield for a number of pieces that the first byte says, then changes it.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let len = u32::from(input.byte());
    let too_many = usize::from(input.byte() % 3);
    let bits = input.take(len.div_ceil(8) as usize + too_many).to_vec();
    let Ok(mut field) = Bitfield::from_bytes(&bits, len) else { return };
    let mut truth: Vec<bool> =
        (0..len as usize).map(|piece| bits[piece / 8] & (0x80 >> (piece % 8)) != 0).collect();
    compare(&field, &truth);
    while !input.is_empty() {
        let (piece, insert) = (u32::from(input.byte()), input.flag());
        let changes = truth.get(piece as usize).is_some_and(|&set| set != insert);
        let piece = PieceIndex(piece);
        let changed = if insert { field.insert(piece) } else { field.remove(piece) };
        assert_eq!(changed, changes);
        if changes {
            truth[piece.as_usize()] = insert;
        }
    }
    compare(&field, &truth);
}

fn compare(field: &Bitfield, truth: &[bool]) {
    let indices = |wanted| {
        let all = (0..).map(PieceIndex).zip(truth);
        all.filter(move |(_, set)| **set == wanted).map(|(piece, _)| piece).collect::<Vec<_>>()
    };
    assert_eq!(field.len() as usize, truth.len());
    assert_eq!(field.iter().collect::<Vec<_>>(), indices(true));
    assert_eq!(field.missing().collect::<Vec<_>>(), indices(false));
    assert_eq!(field.count() as usize, indices(true).len());
    assert_eq!(field.is_full(), truth.iter().all(|set| *set));
    assert_eq!(Bitfield::from_bytes(field.as_bytes(), field.len()).as_ref(), Ok(field));
}

/// The number of pieces, how many bytes too many, the bits, then pairs of a piece and what becomes of it.
pub fn seeds() -> Vec<Seed> {
    vec![
        ("none", vec![0, 0]),
        ("full", vec![10, 0, 0xff, 0xc0, 9, 1, 9, 0, 200, 0]),
        ("spare_bits", vec![10, 0, 0xff, 0xff]),
        ("too_long", vec![8, 1, 0xff, 0xff]),
        ("sparse", vec![16, 0, 0x80, 0x01, 0, 1, 7, 0, 15, 1]),
    ]
}
