//! Makes certificates of P-256 keys, which every implementation of TLS takes.

use std::net::IpAddr;
use std::time::Duration;

use cluster_config::NodeName;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;

/// What every authority is called: whose certificate it is follows from its key.
const AUTHORITY_NAME: &str = "TorrentEdge cluster authority";
/// Certificates hold from a little before they are made: clocks differ.
const SKEW: Duration = Duration::from_secs(3600);
/// The most addresses of a node.
const ADDRESSES_MAX: usize = 16;

/// From when until when a certificate holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validity {
    from: OffsetDateTime,
    until: OffsetDateTime,
}

/// A certificate and its private key, in PEM. The key must be shown nowhere, so this has no `Debug`.
pub(super) struct Made {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Who certifies nodes.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Validity {
    /// So many days from now on.
    pub(super) fn from_now(now_s: u64, days: u16) -> Self {
        let now = i64::try_from(now_s).ok();
        let now = now.and_then(|now| OffsetDateTime::from_unix_timestamp(now).ok());
        let now = now.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let length = Duration::from_secs(u64::from(days) * 86_400);
        Self { from: now - SKEW, until: now + length }
    }

    fn apply(self, params: &mut CertificateParams) {
        params.not_before = self.from;
        params.not_after = self.until;
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// What all authorities have in common, as far as what they issue shows it.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(AUTHORITY_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Authority {
    /// Makes a new one.
    ///
    /// # Errors
    ///
    /// No key can be made.
    pub(super) fn make(validity: Validity) -> Result<Made, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = authority_params();
        validity.apply(&mut params);
        let certificate = params.self_signed(&key)?;
        Ok(Made { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// The one whose private key this is.
    ///
    /// # Errors
    ///
    /// It is none. The error may hold parts of it and is not to be shown.
    pub(super) fn read(key: &str) -> Result<Self, rcgen::Error> {
        let key = KeyPair::from_pem(key)?;
        Ok(Self { issuer: Issuer::new(authority_params(), key) })
    }

    /// Makes a node's certificate. Its first name is the node's; addresses come after.
    ///
    /// # Errors
    ///
    /// An address is neither a host name nor an IP address, in one sentence.
    pub(super) fn issue(
        &self,
        node: &NodeName,
        addresses: &[String],
        validity: Validity,
    ) -> Result<Made, String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(node.as_str());
        params.subject_alt_names = names(node, addresses)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        validity.apply(&mut params);
        let cannot = |error: rcgen::Error| format!("cannot make a certificate: {error}");
        let key = KeyPair::generate().map_err(cannot)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(cannot)?;
        Ok(Made { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn names(node: &NodeName, addresses: &[String]) -> Result<Vec<SanType>, String> {
    if addresses.len() > ADDRESSES_MAX {
        return Err(format!("--address: more than {ADDRESSES_MAX} of them"));
    }
    let dns = |name: &str| name.to_owned().try_into().map(SanType::DnsName);
    let first = dns(node.as_str()).map_err(|error| format!("{node}: {error}"))?;
    let mut names = vec![first];
    for address in addresses {
        names.push(match address.parse::<IpAddr>() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) if is_host(address) => {
                dns(address).map_err(|error| format!("--address {address}: {error}"))?
            }
            Err(_) => {
                return Err(format!(
                    "--address {address:?}: neither a host name nor an IP address"
                ));
            }
        });
    }
    Ok(names)
}

/// Whether it is a host name: labels as nodes have, with dots between.
fn is_host(name: &str) -> bool {
    /// The longest name of the DNS.
    const LEN_MAX: usize = 253;
    name.len() <= LEN_MAX && name.split('.').all(|label| NodeName::new(label).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_labels_with_dots_between() {
        for name in ["a", "node-1.example", "10.example"] {
            assert!(is_host(name), "{name}");
        }
        for name in ["", ".", "a.", "-a.b", "a b", "a/b", "*.example", "A.example"] {
            assert!(!is_host(name), "{name}");
        }
    }
}
