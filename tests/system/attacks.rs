//! Bytes that break the wire protocol of BEP 3, 6, 9, 10 and 11, each in one way, and MSE.

use std::time::Duration;

use anyhow::Result;
use harness::Deadline;
use harness::raw_peer::{self, HANDSHAKE_LEN, RawPeer, id, message};

/// One way to break the protocol: bytes after the handshake, or in place of it.
pub(crate) struct Attack {
    /// For the report of a failure.
    pub(crate) name: &'static str,
    shakes_hands: bool,
    bytes: Vec<u8>,
}

/// Bytes after a handshake.
fn after(name: &'static str, bytes: Vec<u8>) -> Attack {
    Attack { name, shakes_hands: true, bytes }
}

/// Bytes in place of a handshake.
pub(crate) fn instead(name: &'static str, bytes: Vec<u8>) -> Attack {
    Attack { name, shakes_hands: false, bytes }
}

fn request(piece: u32, begin: u32, length: u32) -> Vec<u8> {
    let body = [piece, begin, length].map(u32::to_be_bytes).concat();
    message(id::REQUEST, &body)
}

/// What a peer may send to a peer with `pieces` pieces, of engines' usual faults.
pub(crate) fn attacks(hash: &[u8; 20], pieces: u32) -> Vec<Attack> {
    const HAVE: u8 = 4;
    const CANCEL: u8 = 8;
    let bits = pieces.div_ceil(8) as usize;
    let extended = |id: u8, body: &str| message(id::EXTENDED, &[&[id], body.as_bytes()].concat());
    let mut spare = vec![0; bits];
    spare[bits - 1] = 0xff;
    let mut foreign = raw_peer::handshake(hash);
    foreign[28] ^= 1;
    let flags = [message(0, &[]), message(1, &[])].concat();
    vec![
        instead("zeros", vec![0; 1_000]),
        instead("http", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        instead("another torrent", foreign.to_vec()),
        instead("a wrong protocol name", [&[19][..], &[b'x'; HANDSHAKE_LEN - 1]].concat()),
        after("4 GiB", vec![0xff; 8]),
        after("a message of a megabyte", [&(1_u32 << 20).to_be_bytes()[..], &[7; 5]].concat()),
        after("unknown ids", (30..=255).flat_map(|id| message(id, b"x")).collect()),
        after("short messages", (0..=20).flat_map(|id| message(id, &[])).collect()),
        after("a short bitfield", message(id::BITFIELD, &vec![0xff; bits - 1])),
        after("a long bitfield", message(id::BITFIELD, &vec![0; bits + 1])),
        after("spare bits", message(id::BITFIELD, &spare)),
        after("a piece that is not there", message(HAVE, &pieces.to_be_bytes())),
        after("a request beyond the end", request(pieces, 0, 16_384)),
        after("a request across the end", request(pieces - 1, 0, 131_072)),
        after("a request of 4 GiB", request(0, 0, u32::MAX)),
        after("a request of nothing", request(0, 0, 0)),
        after("a request that overflows", request(0, u32::MAX, u32::MAX)),
        after("many requests", request(0, 0, 16_384).repeat(20_000)),
        after("cancels of the unknown", message(CANCEL, &[0; 12]).repeat(20_000)),
        after("a block nobody asked for", message(id::PIECE, &[0; 8 + 16_384])),
        after("a block without bytes", message(id::PIECE, &[0; 8])),
        after("keep-alives", vec![0; 400_000]),
        after("changes of mind", flags.repeat(20_000)),
        after("interest", message(id::INTERESTED, &[]).repeat(50_000)),
        after("metadata beyond the end", {
            let hello = extended(0, "d1:md11:ut_metadatai3eee");
            let pieces = [-1_i64, 1, 2, 1 << 31, i64::MAX];
            let ask = |piece| extended(1, &format!("d8:msg_typei0e5:piecei{piece}ee"));
            [hello, pieces.map(ask).concat()].concat()
        }),
        after("metadata nobody asked for", {
            let body = "d8:msg_typei1e5:piecei0e10:total_sizei16384ee".to_owned();
            extended(1, &(body + &"x".repeat(16_384))).repeat(50)
        }),
        after("extension ids that collide", {
            extended(0, "d1:md11:ut_metadatai0e6:ut_pexi0e12:lt_donthavei255eee").repeat(100)
        }),
        after(
            "a hello of a megabyte",
            extended(0, &("d1:v1000000:".to_owned() + &"x".repeat(1 << 20))),
        ),
        after("a deep hello", extended(0, &"l".repeat(60_000))),
        after("a hello that is none", extended(0, "i1e").repeat(1_000)),
        after("peers without end", {
            let peers = "x".repeat(60_000);
            extended(2, &format!("d5:added60000:{peers}e")).repeat(20)
        }),
    ]
}

/// Sends all of an attack, reading what comes so that neither side waits for the other.
pub(crate) fn attack(mut peer: RawPeer, hash: &[u8; 20], attack: &Attack) -> Result<()> {
    peer.set_patience(Duration::from_secs(2))?;
    if attack.shakes_hands {
        peer.shake_hands(hash)?;
    }
    // The other side may close in the middle of it.
    let _ = peer.send(&attack.bytes);
    let _ = peer.wait_closed(&Deadline::after(Duration::from_millis(300)));
    Ok(())
}

/// The prime of MSE less one.
pub(crate) const PRIME_LESS_ONE: [u8; 96] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc9, 0x0f, 0xda, 0xa2, 0x21, 0x68, 0xc2, 0x34,
    0xc4, 0xc6, 0x62, 0x8b, 0x80, 0xdc, 0x1c, 0xd1, 0x29, 0x02, 0x4e, 0x08, 0x8a, 0x67, 0xcc, 0x74,
    0x02, 0x0b, 0xbe, 0xa6, 0x3b, 0x13, 0x9b, 0x22, 0x51, 0x4a, 0x08, 0x79, 0x8e, 0x34, 0x04, 0xdd,
    0xef, 0x95, 0x19, 0xb3, 0xcd, 0x3a, 0x43, 0x1b, 0x30, 0x2b, 0x0a, 0x6d, 0xf2, 0x5f, 0x14, 0x37,
    0x4f, 0xe1, 0x35, 0x6d, 0x6d, 0x51, 0xc2, 0x45, 0xe4, 0x85, 0xb5, 0x76, 0x62, 0x5e, 0x7e, 0xc6,
    0xf4, 0x4c, 0x42, 0xe9, 0xa6, 0x3a, 0x36, 0x21, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x05, 0x62,
];
