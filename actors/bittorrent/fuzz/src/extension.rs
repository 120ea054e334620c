//! Handshakes of the extension protocol (BEP 10).

use bittorrent::wire::extension::{Handshake, Ids, OURS};

use crate::Seed;

/// The longest name in bytes: 256 that are read, each at worst a replacement character of three.
const CLIENT_LEN_MAX: usize = 3 * 256;

/// Reads a handshake and writes it again; what was kept must survive.
pub fn check(bytes: &[u8]) {
    let Ok(handshake) = Handshake::decode(bytes) else { return };
    let client = handshake.client.as_deref().unwrap_or_default();
    assert!(client.len() <= CLIENT_LEN_MAX && !client.chars().any(char::is_control));
    let ids = handshake.ids;
    let mut used = [ids.ut_metadata, ids.ut_pex, ids.upload_only, ids.lt_donthave];
    used.sort_unstable();
    assert!(used.windows(2).all(|pair| pair[0] == 0 || pair[0] != pair[1]), "{ids:?}");
    assert!(handshake.port != Some(0) && handshake.metadata_size != Some(0));
    // A name may grow by its replacement characters, and so be cut at another place.
    let again = Handshake::decode(&handshake.encode()).expect("ours can be read");
    assert_eq!(Handshake { client: None, ..again }, Handshake { client: None, ..handshake });
}

/// Handshakes with everything, with nothing, and with odd values.
pub fn seeds() -> Vec<Seed> {
    let full = Handshake {
        ids: OURS,
        client: Some("TorrentEdge 0.1".to_owned()),
        reqq: Some(2_000),
        metadata_size: Some(31_235),
        upload_only: Some(true),
        port: Some(6_881),
        your_ip: Some([192, 0, 2, 1].into()),
    };
    let v6 = Handshake { your_ip: Some([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()), ..full.clone() };
    let few = Handshake { ids: Ids { ut_pex: 1, ..Ids::default() }, ..Handshake::default() };
    vec![
        ("full", full.encode().to_vec()),
        ("v6", v6.encode().to_vec()),
        ("few", few.encode().to_vec()),
        ("empty", b"de".to_vec()),
        ("trailing", b"d1:md6:ut_pexi2eeejunk".to_vec()),
        ("one_number_twice", b"d1:md11:upload_onlyi7e6:ut_pexi7eee".to_vec()),
        ("odd_name", b"d1:v4:a\xff\x1b[e".to_vec()),
    ]
}
