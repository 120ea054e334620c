//! The suite over QUIC on real sockets of the loopback, and what only QUIC has: certificates and bulk.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cluster::lane::bulk::BulkTransport;
use cluster::lane::hello::CONTROL_PROTOCOL;
use cluster::lane::quic::{
    BulkThreads, BulkTuning, ControlTuning, Credentials, CredentialsError, QuicBulk, QuicTransport,
};
use cluster::lane::{
    Connection, IDLE_TIMEOUT, Incoming, LaneEnd, LaneError, Lanes, Link, LocalNode, OpenError,
    Refusal, Transport,
};
use control::NodeName;
use env::NodeEnv;
use env::real::{RealConfig, node_env};
use quinn::crypto::rustls::QuicClientConfig;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::bulk::{Ends, both_ways, refusals, send};
use crate::party::*;
use crate::suite::{CASES, Case};

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// The cluster's authority, and another one.
struct Authorities([CertifiedIssuer<'static, KeyPair>; 2]);

impl Authorities {
    fn new() -> Self {
        Self([0, 1].map(|_| {
            let mut params = CertificateParams::new([]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
        }))
    }

    fn of(&self, ours: bool) -> &CertifiedIssuer<'static, KeyPair> {
        &self.0[usize::from(!ours)]
    }

    /// Certificate and key of these names.
    fn issue(&self, ours: bool, names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(names).unwrap().signed_by(&key, self.of(ours)).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// What an end shows; it believes its own authority.
    fn credentials(&self, ours: bool, name: &str) -> Credentials {
        let (certificate, key) = self.issue(ours, &[name]);
        let authority = self.of(ours).pem();
        Credentials::from_pem(authority.as_bytes(), certificate.as_bytes(), key.as_bytes()).unwrap()
    }
}

/// Dials as no node does: without a certificate, or with another name of the protocol.
#[derive(Debug)]
struct Stranger(quinn::Endpoint);

#[derive(Debug)]
struct StrangersConnection(quinn::Connection);

impl Stranger {
    fn new(authorities: &Authorities, shows: &Shows) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authorities.of(true).der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shows.certified {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let (certificate, key) = authorities.issue(shows.ours, &[name]);
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        config.alpn_protocols = vec![shows.protocol.to_vec()];
        let config = QuicClientConfig::try_from(config).unwrap();
        let mut endpoint = quinn::Endpoint::client(loopback()).unwrap();
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(config)));
        Self(endpoint)
    }
}

/// As a node would understand it.
fn told(error: &quinn::ConnectionError) -> OpenError {
    let said = error.to_string();
    match () {
        () if said.contains("120") => OpenError::Version,
        () if said.contains("certificate") || said.contains("116") || said.contains("48") => {
            OpenError::Certificate
        }
        () => panic!("{said}"),
    }
}

#[async_trait]
impl Transport for Stranger {
    async fn dial(&self, node: &NodeName, at: SocketAddr) -> Result<Link, OpenError> {
        let connection = self.0.connect(at, node.as_str()).unwrap();
        let connection = connection.await.map_err(|error| told(&error))?;
        let (writer, reader) = connection.open_bi().await.map_err(|error| told(&error))?;
        let (reader, writer) = (Box::new(reader), Box::new(writer));
        let connection = Arc::new(StrangersConnection(connection));
        Ok(Link { certified: node.clone(), reader, writer, connection })
    }

    async fn accept(&self) -> Option<Incoming> {
        None
    }

    fn local_addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

impl Connection for StrangersConnection {
    fn close(&self, _: Option<Refusal>) {
        self.0.close(0_u32.into(), &[]);
    }

    fn ended(&self) -> Option<OpenError> {
        self.0.close_reason().as_ref().map(told)
    }
}

fn real() -> NodeEnv {
    node_env(&RealConfig { disk_threads: 1, compute_threads: 1 })
}

/// A machine that does other things as well may let a test wait for longer than a lane may be silent.
fn patient() -> ControlTuning {
    ControlTuning { idle: DEADLINE, ..ControlTuning::default() }
}

/// Binds an end of a case.
fn transport(authorities: &Authorities, shows: &Shows) -> Arc<dyn Transport> {
    match shows.certified {
        Some(name) if shows.protocol == CONTROL_PROTOCOL => {
            let credentials = authorities.credentials(shows.ours, name);
            Arc::new(QuicTransport::bind(&credentials, &patient(), loopback()).unwrap())
        }
        _ => Arc::new(Stranger::new(authorities, shows)),
    }
}

async fn play(case: &Case) {
    let (authorities, env) = (Authorities::new(), real());
    let server = Arc::<Server>::default();
    let transport_b = transport(&authorities, &case.server);
    let at = transport_b.local_addr();
    let serving =
        Arc::clone(&server).serve(env.clone(), case.server.hello(), transport_b, case.reads);
    let _serving = env.spawn("server", serving);
    let local = LocalNode::new(env.clone(), case.client.hello(), Default::default());
    let transport = transport(&authorities, &case.client);
    let script = (case.script)(Client { env: env.clone(), local, transport, at, server });
    assert!(env.timeout(DEADLINE * 2, script).await.is_some(), "{}", case.name);
}

/// On one thread: with two, a writer that is quick enough sends each cast by itself, and nothing is gathered.
#[tokio::test]
async fn quic_does_what_every_transport_must() {
    for case in CASES {
        eprintln!("{}", case.name);
        play(case).await;
    }
}

#[tokio::test]
async fn a_call_to_a_node_that_falls_silent_ends_after_the_idle_timeout() {
    let (authorities, env) = (Authorities::new(), real());
    let (a, b) = (Shows::node("a"), Shows::node("b"));
    let server = Arc::<Server>::default();
    let (tell, told) = std::sync::mpsc::channel();
    let (hold, held) = std::sync::mpsc::channel::<()>();
    // The other node lives on a thread of its own, which stops as SIGSTOP would stop it.
    let other = std::thread::Builder::new().spawn({
        let (server, credentials) = (Arc::clone(&server), authorities.credentials(true, "b"));
        move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let transport =
                    QuicTransport::bind(&credentials, &ControlTuning::default(), loopback())
                        .unwrap();
                tell.send(transport.local_addr()).unwrap();
                let env = real();
                let silent = Arc::clone(&server);
                let serving = server.serve(env.clone(), b.hello(), Arc::new(transport), true);
                let _serving = env.spawn("server", serving);
                while silent.kept() == 0 {
                    env.sleep(Duration::from_millis(2)).await;
                }
                // Blocks the runtime, not only a task.
                let _ = held.recv();
            });
        }
    });
    let transport = transport(&authorities, &a);
    let local = LocalNode::new(env.clone(), a.hello(), Default::default());
    let at = told.recv().unwrap();
    let (lane, running) = local.dial(&*transport, &node("b"), at).await.unwrap();
    let began = env.now();
    assert_eq!(call(&lane, MUTE, 0, b"").await, Err(LaneError::Disconnected));
    let took = env.now().since(began);
    // The lower timeout holds, which is the other end's.
    assert!(took < IDLE_TIMEOUT + Duration::from_secs(1), "{took:?}");
    assert!(took > IDLE_TIMEOUT / 2, "{took:?}");
    assert_eq!(running.await, LaneEnd::Broken(std::io::ErrorKind::TimedOut));
    hold.send(()).unwrap();
    other.unwrap().join().unwrap();
}

#[tokio::test]
async fn nobody_at_an_address_is_told_in_time() {
    let authorities = Authorities::new();
    let env = real();
    let credentials = authorities.credentials(true, "a");
    let transport = QuicTransport::bind(&credentials, &ControlTuning::default(), loopback());
    let transport = transport.unwrap();
    let local = LocalNode::new(env, Shows::node("a").hello(), Default::default());
    // Port 9 discards, if anybody listens there at all.
    let error = local.dial(&transport, &node("b"), "127.0.0.1:9".parse().unwrap()).await;
    assert_eq!(error.unwrap_err(), OpenError::Timeout);
    assert_eq!(local.metrics().timeout, 1);
}

#[test]
fn credentials_say_what_is_wrong_with_them_and_no_secret() {
    let authorities = Authorities::new();
    let authority = authorities.of(true).pem();
    let (certificate, key) = authorities.issue(true, &["node-1", "other"]);
    let read = |authority: &str, certificate: &str, key: &str| {
        Credentials::from_pem(authority.as_bytes(), certificate.as_bytes(), key.as_bytes())
    };
    let credentials = read(&authority, &certificate, &key).unwrap();
    assert_eq!(credentials.node(), &node("node-1"));
    assert_eq!(format!("{credentials:?}"), "Credentials { node: NodeName(\"node-1\"), .. }");
    let error = |authority: &str, certificate: &str, key: &str| {
        read(authority, certificate, key).unwrap_err()
    };
    let nothing = error("", &certificate, &key);
    assert_eq!(nothing, CredentialsError::NoCertificate("authority"));
    assert_eq!(error(&authority, &key, &key), CredentialsError::NoCertificate("node"));
    assert_eq!(error(&authority, &certificate, &certificate), CredentialsError::NoKey);
    let (_, other) = authorities.issue(true, &["node-1"]);
    assert_eq!(error(&authority, &certificate, &other), CredentialsError::Mismatch);
    let (nameless, key) = authorities.issue(true, &["Node.example"]);
    assert_eq!(error(&authority, &nameless, &key), CredentialsError::NoName);
}

#[tokio::test]
async fn a_later_name_in_a_certificate_and_one_that_ran_out_are_refused() {
    let (authorities, env) = (Authorities::new(), real());
    let long_ago = rcgen::date_time_ymd(2020, 1, 1);
    let later: fn(&mut CertificateParams) = |params| {
        params.subject_alt_names.insert(0, SanType::DnsName("x".try_into().unwrap()));
    };
    let over = move |params: &mut CertificateParams| params.not_after = long_ago;
    type Change<'a> = &'a dyn Fn(&mut CertificateParams);
    let changes: [(Change<'_>, OpenError); 2] =
        [(&later, OpenError::WrongName), (&over, OpenError::Certificate)];
    for (change, refused) in changes {
        let mut params = CertificateParams::new(["b".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let issuer = authorities.of(true);
        let certificate = params.signed_by(&key, issuer).unwrap().pem();
        let key = key.serialize_pem();
        let credentials =
            Credentials::from_pem(issuer.pem().as_bytes(), certificate.as_bytes(), key.as_bytes());
        let b = QuicTransport::bind(&credentials.unwrap(), &patient(), loopback()).unwrap();
        let at = b.local_addr();
        let served = LocalNode::new(env.clone(), Shows::node("b").hello(), Default::default());
        let _serving = Lanes::new(env.clone(), served).serve(Arc::new(b));
        let local = LocalNode::new(env.clone(), Shows::node("a").hello(), Default::default());
        let a = transport(&authorities, &Shows::node("a"));
        assert_eq!(local.dial(&*a, &node("b"), at).await.unwrap_err(), refused);
    }
}

/// Two ends of a bulk connection; the transports and threads live as long.
async fn bulk(tuning: BulkTuning) -> (Ends, ([QuicBulk; 2], BulkThreads)) {
    let authorities = Authorities::new();
    let threads = BulkThreads::start(1).unwrap();
    let ends = ["a", "b"].map(|name| {
        let credentials = authorities.credentials(true, name);
        QuicBulk::bind(&credentials, &tuning, &threads, loopback()).unwrap()
    });
    let name = node("b");
    let (dialled, accepted) = tokio::join!(ends[0].dial(&name, ends[1].local_addr()), async {
        ends[1].accept().await.unwrap().await
    });
    ([dialled.unwrap(), accepted.unwrap()], (ends, threads))
}

#[tokio::test]
async fn pieces_cross_a_bulk_connection_both_ways_at_any_datagram_size() {
    for mtu in [1452, 6500] {
        let (ends, _live) = bulk(BulkTuning { mtu, ..BulkTuning::default() }).await;
        both_ways(ends).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_not_what_its_header_says_is_refused_and_others_go_on() {
    let (ends, _live) = bulk(BulkTuning::default()).await;
    refusals(ends).await;
    // The sender is told that the receiver wants no more.
    let ([a, b], _live) = bulk(BulkTuning::default()).await;
    let (sent, ()) = tokio::join!(send(&*a, 50_000_000, 50_000_000), async {
        drop(b.receive().await.unwrap());
    });
    assert_eq!(sent, Err(LaneError::Disconnected));
}

#[tokio::test]
async fn bulk_asks_for_certificates_and_names_too() {
    let authorities = Authorities::new();
    let (tuning, threads) = (BulkTuning::default(), BulkThreads::start(1).unwrap());
    let bind = |ours, name: &str| {
        let credentials = authorities.credentials(ours, name);
        QuicBulk::bind(&credentials, &tuning, &threads, loopback()).unwrap()
    };
    let (b, other, a) = (bind(true, "b"), bind(false, "a"), bind(true, "a"));
    let answering = async { b.accept().await.unwrap().await.unwrap_err() };
    let name = node("b");
    let (dialled, answered) = tokio::join!(other.dial(&name, b.local_addr()), answering);
    assert_eq!((dialled.unwrap_err(), answered), (OpenError::Certificate, OpenError::Certificate));
    let answering = async { b.accept().await.unwrap().await.unwrap_err() };
    let name = node("c");
    let (dialled, _) = tokio::join!(a.dial(&name, b.local_addr()), answering);
    assert_eq!(dialled.unwrap_err(), OpenError::WrongName);
    // A control lane's end is no bulk end.
    let control = transport(&authorities, &Shows::node("c"));
    let name = node("b");
    let (dialled, _) = tokio::join!(control.dial(&name, b.local_addr()), async {
        b.accept().await.unwrap().await.unwrap_err()
    });
    assert_eq!(dialled.unwrap_err(), OpenError::Version);
}
