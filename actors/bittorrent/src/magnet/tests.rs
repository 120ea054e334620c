//! Magnet links, good and bad.

use proptest::prelude::*;

use super::*;

const V1: &str = "xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a";

fn parse(rest: &str) -> Magnet {
    Magnet::parse(&format!("magnet:?{V1}&{rest}")).unwrap()
}

fn refuse(rest: &str) -> String {
    Magnet::parse(&format!("magnet:?{V1}&{rest}")).unwrap_err().to_string()
}

#[test]
fn reads_every_parameter() {
    let magnet = parse(
        "dn=a+b%2Bc&xl=12&tr=http%3A%2F%2Ft%2Fa%3Fx%3D1&tr.1=udp://u:1&tr.2=udp://u:1&ws=http://w/+&\
         x.pe=1.2.3.4:5&x.pe=[::1]:6&x.pe=host.example:7&so=4-6,0,5-9&kt=x&as=y&empty&=",
    );
    assert_eq!(magnet.name.as_deref(), Some("a b+c"));
    assert_eq!(magnet.length, Some(12));
    assert_eq!(magnet.trackers, ["http://t/a?x=1", "udp://u:1"]);
    assert_eq!(magnet.web_seeds, ["http://w/+"]);
    let peers: Vec<_> = magnet.peers.iter().map(ToString::to_string).collect();
    assert_eq!(peers, ["1.2.3.4:5", "[::1]:6", "host.example:7"]);
    assert_eq!(magnet.selected, [0..=0, 4..=9]);
    assert!(magnet.selects(0) && magnet.selects(7) && !magnet.selects(1) && !magnet.selects(10));
    assert!(parse("").selects(7));
    assert_eq!(Magnet::parse(&magnet.to_string()), Ok(magnet));
}

#[test]
fn hex_and_base32_are_the_same_hash() {
    let hex = parse("");
    let base32 = "MAGNET:?xt=URN:BTIH:YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK";
    assert_eq!(Magnet::parse(base32).unwrap(), hex);
    assert_eq!(Magnet::parse(&base32.to_lowercase()).unwrap(), hex);
    assert_eq!(hex.torrent_id().to_string(), "c12fe1c06bba254a9dc9f519b335aa7c1367a88a");
    assert_eq!(hex.to_string(), format!("magnet:?{V1}"));
}

#[test]
fn v2_and_hybrid_links() {
    let v2 = "cd".repeat(32);
    let magnet = Magnet::parse(&format!("magnet:?xt=urn:btmh:1220{v2}")).unwrap();
    assert_eq!((magnet.v1, magnet.torrent_id()), (None, magnet.v2.unwrap().into()));
    let both = parse(&format!("xt.2=urn:btmh:1220{v2}"));
    assert_eq!((both.v1.is_some(), both.v2), (true, magnet.v2));
    assert_eq!(both.to_string(), format!("magnet:?{V1}&xt=urn:btmh:1220{v2}"));
    assert!(refuse(&format!("xt=urn:btmh:1114{v2}")).contains("1220"));
    assert!(
        refuse(&format!("xt=urn:btmh:1220{v2}&xt=urn:btmh:1220{}", "ab".repeat(32)))
            .contains("another v2")
    );
}

#[test]
fn one_torrent_is_named() {
    assert_eq!(parse(V1), parse(""));
    assert_eq!(parse("xt=urn:ed2k:354b15e68fb8f36d7cd88ff94116cdc1"), parse(""));
    assert!(refuse(&V1.replace('c', "d")).contains("another v1 info-hash"));
    assert_eq!(Magnet::parse("magnet:?dn=x"), Err(Error::NoInfoHash));
    assert_eq!(Magnet::parse("magnet:"), Err(Error::NotMagnet));
    assert_eq!(Magnet::parse("http://x/?xt=urn:btih:"), Err(Error::NotMagnet));
    for bad in ["", "zz", &"g".repeat(40), &"1".repeat(32), &"a".repeat(39)] {
        assert!(refuse(&format!("xt=urn:btih:{bad}")).contains("base32"), "{bad}");
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    let at = "magnet:?&".len() + V1.len();
    assert_eq!(
        refuse("so=3-1"),
        format!("`so` at byte {}: a range that ends before it begins", at + 3)
    );
    assert!(refuse("dn=ab%4").contains(&format!("`dn` at byte {}: `%`", at + 5)));
    assert!(refuse("tr=%ff").contains("not UTF-8"));
    assert!(!refuse("tr=http://t/secret%ff").contains("secret"));
    assert!(refuse(&format!("tr={}", "a".repeat(2049))).contains("2048"));
    for bad in ["1.2.3.4", "1.2.3.4:0", "host:", "host:+1", ":1", "a b:1", "host:65536", "[::1]"] {
        assert!(refuse(&format!("x.pe={bad}")).contains("`x.pe`"), "{bad}");
    }
    for bad in ["x", "-", "1-", "-1", "+1", "0-16777216", "1-2-3", "99999999999"] {
        assert!(refuse(&format!("so={bad}")).contains("2^24"), "{bad}");
    }
    for bad in ["", "x", "-1", "+1", "9007199254740993"] {
        assert!(refuse(&format!("xl={bad}")).contains("2^53"), "{bad}");
    }
}

#[test]
fn there_is_a_limit_to_everything() {
    let many = |key: &str, count: usize, value: fn(usize) -> String| {
        (0..count).map(|n| format!("{key}={}", value(n))).collect::<Vec<_>>().join("&")
    };
    assert_eq!(parse(&many("tr", 200, |n| format!("u{n}"))).trackers.len(), 200);
    assert!(refuse(&many("tr", 201, |n| format!("u{n}"))).contains("more than 200"));
    assert_eq!(parse(&many("tr", 1_000, |_| "u".into())).trackers.len(), 1);
    assert!(refuse(&many("x.pe", 201, |n| format!("h:{}", n + 1))).contains("more than 200"));
    let ranges = |count: usize| format!("so={}", vec!["7"; count].join(","));
    assert_eq!(parse(&ranges(10_000)).selected, [7..=7]);
    assert!(refuse(&ranges(10_001)).contains("10000"));
    assert_eq!(parse("so=0-16777215").selected, [0..=16_777_215]);
    let long = format!("magnet:?{V1}&dn={}", "a".repeat(MAGNET_LEN_MAX));
    assert_eq!(Magnet::parse(&long), Err(Error::TooLong(long.len())));
    assert_eq!(parse(&format!("dn={}", "a".repeat(2_000))).name.unwrap().len(), 1024);
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,80}", known in "(&(xt|dn|tr|ws|so|xl|x[.]pe)=[%0-9a-f:,.+-]{0,12}){0,5}") {
        let _ = Magnet::parse(&text);
        if let Ok(magnet) = Magnet::parse(&format!("magnet:?{V1}{known}{text}")) {
            prop_assert_eq!(Magnet::parse(&magnet.to_string()), Ok(magnet));
        }
    }

    #[test]
    fn base32_holds_the_same_bytes(bytes: [u8; 20]) {
        let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let bit = |at: usize| usize::from(bytes[at / 8] >> (7 - at % 8) & 1);
        let text: String = (0..32)
            .map(|n| char::from(digits[(0..5).fold(0, |sum, k| sum * 2 + bit(n * 5 + k))]))
            .collect();
        let magnet = Magnet::parse(&format!("magnet:?xt=urn:btih:{text}")).unwrap();
        prop_assert_eq!(magnet.v1, Some(InfoHash(bytes)));
    }
}
