//! Canonical peer priority (BEP 40): which connections to keep when there are too many.
//!
//! Both ends of a connection reckon the same number from their addresses, so all peers of a swarm agree
//! on who should be connected to whom, and nobody gains a place by coming often. It is one of several
//! grounds for keeping a peer, within one torrent only.

use std::net::{IpAddr, SocketAddr};

/// What the host part of an address is masked with: peers of one network should not differ much.
const HOST_MASK: u8 = 0x55;
/// Bytes of an address that are its network at least: /16, and /48 of IPv6.
const V4_NETWORK: usize = 2;
const V6_NETWORK: usize = 6;
/// The polynomial of CRC32-C (Castagnoli), its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The priority of a connection; the higher is kept. The order of the two addresses does not matter.
///
/// `a` should be ours as the peer sees it, and ports those that are listened at.
#[must_use]
pub fn priority(a: SocketAddr, b: SocketAddr) -> u32 {
    match (a.ip().to_canonical(), b.ip().to_canonical()) {
        (left, right) if left == right => of_sorted(a.port().to_be_bytes(), b.port().to_be_bytes()),
        (IpAddr::V4(a), IpAddr::V4(b)) => of_addresses(a.octets(), b.octets(), V4_NETWORK),
        (IpAddr::V6(a), IpAddr::V6(b)) => of_addresses(a.octets(), b.octets(), V6_NETWORK),
        (IpAddr::V4(a), IpAddr::V6(b)) => {
            of_addresses(a.to_ipv6_mapped().octets(), b.octets(), V6_NETWORK)
        }
        (IpAddr::V6(a), IpAddr::V4(b)) => {
            of_addresses(a.octets(), b.to_ipv6_mapped().octets(), V6_NETWORK)
        }
    }
}

/// One byte more than both have in common is kept whole, and the network always.
fn of_addresses<const N: usize>(mut a: [u8; N], mut b: [u8; N], network: usize) -> u32 {
    let common = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let kept = (common + 1).max(network);
    for byte in a.iter_mut().skip(kept).chain(b.iter_mut().skip(kept)) {
        *byte &= HOST_MASK;
    }
    of_sorted(a, b)
}

fn of_sorted<const N: usize>(a: [u8; N], b: [u8; N]) -> u32 {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    crc32c(low.into_iter().chain(high))
}

/// CRC32-C, bit by bit: 32 bytes at most, once a connection.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            let carry = if crc & 1 == 1 { POLYNOMIAL } else { 0 };
            crc >> 1 ^ carry
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(a: &str, b: &str, hashed: &str) {
        let bytes = (0..hashed.len() / 2)
            .map(|at| u8::from_str_radix(&hashed[2 * at..2 * at + 2], 16).unwrap());
        let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
        assert_eq!(priority(a, b), crc32c(bytes), "{a} {b}");
        assert_eq!(priority(b, a), priority(a, b));
    }

    #[test]
    fn the_examples_of_the_bep() {
        let of = |a: &str, b: &str| priority(a.parse().unwrap(), b.parse().unwrap());
        assert_eq!(of("123.213.32.10:1", "98.76.54.32:2"), 0xec2d_7224);
        assert_eq!(of("123.213.32.10:1", "123.213.32.234:2"), 0x9956_8189);
        assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
    }

    #[test]
    fn the_mask_depends_on_the_common_network() {
        check("123.213.32.10:1", "98.76.54.32:2", "624c14007bd50000");
        check("1.2.255.255:1", "1.2.254.255:2", "0102fe550102ff55");
        check("1.2.3.4:258", "1.2.3.4:1", "00010102");
        check("[::ffff:1.2.3.4]:258", "1.2.3.4:1", "00010102");
        let ff = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1";
        let all = |kept: usize| "ff".repeat(kept) + &"55".repeat(16 - kept);
        let other = |at: usize| {
            let mut bytes = [0xff; 16];
            bytes[at] = 0xfe;
            format!("[{}]:1", std::net::Ipv6Addr::from(bytes))
        };
        let changed = |at: usize, kept: usize| {
            let mut hex = all(kept);
            hex.replace_range(2 * at..2 * at + 2, "fe");
            hex + &all(kept)
        };
        check(ff, &other(5), &changed(5, 6));
        check(ff, &other(6), &changed(6, 7));
        check(ff, &other(7), &changed(7, 8));
        check(ff, &other(15), &changed(15, 16));
    }

    proptest! {
        #[test]
        fn both_ends_agree(a: SocketAddr, b: SocketAddr) {
            prop_assert_eq!(priority(a, b), priority(b, a));
        }
    }
}
