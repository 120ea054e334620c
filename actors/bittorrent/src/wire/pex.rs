//! Peer exchange (BEP 11).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;

use super::extension::Error;
use crate::bencode::{self, Dict, Encoder, Limits};

/// Addresses of a message that are kept, of each of added and dropped and of both families together; as
/// BEP 11 asks.
pub const ADDED_MAX: usize = 50;

/// What is known of an added peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// It prefers encryption.
    pub const ENCRYPTION: u8 = 0x01;
    /// It only uploads.
    pub const SEED: u8 = 0x02;
    /// It speaks uTP.
    pub const UTP: u8 = 0x04;
    /// It can be connected to.
    pub const REACHABLE: u8 = 0x10;

    /// Whether it only uploads.
    #[must_use]
    pub const fn is_seed(self) -> bool {
        self.0 & Self::SEED != 0
    }
}

/// Peers that a peer is connected to since its last message, and those that it is not any more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// New ones, at most [`ADDED_MAX`].
    pub added: Vec<(SocketAddr, Flags)>,
    /// Gone ones, at most [`ADDED_MAX`].
    pub dropped: Vec<SocketAddr>,
}

impl Message {
    /// The payload; more than [`ADDED_MAX`] of a kind are left out.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let added = || self.added.iter().take(ADDED_MAX);
        let dropped = || self.dropped.iter().take(ADDED_MAX);
        let compact = |addresses: &mut dyn Iterator<Item = &SocketAddr>, v4: bool| {
            let mut out = Vec::new();
            for address in addresses.filter(|address| address.is_ipv4() == v4) {
                match address.ip() {
                    IpAddr::V4(ip) => out.extend(ip.octets()),
                    IpAddr::V6(ip) => out.extend(ip.octets()),
                }
                out.extend(address.port().to_be_bytes());
            }
            out
        };
        let flags = |v4: bool| -> Vec<u8> {
            added()
                .filter(|(address, _)| address.is_ipv4() == v4)
                .map(|(_, flags)| flags.0)
                .collect()
        };
        let mut out = Encoder::new();
        out.dict();
        out.bytes("added").bytes(compact(&mut added().map(|(address, _)| address), true));
        out.bytes("added.f").bytes(flags(true));
        out.bytes("added6").bytes(compact(&mut added().map(|(address, _)| address), false));
        out.bytes("added6.f").bytes(flags(false));
        out.bytes("dropped").bytes(compact(&mut dropped(), true));
        out.bytes("dropped6").bytes(compact(&mut dropped(), false));
        out.end();
        out.finish().into()
    }

    /// Reads a payload; addresses that lead nowhere, or beyond the limit, are left out.
    ///
    /// # Errors
    ///
    /// It is no dictionary.
    pub fn decode(payload: &[u8]) -> Result<Self, Error> {
        let document = bencode::parse(payload, Limits::MESSAGE)?;
        let root = document.root().dict().ok_or(Error)?;
        let mut message = Self::default();
        for (key, flags, length) in [("added", "added.f", 6), ("added6", "added6.f", 18)] {
            let flags = root.bytes(flags).unwrap_or_default();
            for (index, address) in addresses(root, key, length).enumerate() {
                let flags = Flags(flags.get(index).copied().unwrap_or(0));
                message.added.extend(address.map(|address| (address, flags)));
            }
        }
        for (key, length) in [("dropped", 6), ("dropped6", 18)] {
            message.dropped.extend(addresses(root, key, length).flatten());
        }
        message.added.truncate(ADDED_MAX);
        message.dropped.truncate(ADDED_MAX);
        Ok(message)
    }
}

/// Compact addresses of a key, at most [`ADDED_MAX`]; those that lead nowhere are `None`.
fn addresses<'d>(
    root: Dict<'d>,
    key: &str,
    length: usize,
) -> impl Iterator<Item = Option<SocketAddr>> + use<'d> {
    let bytes = root.bytes(key).unwrap_or_default();
    bytes.chunks_exact(length).take(ADDED_MAX).map(compact_address)
}

/// An address of 6 or 18 bytes (BEP 23, 7); `None` for port 0 and addresses that are no single host's.
#[must_use]
pub fn compact_address(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_at_checked(bytes.len().checked_sub(2)?)?;
    let port = u16::from_be_bytes(port.try_into().ok()?);
    let ip = match ip.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?)).to_canonical(),
        _ => return None,
    };
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    let nowhere = port == 0 || ip.is_unspecified() || ip.is_multicast() || broadcast;
    (!nowhere).then(|| SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn round_trips_both_families() {
        let message = Message {
            added: vec![
                ("1.2.3.4:5".parse().unwrap(), Flags(2)),
                ("[2001:db8::1]:6".parse().unwrap(), Flags(16)),
            ],
            dropped: vec!["9.8.7.6:54".parse().unwrap()],
        };
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn leaves_out_what_leads_nowhere_and_what_is_too_much() {
        let nowhere =
            b"d5:added18:\x01\x02\x03\x04\x00\x00\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff\x00\x01e";
        assert_eq!(Message::decode(nowhere), Ok(Message::default()));
        let many = (0..200_u16).map(|n| (SocketAddr::from(([1, 2, 3, 4], n + 1)), Flags(0)));
        let many = Message { added: many.collect(), dropped: Vec::new() };
        assert_eq!(Message::decode(&many.encode()).unwrap().added.len(), ADDED_MAX);
    }

    #[test]
    fn both_families_together_are_no_more_than_the_limit() {
        let mut many = Encoder::new();
        many.dict();
        for (key, length) in [("added", 6), ("added6", 18), ("dropped", 6), ("dropped6", 18)] {
            many.bytes(key).bytes(vec![1; length * ADDED_MAX]);
        }
        many.end();
        let message = Message::decode(&many.finish()).unwrap();
        assert_eq!((message.added.len(), message.dropped.len()), (ADDED_MAX, ADDED_MAX));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let _ = Message::decode(&bytes);
        }
    }
}
