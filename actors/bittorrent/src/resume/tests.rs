//! What is written is read, and nothing is believed that may have changed.

use proptest::prelude::*;

use super::*;
use crate::bencode::Encoder;

/// A v1 torrent of these files with pieces of 4 bytes.
fn torrent(lengths: &[u64]) -> Info {
    let total: u64 = lengths.iter().sum();
    let mut encoder = Encoder::new();
    encoder.dict().bytes("files").list();
    for (number, length) in lengths.iter().enumerate() {
        encoder.dict().bytes("length").int(*length).bytes("path").list();
        encoder.bytes(format!("f{number}")).end().end();
    }
    encoder.end().bytes("name").bytes("n").bytes("piece length").int(4).bytes("pieces");
    encoder.bytes(vec![7; 20 * usize::try_from(total.div_ceil(4)).unwrap()]).end();
    Info::parse(&encoder.finish().into()).unwrap()
}

fn state(length: u64, mtime_ns: i64) -> Option<FileState> {
    Some(FileState { length, mtime_ns })
}

/// Files of 6, 6, 0 and 8 bytes: pieces 0 | 1 shared | 2 | 3 and 4.
fn sample(taken: Taken, verified: &[u32]) -> (Info, Resume) {
    let info = torrent(&[6, 6, 0, 8]);
    let mut resume = Resume { taken, ..Resume::nothing(&info) };
    verified.iter().for_each(|&piece| {
        resume.verified.insert(PieceIndex(piece));
    });
    resume.files = vec![state(6, 100), state(6, 200), None, state(8, -300)];
    (info, resume)
}

fn pieces(bits: &Bitfield) -> Vec<u32> {
    bits.iter().map(|piece| piece.0).collect()
}

fn check(
    (info, resume): &(Info, Resume),
    now: &[Option<FileState>],
    trusted: &[u32],
    recheck: &[u32],
) {
    let trust = resume.trust(info.files(), now);
    assert_eq!((pieces(&trust.trusted), pieces(&trust.recheck)), (trusted.into(), recheck.into()));
}

#[test]
fn unchanged_files_are_believed() {
    let stopped = sample(Taken::Stopped, &[0, 1, 4]);
    check(&stopped, &stopped.1.files, &[0, 1, 4], &[]);
    let running = sample(Taken::Running, &[0, 1, 4]);
    check(&running, &running.1.files, &[0, 1, 4], &[]);
}

#[test]
fn all_pieces_of_a_changed_file_are_hashed() {
    let torrent = sample(Taken::Stopped, &[0, 1, 4]);
    let newer = [state(6, 100), state(6, 201), None, state(8, -300)];
    check(&torrent, &newer, &[0, 4], &[1, 2]);
    let longer = [state(7, 100), state(6, 200), None, state(8, -300)];
    check(&torrent, &longer, &[4], &[0, 1]);
}

#[test]
fn missing_bytes_are_neither_believed_nor_hashed() {
    let torrent = sample(Taken::Stopped, &[0, 1, 2, 3, 4]);
    check(&torrent, &[None, state(6, 200), None, state(8, -300)], &[2, 3, 4], &[]);
    check(&torrent, &[state(4, 100), state(6, 200), None, state(8, -300)], &[2, 3, 4], &[0]);
    check(&torrent, &[state(6, 100), state(6, 200), None, state(7, -300)], &[0, 1, 2], &[3]);
    check(&torrent, &[], &[], &[]);
}

#[test]
fn a_file_recorded_shorter_than_its_claims_is_not_believed() {
    let (info, mut resume) = sample(Taken::Stopped, &[3, 4]);
    resume.files[3] = state(5, 1);
    let now = [state(6, 100), state(6, 200), None, state(5, 1)];
    check(&(info, resume), &now, &[3], &[]);
}

#[test]
fn our_own_writes_after_the_checkpoint_are_no_change() {
    let mut torrent = sample(Taken::Running, &[0, 3]);
    torrent.1.files[3] = state(4, -300);
    let now = [state(6, 101), state(6, 300), None, state(8, 5)];
    check(&torrent, &now, &[0, 3], &[]);
    let older = [state(6, 99), state(6, 200), None, state(4, -300)];
    check(&torrent, &older, &[3], &[0, 1]);
    // A complete file is not written any more.
    let complete = sample(Taken::Running, &[3, 4]);
    check(&complete, &[None, None, None, state(8, -299)], &[], &[3, 4]);
}

#[test]
fn a_file_that_is_not_recorded_is_not_believed() {
    let mut torrent = sample(Taken::Running, &[3]);
    torrent.1.files[3] = None;
    let now = [state(6, 100), state(6, 200), None, state(8, 1)];
    check(&torrent, &now, &[], &[3]);
    torrent.1.taken = Taken::Stopped;
    check(&torrent, &now, &[], &[3, 4]);
}

#[test]
fn the_form_is_as_described() {
    let (info, resume) = sample(Taken::Stopped, &[0, 4]);
    let mut expected = b"TERESUME\x01\x01".to_vec();
    expected.extend_from_slice(info.torrent_id().as_bytes());
    // 5 pieces, 4 files, the bitfield; 100, 200 − 100, none, −300 − 200.
    expected.extend_from_slice(&[0, 0, 0, 5, 0, 0, 0, 4, 0b1000_1000]);
    expected.extend_from_slice(&[1, 200, 1, 1, 200, 1, 0, 1, 0xe7, 0x07]);
    let bytes = resume.encode(info.files());
    assert_eq!(bytes[..bytes.len() - 8], expected);
    assert_eq!(bytes[bytes.len() - 8..], Sha256::digest(&expected)[..8]);
    assert_eq!(Resume::decode(&bytes, &info), Ok(resume));
}

#[test]
fn states_that_do_not_fit_are_left_out() {
    let (info, resume) = sample(Taken::Stopped, &[0, 4]);
    let whole = resume.encode(info.files()).len();
    for limit in whole - 4..whole {
        let bytes = resume.encode_within(info.files(), limit);
        assert!(bytes.len() <= limit);
        let read = Resume::decode(&bytes, &info).unwrap();
        assert_eq!((&read.verified, read.files[0]), (&resume.verified, state(6, 100)));
        assert_eq!(read.files[3], None);
        assert_eq!(read.encode_within(info.files(), limit), bytes);
    }
}

#[test]
fn says_why_it_is_not_used() {
    let (info, resume) = sample(Taken::Stopped, &[0]);
    let bytes = resume.encode(info.files());
    let decode = |body: &[u8]| {
        let sum = checksum(body);
        Resume::decode(&[body, &sum].concat(), &info)
    };
    let body = &bytes[..bytes.len() - 8];
    assert_eq!(decode(body), Ok(resume));
    let changed = |at: usize, byte: u8| {
        let mut body = body.to_vec();
        body[at] = byte;
        body
    };
    assert_eq!(Resume::decode(&changed(8, 2), &info), Err(Error::Damaged));
    assert_eq!(decode(&changed(8, 2)), Err(Error::Version(2)));
    assert_eq!(decode(&changed(9, 2)), Err(Error::Damaged));
    assert!(matches!(decode(&changed(10, 0)), Err(Error::OtherTorrent(_))));
    assert_eq!(decode(&changed(33, 6)), Err(Error::OtherShape { pieces: 6, files: 4 }));
    assert_eq!(decode(&changed(38, 0xff)), Err(Error::Bitfield(BitfieldError::SpareBits)));
    assert_eq!(decode(&body[..body.len() - 1]), Err(Error::Damaged));
    assert_eq!(decode(&[body, &[0]].concat()), Err(Error::Damaged));
    let long = vec![0; RESUME_LEN_MAX + 1];
    assert_eq!(Resume::decode(&long, &info), Err(Error::TooLong(RESUME_LEN_MAX + 1)));
}

fn any_state() -> impl Strategy<Value = Option<FileState>> {
    prop::option::of((0_u64..20, any::<i64>()))
        .prop_map(|state| state.map(|(length, mtime_ns)| FileState { length, mtime_ns }))
}

proptest! {
    #[test]
    fn no_bytes_panic_and_one_value_has_one_form(
        mut tail in prop::collection::vec(any::<u8>(), 0..40), cut in 0_usize..40, flip in any::<bool>(),
    ) {
        let (info, resume) = sample(Taken::Running, &[0]);
        let _ = Resume::decode(&tail, &info);
        let bytes = resume.encode(info.files());
        let mut body = bytes[..cut.min(bytes.len())].to_vec();
        if flip {
            tail.iter_mut().for_each(|byte| *byte %= 4);
        }
        body.extend_from_slice(&tail);
        body.extend_from_slice(&checksum(&body));
        if let Ok(read) = Resume::decode(&body, &info) {
            prop_assert_eq!(read.encode(info.files()), body);
        }
    }

    #[test]
    fn round_trips(
        files in prop::collection::vec((0_u64..20, any_state()), 1..12), seed in any::<u64>(), running in any::<bool>(),
    ) {
        let lengths: Vec<u64> = files.iter().map(|(length, _)| *length).collect();
        let info = torrent(&lengths);
        let mut resume = Resume::nothing(&info);
        resume.taken = if running { Taken::Running } else { Taken::Stopped };
        resume.files = files.iter().map(|(_, state)| *state).collect();
        for piece in 0..info.piece_count() {
            if seed >> (piece % 64) & 1 == 1 {
                resume.verified.insert(PieceIndex(piece));
            }
        }
        prop_assert_eq!(Resume::decode(&resume.encode(info.files()), &info), Ok(resume));
    }

    #[test]
    fn believed_pieces_were_claimed_and_lie_in_unchanged_files(
        files in prop::collection::vec((0_u64..20, any_state(), any_state(), any::<bool>()), 1..12), seed in any::<u64>(),
    ) {
        let lengths: Vec<u64> = files.iter().map(|file| file.0).collect();
        let info = torrent(&lengths);
        let mut resume = Resume::nothing(&info);
        resume.files = files.iter().map(|file| file.1).collect();
        for piece in 0..info.piece_count() {
            if seed >> (piece % 64) & 1 == 1 {
                resume.verified.insert(PieceIndex(piece));
            }
        }
        let now: Vec<_> = files.iter().map(|file| if file.3 { file.1 } else { file.2 }).collect();
        let trust = resume.trust(info.files(), &now);
        for piece in trust.trusted.iter() {
            prop_assert!(resume.verified.contains(piece) && !trust.recheck.contains(piece));
            for span in info.files().spans(piece, 0, 4) {
                prop_assert_eq!(now[span.file], resume.files[span.file]);
                prop_assert!(now[span.file].unwrap().length >= span.offset + span.length);
            }
        }
        for piece in trust.recheck.iter() {
            for span in info.files().spans(piece, 0, 4) {
                prop_assert!(now[span.file].unwrap().length >= span.offset + span.length);
            }
        }
    }
}
