//! What servers send, from plain to hostile.

use std::io::Write;
use std::time::Duration;

use env::net::AsyncStream;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::fetch::Credentials;

const SMALL: Limits = Limits { body_max: 1000, ..Limits::TRACKER };

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Fetches with [`SMALL`] limits from a server that sends `reply`.
fn answer(reply: fn() -> Reply) -> Result<Body, FetchError> {
    Scene::with(move |_| reply()).fetch("http://tracker/", SMALL)
}

#[test]
fn a_request_says_who_asks_and_keeps_the_bytes_of_the_url() {
    let mut scene = Scene::with(|_| ok("", b"d8:intervali60ee"));
    let query = "k='p'&info_hash=%00%aB%Ff!~(*)+%20&a=b/../c";
    let body = scene.get(&format!("http://TRACKER:80/x/announce?{query}#part"));
    assert_eq!(body.unwrap(), body_of("d8:intervali60ee"));
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "GET /x/announce?{query} HTTP/1.1\r\nhost: tracker\r\nuser-agent: TorrentEdge/{version}\r\n\
         accept-encoding: identity\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(scene.heads(), [expected]);
}

#[test]
fn bodies_come_whole_however_they_are_framed() {
    let whole = Ok(body_of("hello"));
    let check = |reply: fn() -> Reply| assert_eq!(answer(reply).map_err(|e| e.to_string()), whole);
    check(|| ok("", b"hello"));
    check(|| ok("content-type: text/plain\r\n", b"hello"));
    check(|| Reply::Hold(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_vec()));
    check(|| Reply::Close(b"HTTP/1.0 200 OK\r\n\r\nhello".to_vec()));
    check(|| {
        let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                      2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nx: y\r\n\r\n";
        Reply::Hold(chunks.as_bytes().to_vec())
    });
    check(|| ok("content-encoding: GZIP\r\n", &gzip(b"hello")));
    check(|| ok("content-encoding: x-gzip\r\n", &[gzip(b"hel"), gzip(b"lo")].concat()));
    check(|| ok("content-encoding: identity\r\n", b"hello"));
}

#[test]
fn other_status_codes_are_answers() {
    let failed = answer(|| Reply::Close(b"HTTP/1.1 404 No\r\ncontent-length: 1\r\n\r\n?".to_vec()));
    assert_eq!(failed.unwrap(), Body { status: 404, bytes: b"?"[..].into() });
    // A redirect to nowhere, and something that only looks like one.
    assert_eq!(answer(|| Reply::Close(b"HTTP/1.1 302 Go\r\n\r\n".to_vec())).unwrap().status, 302);
    let made = b"HTTP/1.1 201 Made\r\nlocation: /x\r\n\r\n";
    assert_eq!(answer(|| Reply::Close(made.to_vec())).unwrap().status, 201);
}

#[test]
fn bodies_beyond_the_limit_are_refused() {
    let check = |reply: fn() -> Reply| {
        let result = answer(reply);
        assert!(matches!(result, Err(FetchError::TooLarge { max: 1000 })), "{result:?}");
    };
    check(|| Reply::Hold(b"HTTP/1.1 200 OK\r\ncontent-length: 4294967296\r\n\r\nx".to_vec()));
    check(|| Reply::Hold(b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".to_vec()));
    check(|| Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 99]));
    check(|| {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        Reply::Endless(head, b"1\r\nx\r\n".to_vec())
    });
    check(|| ok("content-encoding: gzip\r\n", &gzip(&vec![0; 200_000])));
    check(|| ok("content-encoding: gzip\r\n", &gzip(&[0; 1001])));
    let most = answer(|| ok("content-encoding: gzip\r\n", &gzip(&[0; 1000])));
    assert_eq!(most.unwrap().bytes.len(), 1000);
    assert_eq!(answer(|| ok("", &[0; 1000])).unwrap().bytes.len(), 1000);
}

#[test]
fn broken_answers_are_errors() {
    let check = |reply: fn() -> Reply| {
        let result = answer(reply);
        assert!(matches!(result, Err(FetchError::Http { .. })), "{result:?}");
    };
    check(|| Reply::Close(Vec::new()));
    check(|| Reply::Close(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()));
    check(|| Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell".to_vec()));
    check(|| Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n".to_vec()));
    let twice = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab";
    check(|| Reply::Close(twice.to_vec()));
    let lie = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nx";
    check(|| Reply::Close(lie.to_vec()));
    let cut = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel";
    check(|| Reply::Close(cut.to_vec()));
    check(|| Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: y\r\n".to_vec()));
    check(|| Reply::Endless(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'y'; 999]));
    let result = answer(|| ok("content-encoding: gzip\r\n", b"hello"));
    assert!(matches!(result, Err(FetchError::Gzip(_))), "{result:?}");
    for header in ["br", "gzip, gzip", "deflate"] {
        let script = move |_: &str| ok(&format!("content-encoding: {header}\r\n"), b"hello");
        let result = Scene::with(script).get("http://tracker/");
        assert!(matches!(result, Err(FetchError::Encoding)), "{result:?}");
    }
}

#[test]
fn a_slow_server_is_given_up_in_time() {
    let check = |reply: fn() -> Reply| {
        let mut scene = Scene::with(move |_| reply());
        let begin = scene.world.now();
        let limits = Limits { timeout: Duration::from_secs(7), ..SMALL };
        let result = scene.fetch("http://tracker/", limits);
        assert!(matches!(result, Err(FetchError::Timeout { .. })), "{result:?}");
        assert_eq!(scene.world.now(), begin + limits.timeout);
    };
    check(|| Reply::Hold(Vec::new()));
    check(|| Reply::Hold(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell".to_vec()));
    check(|| Reply::Drip(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_vec()));
    // Interim answers without end.
    check(|| Reply::Drip(b"HTTP/1.1 102 Wait\r\n\r\n".repeat(100)));
}

#[test]
fn credentials_are_sent_only_where_they_may_be() {
    let mut scene = Scene::with(|head| match head.split(' ').nth(1) {
        Some("/far") => redirect("http://other/x"),
        Some("/near") => redirect("x"),
        _ => ok("", b"hello"),
    });
    scene.serve("other", None, |_| ok("", b"other"));
    let refuse = Limits { credentials: Credentials::Refuse, ..SMALL };
    let result = scene.fetch("http://me:secret@tracker/", refuse);
    assert!(matches!(result, Err(FetchError::Credentials)), "{result:?}");
    assert!(scene.heads().is_empty());
    assert_eq!(scene.get("http://me:secret@tracker/near").unwrap(), body_of("hello"));
    assert_eq!(scene.get("http://me:secret@tracker/far").unwrap(), body_of("other"));
    let with: Vec<bool> = scene
        .heads()
        .iter()
        .map(|head| head.contains("authorization: Basic bWU6c2VjcmV0\r\n"))
        .collect();
    assert_eq!(with, [true, true, true, false]);
}

#[tokio::test]
async fn fetches_over_real_sockets() {
    let env = env::real::node_env(&env::real::RealConfig::default());
    let listener = env.net().listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let at = listener.local_addr();
    let server = env.spawn("server", async move {
        let mut stream = AsyncStream::new(listener.accept().await.unwrap());
        let mut head = [0; 4096];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n";
        stream.write_all(&[answer, &gzip(b"hello")[..]].concat()).await.unwrap();
    });
    let closed = Fetcher::new(env.clone(), AddressPolicy::default(), None).unwrap();
    let result = closed.get(&format!("http://{at}/"), SMALL).await;
    assert!(matches!(result, Err(FetchError::Refused { .. })), "{result:?}");
    let policy = AddressPolicy { allow_private: true, allowed_networks: Vec::new() };
    let open = Fetcher::new(env, policy, None).unwrap();
    assert_eq!(open.get(&format!("http://{at}/"), SMALL).await.unwrap(), body_of("hello"));
    assert!(server.await.is_some());
}
