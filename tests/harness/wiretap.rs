//! Listens on the hub to what hosts really send each other.
//!
//! Every packet passes a port of the hub's bridge, where a packet socket sees it. What is kept of
//! each TCP stream is how it began and whether the marker of [`crate::sample`] was ever readable in
//! it: enough to tell a plain stream, an MSE handshake followed by plain payload, and RC4.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::{Encryption, Scene, sample};

/// How an unencrypted peer connection begins, in both directions.
const PLAIN_HANDSHAKE: &[u8] = b"\x13BitTorrent protocol";
/// Room for packets that wait to be read, in bytes.
const RECEIVE_BUFFER: usize = 32 << 20;
/// A packet on a veth device may be as long as an IP packet can be.
const PACKET_MAX: usize = 66_000;
/// Payload shorter than this is not searched: the marker may lie across it.
const SEARCHED_MIN: usize = 1_000;

/// A listener on the hub.
#[derive(Debug)]
pub struct Wiretap {
    socket: OwnedFd,
}

/// What was seen of one direction of a TCP connection.
#[derive(Debug, Clone, Default)]
struct Stream {
    start: Vec<u8>,
    payload: usize,
    marker: bool,
}

impl Wiretap {
    /// Starts to listen, on the scene's own thread.
    ///
    /// # Errors
    ///
    /// The caller may not open packet sockets.
    pub fn start(_scene: &Scene) -> Result<Self> {
        let all = SockProtocol::EthAll;
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, all)
            .context("cannot open a packet socket")?;
        setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
        let wait = Duration::from_millis(1);
        let wait = TimeVal::new(0, i64::from(wait.subsec_micros()));
        setsockopt(&socket, sockopt::ReceiveTimeout, &wait)?;
        Ok(Self { socket })
    }

    /// Reads what has passed and checks that the connections between peers used `expected`.
    ///
    /// # Errors
    ///
    /// They did not, or there was none.
    pub fn expect(&self, expected: Encryption, ports: &[u16]) -> Result<()> {
        let streams = self.read_all()?;
        let of_peers: Vec<&Stream> = streams
            .iter()
            .filter(|((from, to), _)| ports.contains(&from.port()) || ports.contains(&to.port()))
            .map(|(_, stream)| stream)
            .collect();
        let plain_start = of_peers.iter().any(|stream| stream.start.starts_with(PLAIN_HANDSHAKE));
        // A client may try one way, be refused, and take the other: what carried data counts.
        let carried: Vec<&&Stream> =
            of_peers.iter().filter(|stream| stream.payload > sample::MARKER_EVERY).collect();
        ensure!(!carried.is_empty(), "the peers exchanged no data that was seen");
        let marker = carried.iter().any(|stream| stream.marker);
        let began_plain = carried.iter().any(|stream| stream.start.starts_with(PLAIN_HANDSHAKE));
        let seen = match (began_plain, marker) {
            (true, _) => Encryption::Plain,
            (false, true) => Encryption::MsePlaintext,
            (false, false) => Encryption::MseRc4,
        };
        ensure!(
            seen == expected,
            "expected {expected} on the wire, saw {seen} (any plain handshake: {plain_start})"
        );
        Ok(())
    }

    fn read_all(&self) -> Result<BTreeMap<(SocketAddrV4, SocketAddrV4), Stream>> {
        let mut streams = BTreeMap::<_, Stream>::new();
        let mut packet = vec![0; PACKET_MAX];
        loop {
            let length = match recv(self.socket.as_raw_fd(), &mut packet, MsgFlags::empty()) {
                Ok(length) => length,
                Err(Errno::EAGAIN) => return Ok(streams),
                Err(error) => return Err(error).context("reading the packet socket"),
            };
            if let Some((from, to, payload)) = tcp_payload(&packet[..length]) {
                let stream = streams.entry((from, to)).or_default();
                stream.take(payload);
            }
        }
    }
}

impl Stream {
    fn take(&mut self, payload: &[u8]) {
        if self.start.len() < PLAIN_HANDSHAKE.len() {
            self.start.extend_from_slice(payload);
        }
        self.payload += payload.len();
        let found = |window: &[u8]| window == sample::MARKER;
        if !self.marker && payload.len() >= SEARCHED_MIN {
            self.marker = payload.windows(sample::MARKER.len()).any(found);
        }
    }
}

/// The addresses and payload of an Ethernet frame with IPv4 and TCP in it; none if it has no payload.
fn tcp_payload(frame: &[u8]) -> Option<(SocketAddrV4, SocketAddrV4, &[u8])> {
    const IPV4: [u8; 2] = [8, 0];
    const TCP: u8 = 6;
    if frame.get(12..14)? != IPV4 {
        return None;
    }
    let ip = frame.get(14..)?;
    let total = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
    if *ip.get(9)? != TCP {
        return None;
    }
    let header = usize::from(ip.first()? & 15) * 4;
    let address = |at: usize| {
        let octets: [u8; 4] = ip.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets))
    };
    let tcp = ip.get(header..total)?;
    let port = |at: usize| Some(u16::from_be_bytes([*tcp.get(at)?, *tcp.get(at + 1)?]));
    let payload = tcp.get(usize::from(tcp.get(12)? >> 4) * 4..)?;
    let from = SocketAddrV4::new(address(12)?, port(0)?);
    let to = SocketAddrV4::new(address(16)?, port(2)?);
    (!payload.is_empty()).then_some((from, to, payload))
}
