//! Resume data: one value has one form, and nothing is believed that was not claimed.

use bittorrent::PieceIndex;
use bittorrent::bitfield::Bitfield;
use bittorrent::metainfo::Info;
use bittorrent::resume::{FileState, Resume, Taken};
use sha2::{Digest, Sha256};

use crate::input::Input;
use crate::{Seed, info};

/// Bytes of the checksum that ends resume data.
const CHECKSUM_LEN: usize = 8;

/// Reads resume data of the torrent that the first byte chooses; the fuzzer cannot guess its checksum, so
/// the bytes come without. The second byte says what became of the files since.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let infos = info::seeds();
    let (_, info) = &infos[usize::from(input.byte()) % infos.len()];
    let info = Info::parse(&info.clone().into()).expect("the seed is valid");
    let fate = input.byte();
    let body = input.rest();
    let _ = Resume::decode(body, &info);
    let whole = [body, &Sha256::digest(body)[..CHECKSUM_LEN]].concat();
    let Ok(resume) = Resume::decode(&whole, &info) else { return };
    assert_eq!(resume.encode(info.files()), whole, "another form");
    let now: Vec<Option<FileState>> =
        (0..).zip(&resume.files).map(|(n, file)| later(file.as_ref(), fate >> (n % 8))).collect();
    let trust = resume.trust(info.files(), &now);
    for piece in (0..info.piece_count()).map(PieceIndex) {
        let (trusted, recheck) = (trust.trusted.contains(piece), trust.recheck.contains(piece));
        assert!(
            !trusted || (resume.verified.contains(piece) && !recheck),
            "{piece} was not claimed"
        );
    }
    let _ = resume.trust(info.files(), &[]);
}

/// A file some time later.
fn later(file: Option<&FileState>, fate: u8) -> Option<FileState> {
    let file = *file?;
    match fate % 4 {
        0 | 1 => Some(file),
        2 => Some(FileState { length: file.length / 2, ..file }),
        _ => Some(FileState { mtime_ns: file.mtime_ns.wrapping_add(1), ..file }),
    }
}

/// A choice of torrent and fate, then resume data without its checksum.
pub fn seeds() -> Vec<Seed> {
    let seed = |choice: u8, taken, claimed: u32| {
        let infos = info::seeds();
        let info = Info::parse(&infos[usize::from(choice)].1.clone().into()).expect("valid");
        let mut resume = Resume { taken, ..Resume::nothing(&info) };
        resume.verified = Bitfield::new(info.piece_count());
        (0..claimed).map(PieceIndex).for_each(|piece| _ = resume.verified.insert(piece));
        resume.files = info
            .files()
            .iter()
            .map(|file| {
                let state =
                    FileState { length: file.length(), mtime_ns: 1_700_000_000_000_000_000 };
                (!file.is_pad()).then_some(state)
            })
            .collect();
        let mut bytes = resume.encode(info.files());
        bytes.truncate(bytes.len() - CHECKSUM_LEN);
        [&[choice, 0b1110_0100], &bytes[..]].concat()
    };
    vec![
        ("single", seed(0, Taken::Stopped, 2)),
        ("many", seed(1, Taken::Running, 1)),
        ("v2", seed(2, Taken::Stopped, 3)),
        ("hybrid", seed(3, Taken::Running, 0)),
    ]
}
