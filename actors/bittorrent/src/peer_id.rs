//! Peer ids: ours, and which client another's names (BEP 20).
//!
//! A peer says what it likes here, so a name is for people to read and no ground for a decision. What is
//! not letters and digits is escaped: names are safe in logs and terminals.

use rand::Rng;

use crate::PeerId;

/// What our ids begin with: TorrentEdge 0.1.0.
const OURS: &[u8; 8] = b"-TE0100-";
/// What the rest is drawn from: characters that need no escape in the URL of an announce.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Draws an id of ours.
#[must_use]
pub fn generate(rng: &mut impl Rng) -> PeerId {
    let mut id = [0; 20];
    let (name, rest) = id.split_at_mut(OURS.len());
    name.copy_from_slice(OURS);
    for byte in rest {
        *byte = ALPHABET.get(rng.random_range(0..ALPHABET.len())).copied().unwrap_or(b'-');
    }
    PeerId(id)
}

/// The client and version that an id names, as in `qBittorrent 4.6.5`; the id's beginning, escaped, if
/// it follows no known form.
#[must_use]
pub fn client_name(id: &PeerId) -> String {
    let id = &id.0;
    let known = azureus(id).or_else(|| mainline(id)).or_else(|| shadow(id)).or_else(|| other(id));
    known.unwrap_or_else(|| {
        let (start, _) = id.split_at(8);
        format!("unknown ({})", start.escape_ascii())
    })
}

/// `-TE0100-`: a client in two letters and a version in four.
fn azureus(id: &[u8; 20]) -> Option<String> {
    let [b'-', a, b, version @ .., b'-'] = id.first_chunk::<8>()? else { return None };
    let (code, version) = ([*a, *b], version.first_chunk::<4>()?);
    if !code.iter().chain(version).all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let name = match AZUREUS.binary_search_by_key(&&code, |(code, _)| code) {
        Ok(at) => AZUREUS.get(at).map(|(_, name)| (*name).to_owned()),
        Err(_) => None,
    };
    let name = name.unwrap_or_else(|| String::from_utf8_lossy(&code).into_owned());
    let [major, minor, patch, tag] = version.map(digit);
    Some(match (&code, major) {
        (b"BC", _) => format!("{name} {}.{patch}{tag}", major * 10 + minor),
        (b"TR", 0..=3) => format!("{name} {major}.{minor}{patch}"),
        // A letter at the end tells builds apart, a digit is part of the version.
        _ if (1..=9).contains(&tag) => format!("{name} {major}.{minor}.{patch}.{tag}"),
        _ => format!("{name} {major}.{minor}.{patch}"),
    })
}

/// `0` to `9`, then `A` to `Z` and `a` to `z`.
fn digit(byte: u8) -> u32 {
    let from = |first: u8, value: u32| u32::from(byte.saturating_sub(first)) + value;
    match byte {
        b'0'..=b'9' => from(b'0', 0),
        b'A'..=b'Z' => from(b'A', 10),
        b'a'..=b'z' => from(b'a', 36),
        _ => 0,
    }
}

/// `M7-10-5--`: a client in one letter, and a version of three numbers.
fn mainline(id: &[u8; 20]) -> Option<String> {
    let (&letter, rest) = id.split_first()?;
    let name = match letter {
        b'M' => "Mainline",
        b'Q' => "Queen Bee",
        _ => return None,
    };
    let mut parts = rest.get(..7)?.split(|&byte| byte == b'-');
    let mut number = || {
        let digits = parts.next().filter(|part| (1..=2).contains(&part.len()))?;
        let is_number = digits.iter().all(u8::is_ascii_digit);
        is_number.then(|| String::from_utf8_lossy(digits).into_owned())
    };
    Some(format!("{name} {}.{}.{}", number()?, number()?, number()?))
}

/// `S58B-----`: a client in one letter, up to five characters of version, and `---`.
fn shadow(id: &[u8; 20]) -> Option<String> {
    let [letter, version @ .., b'-', b'-', b'-'] = id.first_chunk::<9>()? else { return None };
    let (_, name) = SHADOW.iter().find(|(code, _)| code == letter)?;
    let end = version.iter().position(|&byte| byte == b'-').unwrap_or(version.len());
    let (version, padding) = version.split_at_checked(end)?;
    let is_version = !version.is_empty() && version.iter().all(u8::is_ascii_alphanumeric);
    if !is_version || padding.iter().any(|&byte| byte != b'-') {
        return None;
    }
    let numbers: Vec<_> = version.iter().map(|&byte| digit(byte).to_string()).collect();
    Some(format!("{name} {}", numbers.join(".")))
}

/// Clients with forms of their own, by what their ids begin with.
fn other(id: &[u8; 20]) -> Option<String> {
    let (_, name) = OTHER.iter().find(|(start, _)| id.starts_with(start))?;
    Some((*name).to_owned())
}

/// In order.
const AZUREUS: &[([u8; 2], &str)] = &[
    (*b"7T", "aTorrent"),
    (*b"A2", "aria2"),
    (*b"AG", "Ares"),
    (*b"AN", "Ares"),
    (*b"AR", "Arctic"),
    (*b"AT", "Artemis"),
    (*b"AV", "Avicora"),
    (*b"AX", "BitPump"),
    (*b"AZ", "Azureus"),
    (*b"BB", "BitBuddy"),
    (*b"BC", "BitComet"),
    (*b"BE", "BitTorrent SDK"),
    (*b"BF", "BitFlu"),
    (*b"BG", "BTGetit"),
    (*b"BI", "BiglyBT"),
    (*b"BL", "BitLord"),
    (*b"BR", "BitRocket"),
    (*b"BS", "BTSlave"),
    (*b"BT", "BitTorrent"),
    (*b"BW", "BitWombat"),
    (*b"BX", "BittorrentX"),
    (*b"CD", "Enhanced CTorrent"),
    (*b"CT", "CTorrent"),
    (*b"DE", "Deluge"),
    (*b"DP", "Propagate Data Client"),
    (*b"EB", "EBit"),
    (*b"ES", "Electric Sheep"),
    (*b"FC", "FileCroc"),
    (*b"FD", "Free Download Manager"),
    (*b"FL", "Flud"),
    (*b"FT", "FoxTorrent"),
    (*b"FX", "Freebox"),
    (*b"GS", "GSTorrent"),
    (*b"HL", "Halite"),
    (*b"HN", "Hydranode"),
    (*b"KG", "KGet"),
    (*b"KT", "KTorrent"),
    (*b"LC", "LeechCraft"),
    (*b"LH", "LH-ABC"),
    (*b"LP", "Lphant"),
    (*b"LT", "libtorrent"),
    (*b"LW", "LimeWire"),
    (*b"MG", "MediaGet"),
    (*b"MO", "MonoTorrent"),
    (*b"MP", "MooPolice"),
    (*b"MR", "Miro"),
    (*b"MT", "Moonlight"),
    (*b"NX", "Net Transport"),
    (*b"OS", "OneSwarm"),
    (*b"PD", "Pando"),
    (*b"PI", "PicoTorrent"),
    (*b"QD", "QQDownload"),
    (*b"QT", "Qt 4 Torrent"),
    (*b"RT", "Retriever"),
    (*b"RZ", "RezTorrent"),
    (*b"SB", "Swiftbit"),
    (*b"SD", "Thunder"),
    (*b"SM", "SoMud"),
    (*b"SN", "ShareNet"),
    (*b"SP", "BitSpirit"),
    (*b"SS", "SwarmScope"),
    (*b"ST", "SymTorrent"),
    (*b"SZ", "Shareaza"),
    (*b"TE", "TorrentEdge"),
    (*b"TL", "Tribler"),
    (*b"TN", "TorrentDotNET"),
    (*b"TR", "Transmission"),
    (*b"TS", "Torrentstorm"),
    (*b"TT", "TuoTu"),
    (*b"TX", "Tixati"),
    (*b"UE", "\u{b5}Torrent Embedded"),
    (*b"UL", "uLeecher!"),
    (*b"UM", "\u{b5}Torrent Mac"),
    (*b"UT", "\u{b5}Torrent"),
    (*b"UW", "\u{b5}Torrent Web"),
    (*b"VG", "Vagaa"),
    (*b"WD", "WebTorrent Desktop"),
    (*b"WT", "BitLet"),
    (*b"WW", "WebTorrent"),
    (*b"WY", "FireTorrent"),
    (*b"XF", "Xfplay"),
    (*b"XL", "Xunlei"),
    (*b"XT", "XanTorrent"),
    (*b"XX", "Xtorrent"),
    (*b"ZT", "ZipTorrent"),
    (*b"lt", "rTorrent"),
    (*b"qB", "qBittorrent"),
    (*b"rQ", "rqbit"),
    (*b"st", "SharkTorrent"),
];

const SHADOW: &[(u8, &str)] = &[
    (b'A', "ABC"),
    (b'O', "Osprey Permaseed"),
    (b'Q', "BTQueue"),
    (b'R', "Tribler"),
    (b'S', "Shadow's client"),
    (b'T', "BitTornado"),
    (b'U', "UPnP NAT BitTorrent"),
];

const OTHER: &[(&[u8], &str)] = &[
    (b"-G3", "G3 Torrent"),
    (b"-ML", "MLdonkey"),
    (b"-aria2-", "aria2"),
    (b"A2-", "aria2"),
    (b"346-", "TorrentTopia"),
    (b"BLZ", "Blizzard Downloader"),
    (b"FUTB", "FuTorrent"),
    (b"Mbrst", "Burst!"),
    (b"OP", "Opera"),
    (b"Plus", "Plus!"),
    (b"XBT", "XBT Client"),
    (b"btpd", "BT Protocol Daemon"),
    (b"exbc", "BitComet"),
    (b"turbobt", "TurboBT"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    fn check(start: &[u8], expected: &str) {
        let mut id = [b'x'; 20];
        id[..start.len()].copy_from_slice(start);
        assert_eq!(client_name(&PeerId(id)), expected, "{}", start.escape_ascii());
    }

    #[test]
    fn ours_differ_and_need_no_escape() {
        let mut rng = SmallRng::seed_from_u64(1);
        let (a, b) = (generate(&mut rng), generate(&mut rng));
        assert_ne!(a, b);
        assert!(a.0.starts_with(b"-TE0100-") && a.0.iter().all(|byte| ALPHABET.contains(byte)));
        assert_eq!(client_name(&a), "TorrentEdge 0.1.0");
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(AZUREUS.is_sorted_by(|(a, _), (b, _)| a < b));
    }

    #[test]
    fn azureus_style() {
        check(b"-qB4650-", "qBittorrent 4.6.5");
        check(b"-TR2940-", "Transmission 2.94");
        check(b"-TR4050-", "Transmission 4.0.5");
        check(b"-DE13F0-", "Deluge 1.3.15");
        check(b"-DE211s-", "Deluge 2.1.1");
        check(b"-LT20B0-", "libtorrent 2.0.11");
        check(b"-lt0D80-", "rTorrent 0.13.8");
        check(b"-BC0202-", "BitComet 2.02");
        check(b"-UT3551-", "\u{b5}Torrent 3.5.5.1");
        check(b"-zz1234-", "zz 1.2.3.4");
    }

    #[test]
    fn other_styles() {
        check(b"M4-3-6--", "Mainline 4.3.6");
        check(b"M7-10-5-", "Mainline 7.10.5");
        check(b"Q1-0-0--", "Queen Bee 1.0.0");
        check(b"S58B-----", "Shadow's client 5.8.11");
        check(b"T03I-----", "BitTornado 0.3.18");
        check(b"A310--001", "unknown (A310--00)");
        check(b"-ML2.7.2-", "MLdonkey");
        check(b"OP7685", "Opera");
        check(b"exbc\0\x38", "BitComet");
        check(b"Mbrst1-1-5", "Burst!");
    }

    #[test]
    fn hostile_bytes_are_escaped() {
        check(&[0; 8], r"unknown (\x00\x00\x00\x00\x00\x00\x00\x00)");
        check(b"\x1b[2J\n\"\\\xff", r#"unknown (\x1b[2J\n\"\\\xff)"#);
        check(b"-qB\x1b[2J-", r"unknown (-qB\x1b[2J-)");
        check(b"M\xff-1-1--", r"unknown (M\xff-1-1--)");
    }

    proptest! {
        #[test]
        fn no_id_makes_a_name_that_is_long_or_holds_controls(mut id: [u8; 20], style in 0_usize..4) {
            let start: &[u8] = [b"-qB".as_slice(), b"M", b"S", b""][style];
            id[..start.len()].copy_from_slice(start);
            let name = client_name(&PeerId(id));
            prop_assert!(name.len() <= 48 && !name.chars().any(char::is_control));
        }
    }
}
