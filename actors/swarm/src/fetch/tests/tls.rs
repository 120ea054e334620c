//! Whom a fetch over TLS trusts.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cluster_config::NetworkConfig;
use env::disk::{DiskLane, OpenMode};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;
use crate::fetch::TrustError;

/// A certificate authority of our own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: Vec<u8>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let base64 = BASE64_STANDARD.encode(der);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        Self { issuer: Issuer::new(params, key), pem: pem.into_bytes() }
    }

    /// What a server needs to be `name`, until a year ends.
    fn vouch(&self, name: &str, last_year: i32) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(last_year, 12, 31);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            );
        Arc::new(config.unwrap())
    }
}

/// A world with the server "tracker" over TLS.
fn scene(tls: Arc<ServerConfig>, extra_ca: &[u8]) -> Scene {
    let mut scene = Scene::new();
    scene.serve("tracker", Some(tls), |head| match head.split(' ').nth(1) {
        Some("/plain") => redirect("http://plain/"),
        Some("/again") => redirect("/"),
        _ => ok("", b"hello"),
    });
    scene.serve("plain", None, |_| redirect("https://tracker/"));
    scene.extra_ca = Some(extra_ca.to_vec());
    scene
}

fn is_tls(result: &Result<Body, FetchError>) -> bool {
    matches!(result, Err(FetchError::Tls { .. }))
}

#[test]
fn trusts_whom_an_extra_authority_vouches_for() {
    let authority = Authority::new();
    let mut scene = scene(authority.vouch("tracker", 2030), &authority.pem);
    assert_eq!(scene.get("https://tracker/").unwrap(), body_of("hello"));
    assert_eq!(scene.get("https://TRACKER:443/again").unwrap(), body_of("hello"));
    assert_eq!(scene.get("http://plain/").unwrap(), body_of("hello"));
    let result = scene.get("https://tracker/plain");
    assert!(matches!(result, Err(FetchError::RedirectToPlain)), "{result:?}");
    scene.extra_ca = None;
    assert!(is_tls(&scene.get("https://tracker/")));
}

#[test]
fn trusts_no_other_authority_name_or_time() {
    let (authority, other) = (Authority::new(), Authority::new());
    let ours = &authority.pem;
    assert!(is_tls(&scene(other.vouch("tracker", 2030), ours).get("https://tracker/")));
    assert!(is_tls(&scene(authority.vouch("other", 2030), ours).get("https://tracker/")));
    // The simulated clock begins in 2026.
    assert!(is_tls(&scene(authority.vouch("tracker", 2025), ours).get("https://tracker/")));
    let mut by_address = scene(authority.vouch("tracker", 2030), ours);
    assert!(is_tls(&by_address.get("https://10.0.0.1/")));
}

#[test]
fn a_server_that_speaks_no_tls_is_an_error() {
    let mut scene = Scene::with(|_| ok("", b"hello"));
    let result = scene.get("https://tracker:80/");
    assert!(is_tls(&result) || matches!(result, Err(FetchError::Timeout { .. })), "{result:?}");
}

#[test]
fn authorities_come_from_the_configured_file() {
    let mut scene = Scene::new();
    let client = scene.add_host("client");
    let results = Arc::new(Mutex::new(Vec::new()));
    let (slot, good) = (Arc::clone(&results), Authority::new().pem);
    scene.world.start(client, move |env| {
        Box::pin(async move {
            for content in [Some(good), Some(b"no certificate".to_vec()), None] {
                let write = env.disk(DiskLane::Foreground, move |files| {
                    let path = Path::new("/ca.pem");
                    let Some(content) = content else { return files.remove_file(path) };
                    let file = files.open(path, OpenMode::Truncate)?;
                    file.write_all_at(&mut [std::io::IoSlice::new(&content)], 0)
                });
                write.await.unwrap().unwrap();
                let network =
                    NetworkConfig { extra_ca_file: Some("/ca.pem".into()), ..Default::default() };
                let result = Fetcher::from_config(env.clone(), &network).await.map(drop);
                slot.lock().unwrap().push(result);
            }
        })
    });
    scene.world.run_for(Duration::from_secs(1));
    let results = results.lock().unwrap();
    let expected =
        matches!(results[..], [Ok(()), Err(TrustError::Empty), Err(TrustError::Read(_))]);
    assert!(expected, "{results:?}");
}
