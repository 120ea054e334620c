//! Which addresses the engine connects to: strangers name them, so none may lead into our own network.
//!
//! A tracker, a peer exchange or a redirect can name any address; without this policy it could make us
//! knock on doors of the local network (SSRF). [`AddressPolicy::judge_peer`] is for connections that
//! speak BitTorrent, the stricter [`AddressPolicy::judge_fetch`] for requests (HTTP, UDP trackers).
//! An IPv6 address that stands for an IPv4 address is judged as that one. Which addresses are public
//! follows IANA's special-purpose registries (RFC 6890).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use cluster_config::NetworkConfig;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// IPv4 networks that are not reached over the internet, and may be ours.
const LOCAL_V4: [Ipv4Net; 11] = [
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
];
/// IPv4 networks in which no host has its address: "this network", multicast, reserved, broadcast.
const NOWHERE_V4: [Ipv4Net; 3] = [v4([0, 0, 0, 0], 8), v4([224, 0, 0, 0], 4), v4([240, 0, 0, 0], 4)];
/// All global unicast addresses of IPv6.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0], 3);
/// What in [`GLOBAL_V6`] is not reached over the internet: protocol assignments (Teredo among them) and
/// documentation.
const LOCAL_V6: [Ipv6Net; 3] = [v6([0x2001, 0], 23), v6([0x2001, 0xdb8], 32), v6([0x3fff, 0], 20)];
/// IPv6 networks in which no host has its address: unspecified and IPv4-compatible, multicast.
const NOWHERE_V6: [Ipv6Net; 2] = [v6([0, 0], 96), v6([0xff00, 0], 8)];
/// Addresses from which clouds give a machine its credentials: those of AWS (machines, containers,
/// IPv6) and others, Alibaba, Oracle and Azure.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

const fn v4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(begin: [u16; 2], prefix: u8) -> Ipv6Net {
    let [a, b] = begin;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

/// Which addresses may be connected to. The default allows public ones only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Whether addresses in local networks, and this host's own, are spoken to as public ones are.
    pub allow_private: bool,
    /// Networks that are spoken to although they are local.
    pub allowed_networks: Vec<IpNet>,
}

/// From where an address can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// From everywhere.
    Public,
    /// From a local network or this host only; the policy allows it nevertheless.
    Local,
}

/// Why an address is not connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No socket has this port.
    #[error("port 0 is nobody's")]
    PortZero,
    /// Unspecified, multicast, broadcast, reserved or IPv4-compatible: no configuration allows it.
    #[error("{0} is not the address of a host")]
    NoHost(IpAddr),
    /// Loopback, private, link-local, shared (CGNAT), unique local, documentation and the like.
    #[error("{0} is in a local network that is not in allowed_networks")]
    Local(IpAddr),
    /// It gives a cloud machine's credentials to whoever asks from there.
    #[error("{0} is the metadata service of a cloud and not in allowed_networks")]
    Metadata(IpAddr),
}

impl AddressPolicy {
    /// The policy that the configuration asks for.
    #[must_use]
    pub fn new(network: &NetworkConfig) -> Self {
        Self {
            allow_private: network.allow_private_peers,
            allowed_networks: network.allowed_networks.clone(),
        }
    }

    /// Judges the address of a peer that a stranger named. Every port but 0 is allowed: there are peers
    /// at 80 and 443.
    ///
    /// # Errors
    ///
    /// The peer must not be connected to.
    pub fn judge_peer(&self, peer: SocketAddr) -> Result<(), Refused> {
        if peer.port() == 0 {
            return Err(Refused::PortZero);
        }
        self.judge(peer.ip()).map(|_| ())
    }

    /// Judges an address that is about to be sent a request. Metadata services are refused even where
    /// private addresses are allowed: only a network of the allow-list opens them.
    ///
    /// # Errors
    ///
    /// The address must not be connected to.
    pub fn judge_fetch(&self, ip: IpAddr) -> Result<Reach, Refused> {
        if METADATA.contains(&embedded(ip)) && !self.lists(ip) {
            return Err(Refused::Metadata(ip));
        }
        self.judge(ip)
    }

    fn judge(&self, ip: IpAddr) -> Result<Reach, Refused> {
        let (nowhere, public) = match embedded(ip) {
            IpAddr::V4(v4) => (within_v4(&NOWHERE_V4, v4), !within_v4(&LOCAL_V4, v4)),
            IpAddr::V6(v6) => (
                within_v6(&NOWHERE_V6, v6) && !v6.is_loopback(),
                GLOBAL_V6.contains(&v6) && !within_v6(&LOCAL_V6, v6),
            ),
        };
        if nowhere {
            return Err(Refused::NoHost(ip));
        }
        if public {
            return Ok(Reach::Public);
        }
        if self.allow_private || self.lists(ip) { Ok(Reach::Local) } else { Err(Refused::Local(ip)) }
    }

    fn lists(&self, ip: IpAddr) -> bool {
        let meant = embedded(ip);
        self.allowed_networks.iter().any(|network| network.contains(&meant))
    }
}

fn within_v4(networks: &[Ipv4Net], ip: Ipv4Addr) -> bool {
    networks.iter().any(|network| network.contains(&ip))
}

fn within_v6(networks: &[Ipv6Net], ip: Ipv6Addr) -> bool {
    networks.iter().any(|network| network.contains(&ip))
}

/// The IPv4 address that an IPv6 address leads to (mapped, NAT64 of RFC 6052, 6to4 of RFC 3056), else
/// the address itself.
fn embedded(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let v4_of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => v4_of(high, low).into(),
        _ => ip,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(allow_private: bool, networks: &[&str]) -> AddressPolicy {
        let allowed_networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        AddressPolicy { allow_private, allowed_networks }
    }

    fn verdict(policy: &AddressPolicy, ip: &str) -> Result<(), Refused> {
        policy.judge_peer(SocketAddr::new(ip.parse().unwrap(), 6881))
    }

    #[test]
    fn public_addresses_are_spoken_to() {
        let policy = AddressPolicy::default();
        for ip in [
            "8.8.8.8",
            "100.63.255.255",
            "172.32.0.1",
            "192.169.0.1",
            "2606:4700::1",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert_eq!(verdict(&policy, ip), Ok(()), "{ip}");
            assert_eq!(policy.judge_fetch(ip.parse().unwrap()), Ok(Reach::Public), "{ip}");
        }
    }

    #[test]
    fn local_addresses_are_refused_unless_allowed() {
        for ip in [
            "127.0.0.1",
            "127.255.1.2",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fc00::1",
            "fdff::1",
            "2001:db8::1",
            "2001::1",
            "64:ff9b:1::1",
            "100::1",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "64:ff9b::7f00:1",
            "2002:c0a8:101::1",
        ] {
            let address: IpAddr = ip.parse().unwrap();
            assert_eq!(verdict(&policy(false, &[]), ip), Err(Refused::Local(address)));
            assert_eq!(verdict(&policy(true, &[]), ip), Ok(()), "{ip}");
            assert_eq!(policy(true, &[]).judge_fetch(address), Ok(Reach::Local), "{ip}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_whatever_is_allowed() {
        let open = policy(true, &["0.0.0.0/0", "::/0"]);
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "ff02::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:0.0.0.0",
            "::ffff:224.0.0.1",
        ] {
            let address: IpAddr = ip.parse().unwrap();
            assert_eq!(verdict(&open, ip), Err(Refused::NoHost(address)));
            assert_eq!(open.judge_fetch(address), Err(Refused::NoHost(address)));
        }
        let port_zero = SocketAddr::from(([8, 8, 8, 8], 0));
        assert_eq!(open.judge_peer(port_zero), Err(Refused::PortZero));
    }

    #[test]
    fn an_allowed_network_opens_itself_only() {
        let policy = policy(false, &["10.1.0.0/16", "fd12::/16"]);
        assert_eq!(verdict(&policy, "10.1.2.3"), Ok(()));
        assert_eq!(verdict(&policy, "::ffff:10.1.2.3"), Ok(()));
        assert_eq!(verdict(&policy, "fd12::1"), Ok(()));
        assert!(verdict(&policy, "10.2.0.1").is_err());
        assert!(verdict(&policy, "fd13::1").is_err());
    }

    #[test]
    fn metadata_services_are_fetched_from_only_when_listed() {
        for ip in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "168.63.129.16",
            "fd00:ec2::254",
        ] {
            let address: IpAddr = ip.parse().unwrap();
            let refused = Err(Refused::Metadata(address));
            assert_eq!(policy(true, &["10.0.0.0/8"]).judge_fetch(address), refused);
        }
        let listed = policy(false, &["169.254.169.254/32"]);
        assert_eq!(listed.judge_fetch("169.254.169.254".parse().unwrap()), Ok(Reach::Local));
    }

    proptest! {
        #[test]
        fn an_ipv4_address_is_judged_alike_in_every_dress(bits: u32, allow: bool) {
            let v4 = Ipv4Addr::from(bits);
            let [a, b] = [bits >> 16, bits & 0xffff].map(|half| u16::try_from(half).unwrap());
            let dresses = [
                v4.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
                Ipv6Addr::new(0x2002, a, b, 7, 0, 0, 0, 1),
            ];
            let policy = policy(allow, &[]);
            let plain = policy.judge_fetch(v4.into());
            for dress in dresses {
                prop_assert_eq!(policy.judge_fetch(dress.into()).ok(), plain.ok());
            }
            let public = !v4.is_private() && !v4.is_loopback() && !v4.is_link_local()
                && !v4.is_multicast() && !v4.is_documentation() && !v4.is_broadcast();
            prop_assert!(plain != Ok(Reach::Public) || public);
        }

        #[test]
        fn what_a_strict_policy_allows_a_lax_one_allows(bits: u128, port: u16) {
            let peer = SocketAddr::new(Ipv6Addr::from(bits).into(), port);
            if policy(false, &[]).judge_peer(peer).is_ok() {
                prop_assert!(policy(true, &[]).judge_peer(peer).is_ok());
            }
        }
    }
}
