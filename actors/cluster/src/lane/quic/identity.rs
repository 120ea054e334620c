//! Certificates: what this node shows, whom it believes, and the name in what the other end shows.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use control::NodeName;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, version};
use webpki::{EndEntityCert, KeyUsage};

use crate::lane::transport::OpenError;

/// The most certificates of a file.
const CERTIFICATES_MAX: usize = 16;

/// What a node shows of itself, and whose certificates it believes: the cluster's authority alone.
pub struct Credentials {
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    node: NodeName,
}

/// Credentials cannot be used. The message holds nothing of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// There is no certificate in what should be the authority's, or the node's.
    #[error("there is no certificate of the {0} in PEM")]
    NoCertificate(&'static str),
    /// There is no private key in what should be one.
    #[error("there is no private key in PEM")]
    NoKey,
    /// The authority's certificate is none.
    #[error("the authority's certificate cannot be used")]
    Authority,
    /// The node's certificate does not begin its names with a node's.
    #[error("the certificate's first DNS name is not a node's name")]
    NoName,
    /// The authority has not made the node's certificate for lanes, or the certificate does not hold at the time.
    #[error("the certificate is not one of the authority's for lanes, or does not hold now")]
    Unverified,
    /// Key and certificate do not go together, or are of a kind that is not known.
    #[error("the key does not belong to the certificate, or is of an unknown kind")]
    Mismatch,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads credentials: the authority's certificate, the node's certificate, and its private key, all in PEM.
    ///
    /// # Errors
    ///
    /// One of them is not what it should be.
    pub fn from_pem(
        authority: &[u8],
        certificate: &[u8],
        key: &[u8],
    ) -> Result<Self, CredentialsError> {
        let mut roots = RootCertStore::empty();
        for root in certificates(authority, "authority")? {
            roots.add(root).map_err(|_| CredentialsError::Authority)?;
        }
        let chain = certificates(certificate, "node")?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CredentialsError::NoKey)?;
        let node = chain.first().and_then(|it| name_of(it)).ok_or(CredentialsError::NoName)?;
        let credentials = Self { roots: Arc::new(roots), chain, key, node };
        // So that what does not go together is known at once.
        credentials.server(b"")?;
        Ok(credentials)
    }

    /// The node that the certificate names.
    #[must_use]
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// Says whether other nodes would take this at a time, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`CredentialsError::Unverified`].
    pub fn verify(&self, unix_s: u64) -> Result<(), CredentialsError> {
        let unverified = |_| CredentialsError::Unverified;
        let (own, between) = self.chain.split_first().ok_or(CredentialsError::Unverified)?;
        let own = EndEntityCert::try_from(own).map_err(unverified)?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(unix_s));
        for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
            let roots = &self.roots.roots;
            let known = webpki::ALL_VERIFICATION_ALGS;
            own.verify_for_usage(known, roots, between, time, usage, None, None)
                .map_err(|_| CredentialsError::Unverified)?;
        }
        Ok(())
    }

    pub(super) fn client(&self, protocol: &[u8]) -> Result<quinn::ClientConfig, CredentialsError> {
        let mismatch = |_| CredentialsError::Mismatch;
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(mismatch)?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(mismatch)?;
        config.alpn_protocols = vec![protocol.to_vec()];
        // Each connection shows its certificate anew.
        config.resumption = Resumption::disabled();
        let config = QuicClientConfig::try_from(config).map_err(|_| CredentialsError::Mismatch)?;
        Ok(quinn::ClientConfig::new(Arc::new(config)))
    }

    pub(super) fn server(&self, protocol: &[u8]) -> Result<quinn::ServerConfig, CredentialsError> {
        let mismatch = |_| CredentialsError::Mismatch;
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), provider())
                .build()
                .map_err(|_| CredentialsError::Authority)?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(mismatch)?
            .with_client_cert_verifier(clients)
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(mismatch)?;
        config.alpn_protocols = vec![protocol.to_vec()];
        config.send_tls13_tickets = 0;
        let config = QuicServerConfig::try_from(config).map_err(|_| CredentialsError::Mismatch)?;
        Ok(quinn::ServerConfig::with_crypto(Arc::new(config)))
    }
}

/// The cryptography is chosen here, never by what else is linked in.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(
    pem: &[u8],
    whose: &'static str,
) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let found = CertificateDer::pem_slice_iter(pem).take(CERTIFICATES_MAX);
    let found: Result<Vec<_>, _> = found.collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(CredentialsError::NoCertificate(whose)),
    }
}

/// The node that a certificate is for: its first DNS name.
fn name_of(certificate: &CertificateDer<'_>) -> Option<NodeName> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    certificate.valid_dns_names().next().and_then(NodeName::new)
}

/// The node that the other end's certificate is for; TLS has made sure that the certificate is the other end's.
pub(super) fn certified(connection: &quinn::Connection) -> Result<NodeName, OpenError> {
    let shown = connection.peer_identity().ok_or(OpenError::Certificate)?;
    let chain = shown.downcast::<Vec<CertificateDer<'static>>>();
    let chain = chain.map_err(|_| OpenError::Certificate)?;
    chain.first().and_then(name_of).ok_or(OpenError::WrongName)
}
