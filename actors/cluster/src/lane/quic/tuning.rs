//! Limits and windows of QUIC.
//!
//! Control: a lane that says nothing for 1.2 s is over, which a takeover within 3 s needs; its window holds one
//! frame of the longest kind. Bulk: windows of twice what is in flight, segments offloaded to the kernel, which
//! halves the CPU and more; datagrams up to the network's own size where that is configured. A datagram of more
//! than 6,500 bytes is refused: ten of them no longer fit into one send of 64 KiB, and the connection would
//! fall back to the smallest.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use quinn::{EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::lane::{IDLE_TIMEOUT, KEEP_ALIVE, bulk};

/// The most bytes of a datagram on Ethernet.
pub const MTU: u16 = 1452;
/// The most bytes of a datagram on any network.
pub const MTU_MAX: u16 = 6500;
/// Connections that wait to be looked at, of one socket.
pub const INCOMING_MAX: usize = 256;
/// Bytes that one of them may send before.
pub const INCOMING_LEN_MAX: u64 = 64 * 1024;
/// Bytes that all of them may send before.
pub const INCOMING_TOTAL_LEN_MAX: u64 = 4 * 1024 * 1024;
/// Pieces at once that one end of a bulk connection may send.
pub const BULK_STREAMS_MAX: u32 = 64;

/// Bytes that the system may hold of a socket; it gives less where its own limit is lower.
const SOCKET_LEN: usize = 4 * 1024 * 1024;
/// In flight at 10 Gbit/s over 0.4 ms, as between machines of one place.
const IN_FLIGHT: u32 = 512 * 1024;
/// A control stream's window.
const CONTROL_WINDOW: u32 = 1024 * 1024;
/// A bulk stream's window is between these.
const BULK_WINDOWS: std::ops::RangeInclusive<u32> = 1024 * 1024..=8 * 1024 * 1024;
/// A connection's window, and what it may send without being told that it came, in windows of a stream.
const CONNECTION_WINDOWS: u32 = 4;

/// How control connections behave.
#[derive(Debug, Clone)]
pub struct ControlTuning {
    /// After this time without a word the other end is lost.
    pub idle: Duration,
    /// After this time without anything to say, it says that it is there.
    pub keep_alive: Duration,
}

impl Default for ControlTuning {
    fn default() -> Self {
        Self { idle: IDLE_TIMEOUT, keep_alive: KEEP_ALIVE }
    }
}

/// How bulk connections behave.
#[derive(Debug, Clone)]
pub struct BulkTuning {
    /// After this time without a word the other end is lost.
    pub idle: Duration,
    /// After this time without anything to say, it says that it is there.
    pub keep_alive: Duration,
    /// The most bytes of a datagram: 1,452 on Ethernet, up to [`MTU_MAX`] where the whole path has room.
    pub mtu: u16,
    /// Bandwidth times round trip, in bytes: twice as much is the window of a stream, within bounds.
    pub in_flight: u32,
}

impl Default for BulkTuning {
    fn default() -> Self {
        let (idle, keep_alive) = (bulk::IDLE_TIMEOUT, bulk::KEEP_ALIVE);
        Self { idle, keep_alive, mtu: MTU, in_flight: IN_FLIGHT }
    }
}

impl ControlTuning {
    pub(super) fn transport(&self) -> TransportConfig {
        let mut config = base(self.idle, self.keep_alive, CONTROL_WINDOW, MTU);
        config.max_concurrent_bidi_streams(VarInt::from_u32(1));
        config.max_concurrent_uni_streams(VarInt::from_u32(0));
        config
    }
}

impl BulkTuning {
    pub(super) fn transport(&self) -> TransportConfig {
        let window = self.in_flight.saturating_mul(2);
        let window = window.clamp(*BULK_WINDOWS.start(), *BULK_WINDOWS.end());
        let mut config = base(self.idle, self.keep_alive, window, self.mtu.min(MTU_MAX));
        config.max_concurrent_bidi_streams(VarInt::from_u32(0));
        config.max_concurrent_uni_streams(VarInt::from_u32(BULK_STREAMS_MAX));
        config
    }
}

fn base(idle: Duration, keep_alive: Duration, window: u32, mtu: u16) -> TransportConfig {
    let all = window.saturating_mul(CONNECTION_WINDOWS);
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(mtu);
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(IdleTimeout::try_from(idle).ok())
        .keep_alive_interval(Some(keep_alive))
        .stream_receive_window(VarInt::from_u32(window))
        .receive_window(VarInt::from_u32(all))
        .send_window(u64::from(all))
        .mtu_discovery_config(Some(discovery))
        .datagram_receive_buffer_size(None)
        .enable_segmentation_offload(true);
    config
}

pub(super) fn endpoint(mtu: u16) -> io::Result<EndpointConfig> {
    let mut config = EndpointConfig::default();
    // What can be received must not be less than what is probed for.
    config.max_udp_payload_size(mtu.clamp(1472, MTU_MAX)).map_err(io::Error::other)?;
    Ok(config)
}

#[expect(clippy::disallowed_types, reason = "quinn drives a socket of the system itself")]
pub(super) fn socket(at: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // More is better and less is not wrong.
    let _ = socket.set_recv_buffer_size(SOCKET_LEN);
    let _ = socket.set_send_buffer_size(SOCKET_LEN);
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    Ok(socket.into())
}
