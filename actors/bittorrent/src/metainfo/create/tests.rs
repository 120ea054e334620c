//! What is made has the info-hashes that libtorrent gives, and can be read.

use bytes::Bytes;
use proptest::prelude::*;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::*;
use crate::metainfo::Metainfo;

/// A torrent of made-up files, and its info-hashes by libtorrent 2.0.11 and 2.1.1. Byte `i` of file `k`
/// is `7 i + k + i / 256`, cut to a byte.
struct Golden {
    name: &'static str,
    /// Path, length and attributes.
    files: &'static [(&'static str, u64, &'static str)],
    piece_length: u32,
    private: bool,
    v1: &'static str,
    v2: &'static str,
    hybrid: (&'static str, &'static str),
}

const GOLDEN: &[Golden] = &[
    Golden {
        name: "one.bin",
        files: &[("", 50000, "")],
        piece_length: 16384,
        private: false,
        v1: "44f3e1870b6a0da29eb51f8e402bbaedaf5a39bb",
        v2: "85ef04c16882582803fa69a31e92c04ca30679e4d357805478ed2d509a906585",
        hybrid: (
            "deed1eadd41abd2c1f1d80317e088279ee728e9b",
            "a59cf8df241e6957e56455d8d36c174497fb1e6814f10ca09c7024706a62dbee",
        ),
    },
    Golden {
        name: "one.bin",
        files: &[("", 50000, "")],
        piece_length: 32768,
        private: false,
        v1: "f73c5ab5ae5820b68477679481f322e669cd19ba",
        v2: "90ffc4587adab60ddd5659976c42f44e5e0c5911a7fae6fd369333e2a1476a1d",
        hybrid: (
            "d023f3850c2aff88273932295209e27dc4f51975",
            "f4d58714a3a7ec3e9d87f54d57990c7e01b4e4418939574ce968d3816230279e",
        ),
    },
    Golden {
        name: "s.bin",
        files: &[("", 100, "")],
        piece_length: 16384,
        private: false,
        v1: "65983e7eebe272000816df1f1c933cad3192677f",
        v2: "3f4133891578cd585135143bd9aee5f2086f47d67bc4683762b9b5335b6e319f",
        hybrid: (
            "7ef931346d43c999fe2d21155f8220268d7c58a0",
            "fb669e4a78d48fc73cf87d021e2ffdfb67a2e4e434d74554926315cb41e51903",
        ),
    },
    Golden {
        name: "dir",
        files: &[("a/b", 20000, ""), ("c", 5, ""), ("d.e", 0, ""), ("z", 40001, "")],
        piece_length: 16384,
        private: false,
        v1: "38b8a64e062f62c13266bc80b38b0038aa3975df",
        v2: "7fae975b38330ec8d48ec8649bd71a6a9c9032776d7a509fc82d0d7506991f91",
        hybrid: (
            "68aee5000f0b9b4b88cf32bd5cfb5ebf8f63ee45",
            "78290dc8dd31f1d37bcc78aeb6c4efcaa59b87e75b45c83d3462723dda5f6067",
        ),
    },
    Golden {
        name: "dir",
        files: &[("a/b", 20000, ""), ("c", 5, ""), ("d.e", 0, ""), ("z", 40001, "")],
        piece_length: 32768,
        private: true,
        v1: "c43252d8be646e162885292646ce5953ebebd5b0",
        v2: "5ee5ecb288c9978e105686030a43eadc2e0f785923736359748ba9e433b71d11",
        hybrid: (
            "dcc6c5fd5759b15c3cd9fc6a7933d059699e90c3",
            "060a443f61f51a5c071fe92c9ab7c81ffb21967053aaf5f8ef0d0c3a0107de4f",
        ),
    },
    Golden {
        name: "dir",
        files: &[("x", 16384, ""), ("y", 32768, "")],
        piece_length: 16384,
        private: false,
        v1: "4b1975a47a55201414a9f678ddf06b9ede07122c",
        v2: "ed691e4d454c8ae42a20f8348017f0152a6a01b3765b39e870980e0fb1ebb076",
        hybrid: (
            "47e325d03c41d817cffa662747c2bc05991c780c",
            "de9de0345eb09e748062ddb79774927d108d31186ec60ccda3d6119e77ddd0bf",
        ),
    },
    Golden {
        name: "dir",
        files: &[("x", 40000, "")],
        piece_length: 16384,
        private: false,
        v1: "4e0d6ac43af63e14699a033393f637f513d3936b",
        v2: "6394afd919c421e25afee85d864de53b1b09f2d491fcd293f83ed19f688e14d7",
        hybrid: (
            "1f6a27667e449403ae6d405be0e64510947912c5",
            "c52e6bd7a868aa7dee1f3ebfa99bd80dc65da27c86c89c297c1f4ffb8446b73a",
        ),
    },
    Golden {
        name: "dir",
        files: &[("x", 40000, ""), ("y", 0, "")],
        piece_length: 16384,
        private: false,
        v1: "05c2c80ae197782aebd726b620d3890ef1b45973",
        v2: "4f73175f511760ad1b65a1b4d1b85fe3e4d073381c896a0f113a698afb6393bd",
        hybrid: (
            "375f5c42c9cc6ae49d2e834407765bfa29c8fa62",
            "6c62a549675df0eab07c4e6c8781a73cc97affa7e94ba72dba1c7dcd575b754d",
        ),
    },
    Golden {
        name: "dir",
        files: &[("a", 0, ""), ("y", 40000, "")],
        piece_length: 16384,
        private: false,
        v1: "bc526bb6741589f4ef10033e399dab992cc6057c",
        v2: "b1bbf22cbbbc3ea97fe8b999914719e5d337e66cfc4c2867b177eb47636a3fe9",
        hybrid: (
            "521d9767a00abadefa57228ef6b5c5a29fe3d1cc",
            "730d648cf04bf6cf2ba75d33eb19b7ba0b030056079bdbf64edc829b32ddd605",
        ),
    },
    Golden {
        name: "dir",
        files: &[("a/b/c", 70000, ""), ("a/b/d", 1, ""), ("a/e", 40000, ""), ("f/g", 16384, "")],
        piece_length: 32768,
        private: false,
        v1: "4d9793b686e5a0c1c7b4c9e8efddddf563b035a8",
        v2: "78604a5a688ece476bc384918f59feb5aa2e5df89f51596fdad087e041b7c7b8",
        hybrid: (
            "3f5b861ea4380bcfa2a0ff1f0710072c60ea9956",
            "15e0d70dec8c7e43f0304ffc5c271456dfed0b758ec71b6cede42acd7a4364f2",
        ),
    },
    Golden {
        name: "run.sh",
        files: &[("", 20000, "x")],
        piece_length: 16384,
        private: false,
        v1: "43dfe2e89512809f84e1261ac81fd4fd419ae1c5",
        v2: "27d7c6942394068dda91b87a301837ac3bfbeb08f005ba200b353730664cbe51",
        hybrid: (
            "09f24e085bb6f446369283adbf8f4eb0668ca033",
            "227c4a9096868f4640cb5b9d3bdf82b5b31a93deb7e48c52be656a6c9d4aa573",
        ),
    },
    Golden {
        name: "dir",
        files: &[("h", 9, "h"), ("hx", 17000, "hx"), ("x", 3, "x")],
        piece_length: 16384,
        private: false,
        v1: "6b74feb3d24838dfb39682c27e58de3661456629",
        v2: "0b1895ee25d66acc7355a31fcbeed5e5b26fba017f3f12010ee0fcbfa2369de2",
        hybrid: (
            "5f5c5f5a6d9a0bcb1323b9cc2aae70586b9c1c01",
            "afa317663588792dc7bdfb4baafb1c0da7a4e13f0146f3e5ad9dd078855c799e",
        ),
    },
];

fn byte_of(file: usize, at: u64) -> u8 {
    let sum = at * 7 + file as u64 + (at >> 8);
    sum.to_le_bytes()[0]
}

fn file((path, length, attributes): (&str, u64, &str)) -> SourceFile {
    SourceFile {
        path: path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
        length,
        executable: attributes.contains('x'),
        hidden: attributes.contains('h'),
    }
}

fn plan(
    name: &str,
    files: &[(&str, u64, &str)],
    version: Version,
    piece: u32,
) -> Result<Plan, Error> {
    let options = Options { version, piece_length: Some(piece), private: false };
    Plan::new(name, files.iter().copied().map(file).collect(), options)
}

/// Hashes as a caller does, piece by piece.
fn hash(plan: &Plan) -> Hashes {
    let mut hashes = Hashes::default();
    for piece in (0..plan.piece_count()).map(PieceIndex) {
        let (mut content, mut zeros) = (Vec::new(), 0);
        for segment in plan.segments(piece) {
            match segment {
                Segment::File { file, offset, length } => {
                    assert_eq!(zeros, 0);
                    let bytes = offset..offset + u64::from(length);
                    content.extend(bytes.map(|at| byte_of(file, at)));
                }
                Segment::Zeros { length } => zeros += length as usize,
            }
        }
        if plan.version().has_v2() {
            let leaves: Vec<Hash> = content
                .chunks(BLOCK_LEN as usize)
                .map(|block| Sha256::digest(block).into())
                .collect();
            hashes.v2.push(plan.piece_root(piece, &leaves));
        }
        if plan.version().has_v1() {
            content.resize(content.len() + zeros, 0);
            hashes.v1.push(Sha1::digest(content).into());
        }
    }
    hashes
}

fn make(plan: &Plan, around: &Surroundings) -> Metainfo {
    let bytes: Bytes = plan.finish(&hash(plan), around).unwrap().into();
    Metainfo::parse(&bytes).unwrap()
}

#[test]
fn info_hashes_are_those_of_libtorrent() {
    for golden in GOLDEN {
        let of = |version| {
            let options = Options {
                version,
                piece_length: Some(golden.piece_length),
                private: golden.private,
            };
            // Any order will do.
            let files = golden.files.iter().copied().rev().map(file).collect();
            let plan = Plan::new(golden.name, files, options).unwrap();
            let info = make(&plan, &Surroundings::default()).info;
            assert_eq!(info.is_private(), golden.private);
            (info.v1().map(|hash| hash.to_string()), info.v2().map(|hash| hash.to_string()))
        };
        let some = |hash: &str| Some(hash.to_owned());
        let case = (golden.name, golden.files, golden.piece_length);
        assert_eq!(of(Version::V1), (some(golden.v1), None), "{case:?}");
        assert_eq!(of(Version::V2), (None, some(golden.v2)), "{case:?}");
        let (v1, v2) = golden.hybrid;
        assert_eq!(of(Version::Hybrid), (some(v1), some(v2)), "{case:?}");
    }
}

#[test]
fn segments_name_the_zeros_of_a_hybrid_only() {
    let files = &[("a", 20_000, ""), ("b", 0, ""), ("c", 5, "")];
    let segments = |version| {
        let plan = plan("n", files, version, 16_384).unwrap();
        (0..plan.piece_count() + 1)
            .map(|piece| plan.segments(PieceIndex(piece)))
            .collect::<Vec<_>>()
    };
    let of = |file, offset, length| Segment::File { file, offset, length };
    let whole = vec![of(0, 0, 16_384)];
    assert_eq!(
        segments(Version::V1),
        [whole.clone(), vec![of(0, 16_384, 3_616), of(2, 0, 5)], vec![]]
    );
    assert_eq!(
        segments(Version::V2),
        [whole.clone(), vec![of(0, 16_384, 3_616)], vec![of(2, 0, 5)], vec![]]
    );
    let padded = |segment, length| vec![segment, Segment::Zeros { length }];
    assert_eq!(
        segments(Version::Hybrid),
        [whole, padded(of(0, 16_384, 3_616), 12_768), padded(of(2, 0, 5), 16_379), vec![]]
    );
}

#[test]
fn the_length_of_pieces_is_chosen_as_libtorrent_does() {
    // The largest content for each length, as libtorrent 2.1.1 says.
    let largest: [u64; 10] = [
        2_684_355,
        10_737_418,
        42_949_673,
        171_798_692,
        687_194_767,
        2_748_779_069,
        10_995_116_278,
        43_980_465_111,
        175_921_860_444,
        703_687_441_777,
    ];
    let mut piece = 16_384;
    for total in largest {
        assert_eq!(automatic_piece_length(total), piece);
        piece *= 2;
        assert_eq!(automatic_piece_length(total + 1), piece);
    }
    assert_eq!((automatic_piece_length(0), automatic_piece_length(u64::MAX)), (16_384, 1 << 24));
}

#[test]
fn the_surroundings_can_be_read() {
    let plan = plan("n", &[("", 5, "")], Version::Hybrid, 16_384).unwrap();
    let tier = |urls: &[&str]| urls.iter().map(|&url| url.to_owned()).collect::<Vec<_>>();
    let mut around = Surroundings {
        trackers: vec![tier(&["http://a/announce"]), tier(&["udp://b:1", "udp://c:1"])],
        web_seeds: tier(&["http://w/", "http://x/"]),
        comment: Some("a comment".into()),
        created_by: Some("TorrentEdge".into()),
        creation_date: Some(1_700_000_000),
    };
    for count in [2, 1] {
        around.trackers.truncate(count);
        around.web_seeds.truncate(count);
        let read = make(&plan, &around);
        assert_eq!(read.trackers, around.trackers);
        assert_eq!(read.web_seeds, around.web_seeds);
        assert_eq!(read.comment, around.comment);
        assert_eq!(read.created_by, around.created_by);
        assert_eq!(read.creation_date, around.creation_date);
    }
    let one = plan.finish(&hash(&plan), &around).unwrap();
    let text = one.escape_ascii().to_string();
    assert!(text.starts_with("d8:announce17:http://a/announce7:comment"), "{text}");
    assert!(text.ends_with("8:url-list9:http://w/e"), "{text}");
}

#[test]
fn says_why_it_cannot_be_made() {
    let refuse = |files: &[(&str, u64, &str)], piece| {
        plan("n", files, Version::Hybrid, piece).unwrap_err().to_string()
    };
    assert_eq!(refuse(&[], 16_384), "there is nothing in it");
    assert_eq!(refuse(&[("a", 0, "")], 16_384), "there is nothing in it");
    for piece in [0, 8_192, 16_385, 1 << 30] {
        assert!(refuse(&[("a", 1, "")], piece).contains("piece length"), "{piece}");
    }
    assert!(refuse(&[("a", 1, ""), ("", 1, "")], 16_384).contains("without a path"));
    assert!(refuse(&[("a", 1, ""), ("a", 1, "")], 16_384).contains("two files"));
    assert!(refuse(&[("a", 1, ""), ("a/b", 1, "")], 16_384).contains("a file stands"));
    assert!(refuse(&[("..", 1, "")], 16_384).contains("leads out"));
    assert!(refuse(&[("a\\b", 1, "")], 16_384).contains("a name must be"));
    assert!(refuse(&[("n", 1, "")], 16_384).contains("as it is itself"));
    assert!(plan("n", &[("n", 1, "")], Version::V1, 16_384).is_ok());
    assert!(plan("", &[("n", 1, "")], Version::V1, 16_384).is_err());
    assert!(refuse(&[("a", u64::MAX, ""), ("b", 1, "")], 16_384).contains("2^53"));
    assert!(refuse(&[("a", 1 << 40, "")], 16_384).contains("67108864 pieces"));
    let plan = plan("n", &[("a", 1, "")], Version::V1, 16_384).unwrap();
    let error = plan.finish(&Hashes::default(), &Surroundings::default()).unwrap_err();
    assert_eq!(error, Error::HashCount { v1: 0, v2: 0, pieces: 1 });
}

#[test]
fn one_that_nobody_would_read_is_not_written() {
    let plan = plan("n", &[("a", 600_000 * 16_384, "")], Version::V1, 16_384).unwrap();
    let hashes = Hashes { v1: vec![[7; 20]; 600_000], v2: Vec::new() };
    let error = plan.finish(&hashes, &Surroundings::default()).unwrap_err();
    assert!(matches!(error, Error::TooLong(12_000_000..)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_is_made_is_read_as_it_was(
        files in prop::collection::btree_map("[a-c]{1,2}(/[d-f.]x){0,2}", 0_u64..50_000, 1..6),
        version in prop::sample::select(vec![Version::V1, Version::V2, Version::Hybrid]),
        large in any::<bool>(),
    ) {
        let sources: Vec<_> = files.iter().map(|(path, &length)| (path.as_str(), length, "")).collect();
        let piece = if large { 32_768 } else { 16_384 };
        if let Ok(plan) = plan("name", &sources, version, piece) {
            let info = make(&plan, &Surroundings::default()).info;
            prop_assert_eq!(info.piece_count(), plan.piece_count());
            let real: Vec<_> = info.files().iter().filter(|file| !file.is_pad()).collect();
            prop_assert_eq!(real.len(), plan.files().len());
            for (made, read) in plan.files().iter().zip(real) {
                prop_assert_eq!((&made.path[..], made.length), (&read.path()[1..], read.length()));
            }
        } else {
            let clash = files.keys().any(|path| files.keys().any(|other| other.starts_with(&format!("{path}/"))));
            prop_assert!(clash || files.values().all(|&length| length == 0));
        }
    }

    #[test]
    fn no_names_panic(name in ".{0,8}", paths in prop::collection::vec(prop::collection::vec(".{0,4}", 0..4), 0..4)) {
        let files = paths.into_iter().map(|path| SourceFile { path, length: 1, ..SourceFile::default() });
        let options = Options { version: Version::Hybrid, piece_length: None, private: true };
        if let Ok(plan) = Plan::new(&name, files.collect(), options) {
            let _ = make(&plan, &Surroundings::default());
        }
    }
}
