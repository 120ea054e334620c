//! Peer exchange (BEP 11).

use std::collections::BTreeSet;
use std::net::SocketAddr;

use bittorrent::wire::pex::{ADDED_MAX, Flags, Message};

use crate::Seed;

/// Reads a message and writes it again: no more addresses than the limit, none that leads nowhere.
pub fn check(bytes: &[u8]) {
    let Ok(message) = Message::decode(bytes) else { return };
    assert!(message.added.len() <= ADDED_MAX, "{} added", message.added.len());
    assert!(message.dropped.len() <= ADDED_MAX, "{} dropped", message.dropped.len());
    let added = message.added.iter().map(|(address, _)| address);
    assert!(added.chain(&message.dropped).all(leads_somewhere));
    // An IPv4 address may come among those of IPv6 and leave among its own, so the order changes.
    let again = Message::decode(&message.encode()).expect("ours can be read");
    let added = |message: &Message| -> BTreeSet<_> {
        message.added.iter().map(|(address, flags)| (*address, flags.0)).collect()
    };
    let dropped = |message: &Message| -> BTreeSet<_> { message.dropped.iter().copied().collect() };
    assert_eq!(added(&again), added(&message));
    assert_eq!(dropped(&again), dropped(&message));
}

fn leads_somewhere(address: &SocketAddr) -> bool {
    let ip = address.ip();
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && ip.to_canonical() == ip
}

/// Both families, and more than is kept.
pub fn seeds() -> Vec<Seed> {
    let v4 = |n: u8| SocketAddr::from(([192, 0, 2, n], 6_881));
    let v6 = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 51_413));
    let both = Message {
        added: vec![(v4(1), Flags(Flags::SEED)), (v6, Flags(Flags::REACHABLE))],
        dropped: vec![v4(2)],
    };
    let many = Message { added: (0..50).map(|n| (v4(n), Flags(0))).collect(), dropped: vec![v6] };
    let mapped = b"d6:added618:\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01\x1a\xe1e";
    vec![
        ("both", both.encode().to_vec()),
        ("many", many.encode().to_vec()),
        ("mapped", mapped.to_vec()),
        ("empty", b"de".to_vec()),
    ]
}
