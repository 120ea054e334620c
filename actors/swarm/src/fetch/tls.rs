//! TLS for fetches: Mozilla's authorities and those of the operator, validity judged by the clock of
//! [`NodeEnv`].
//!
//! The keys of a handshake come from the operating system, so in a simulation an exchange over https
//! gives the same outcome but not the same bytes in every run.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::NodeEnv;
use env::disk::{FileSystem, OpenMode};
use tokio_rustls::rustls::client::ClientConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::time_provider::TimeProvider;
use tokio_rustls::rustls::{RootCertStore, crypto, version};

use super::error::TrustError;

/// The longest file of certificate authorities, in bytes: that of a whole system has about 250 KB.
const CA_FILE_MAX: u64 = 4 * 1024 * 1024;

#[derive(Debug)]
struct EnvTime(NodeEnv);

impl TimeProvider for EnvTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.unix_ms())))
    }
}

/// How to speak TLS 1.2 and 1.3 with hosts for which Mozilla's authorities vouch, or one in `extra_ca`
/// (PEM).
pub(super) fn client_config(
    env: &NodeEnv,
    extra_ca: Option<&[u8]>,
) -> Result<Arc<ClientConfig>, TrustError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = extra_ca {
        add_authorities(&mut roots, pem)?;
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(EnvTime(env.clone())))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn add_authorities(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), TrustError> {
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(TrustError::Pem)?)?;
    }
    if roots.len() == before { Err(TrustError::Empty) } else { Ok(()) }
}

/// Reads a file of certificate authorities.
pub(super) fn read_ca_file(files: &dyn FileSystem, path: &Path) -> std::io::Result<Vec<u8>> {
    let file = files.open(path, OpenMode::Read)?;
    let len = file.facts()?.len;
    if len > CA_FILE_MAX {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    let mut pem = vec![0; usize::try_from(len).unwrap_or_default()];
    file.read_exact_at(&mut pem, 0)?;
    Ok(pem)
}
