//! The handshake of the extension protocol (BEP 10), with the keys of BEP 9, 11, 21 and 54.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

use crate::bencode::{self, Dict, Encoder, Limits};

/// The longest name of a client that is read, in bytes.
const CLIENT_LEN_MAX: usize = 256;

/// A message of the extension protocol that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not what the extension protocol expects")]
pub struct Error;

impl From<bencode::Error> for Error {
    fn from(_: bencode::Error) -> Self {
        Self
    }
}

/// The numbers by which one side wants extension messages; 0 is not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ids {
    /// Pieces of the info dictionary (BEP 9).
    pub ut_metadata: u8,
    /// Peer exchange (BEP 11).
    pub ut_pex: u8,
    /// Upload only (BEP 21).
    pub upload_only: u8,
    /// Pieces lost (BEP 54).
    pub lt_donthave: u8,
}

/// Our numbers.
pub const OURS: Ids = Ids { ut_metadata: 1, ut_pex: 2, upload_only: 3, lt_donthave: 4 };

/// An extension handshake.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Handshake {
    /// The sender's numbers.
    pub ids: Ids,
    /// The sender's program.
    pub client: Option<String>,
    /// Requests that may wait at the sender.
    pub reqq: Option<u32>,
    /// Length of the info dictionary in bytes (BEP 9).
    pub metadata_size: Option<u32>,
    /// Whether the sender only uploads (BEP 21).
    pub upload_only: Option<bool>,
    /// The port on which the sender listens.
    pub port: Option<u16>,
    /// The receiver's address as the sender sees it.
    pub your_ip: Option<IpAddr>,
}

impl Handshake {
    /// The payload of message 0.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Encoder::new();
        out.dict().bytes("m").dict();
        // In the order of the names.
        let ids = [
            ("lt_donthave", self.ids.lt_donthave),
            ("upload_only", self.ids.upload_only),
            ("ut_metadata", self.ids.ut_metadata),
            ("ut_pex", self.ids.ut_pex),
        ];
        for (name, id) in ids.into_iter().filter(|(_, id)| *id != 0) {
            out.bytes(name).int(id);
        }
        out.end();
        if let Some(size) = self.metadata_size {
            out.bytes("metadata_size").int(size);
        }
        if let Some(port) = self.port {
            out.bytes("p").int(port);
        }
        if let Some(reqq) = self.reqq {
            out.bytes("reqq").int(reqq);
        }
        if let Some(only) = self.upload_only {
            out.bytes("upload_only").int(u8::from(only));
        }
        if let Some(client) = &self.client {
            out.bytes("v").bytes(client);
        }
        match self.your_ip {
            Some(IpAddr::V4(ip)) => _ = out.bytes("yourip").bytes(ip.octets()),
            Some(IpAddr::V6(ip)) => _ = out.bytes("yourip").bytes(ip.octets()),
            None => {}
        }
        out.end();
        out.finish().into()
    }

    /// Reads the payload of message 0. Values of a wrong kind count as absent, numbers beyond a byte
    /// as 0; of two extensions with one number the later is not used.
    ///
    /// # Errors
    ///
    /// It is no dictionary.
    pub fn decode(payload: &[u8]) -> Result<Self, Error> {
        // Some clients let bytes follow.
        let (document, _) = bencode::parse_prefix(payload, Limits::MESSAGE)?;
        let root = document.root().dict().ok_or(Error)?;
        let client = root.bytes("v").map(|name| {
            let kept = name.get(..CLIENT_LEN_MAX).unwrap_or(name);
            String::from_utf8_lossy(kept).chars().filter(|c| !c.is_control()).collect()
        });
        Ok(Self {
            ids: root.dict("m").map(read_ids).unwrap_or_default(),
            client,
            reqq: root.int("reqq").and_then(|reqq| u32::try_from(reqq).ok()),
            metadata_size: root
                .int("metadata_size")
                .and_then(|size| u32::try_from(size).ok())
                .filter(|&size| size > 0),
            upload_only: root.int("upload_only").map(|only| only != 0),
            port: root.int("p").and_then(|port| u16::try_from(port).ok()).filter(|&port| port != 0),
            your_ip: root.bytes("yourip").and_then(read_ip),
        })
    }
}

fn read_ids(m: Dict<'_>) -> Ids {
    let mut used = Vec::with_capacity(4);
    let mut id = |name| {
        let id = m.int(name).and_then(|id| u8::try_from(id).ok()).unwrap_or(0);
        if id == 0 || used.contains(&id) {
            return 0;
        }
        used.push(id);
        id
    };
    Ids {
        ut_metadata: id("ut_metadata"),
        ut_pex: id("ut_pex"),
        upload_only: id("upload_only"),
        lt_donthave: id("lt_donthave"),
    }
}

fn read_ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|o| IpAddr::V6(Ipv6Addr::from(o)))).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_bytes() {
        let handshake = Handshake {
            ids: Ids { ut_pex: 2, ..Ids::default() },
            client: Some("x".to_owned()),
            reqq: Some(250),
            port: Some(6881),
            your_ip: Some([1, 2, 3, 4].into()),
            ..Handshake::default()
        };
        let bytes = handshake.encode();
        assert_eq!(
            &bytes[..],
            b"d1:md6:ut_pexi2ee1:pi6881e4:reqqi250e1:v1:x6:yourip4:\x01\x02\x03\x04e"
        );
        assert_eq!(Handshake::decode(&bytes), Ok(handshake));
    }

    #[test]
    fn odd_values_count_as_absent() {
        let odd =
            b"d1:md11:ut_metadatai300e6:ut_pexi7e11:upload_onlyi7ee13:metadata_sizei-1e1:pi0ee";
        let handshake = Handshake::decode(b"d1:md11:upload_onlyi7e6:ut_pexi7eee").unwrap();
        assert_eq!(handshake.ids, Ids { ut_pex: 7, ..Ids::default() });
        assert_eq!(Handshake::decode(odd), Err(Error), "keys out of order");
        assert_eq!(Handshake::decode(b"le"), Err(Error));
        assert_eq!(Handshake::decode(b"de").unwrap(), Handshake::default());
        assert_eq!(Handshake::decode(b"detrailing").unwrap(), Handshake::default());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let _ = Handshake::decode(&bytes);
        }
    }
}
