//! `[gateway]`: the HTTP interface.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::section::section;
use crate::units::ByteSize;

section! {
    /// The HTTP interface.
    pub struct GatewayConfig {
        keys {
            /// The address and port of the HTTP interface. It asks for no password yet: keep it at loopback
            /// unless something in front of it does.
            listen: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
            /// The host names, beside localhost and addresses, by which browsers reach the HTTP interface,
            /// for instance the name of a proxy in front of it. Requests for other names are refused,
            /// because a page of a stranger may make its name lead here.
            allowed_hosts: Vec<String> = Vec::new();
            /// The longest body of a request that uploads a .torrent file.
            upload_body_limit: ByteSize = ByteSize::from_mib(12),
                in ByteSize::from_kib(64)..=ByteSize::from_mib(64);
            /// The longest body of any other request.
            json_body_limit: ByteSize = ByteSize::from_kib(256),
                in ByteSize::from_kib(4)..=ByteSize::from_mib(16);
        }
    }
}
