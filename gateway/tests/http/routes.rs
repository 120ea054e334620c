//! The table of routes: what each path answers to whom.

use crate::scene::Scene;

const HASH: &str = "0707070707070707070707070707070707070707";

#[tokio::test]
async fn every_path_refuses_the_methods_that_it_has_not() {
    let scene = Scene::new().await;
    let table = [
        ("/healthz", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
        ("/version", "GET, HEAD"),
        ("/api/health", "GET, HEAD"),
        ("/api/v1/torrents", "GET, HEAD, POST"),
        (&format!("/api/v1/torrents/{HASH}"), "GET, HEAD, PATCH, DELETE"),
        (&format!("/api/v1/torrents/{HASH}/actions/start"), "POST"),
        (&format!("/api/v1/torrents/{HASH}/files/0/content"), "GET, HEAD"),
    ];
    for (path, allow) in table {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = scene.send(&format!("{method} {path}"), &[], b"").await;
            let is_allowed = allow.split(", ").any(|allowed| allowed == method);
            assert_eq!(answer.status == 405, !is_allowed, "{method} {path}: {answer:?}");
            if !is_allowed {
                assert_eq!(answer.header("allow"), allow, "{method} {path}");
                assert!(method == "HEAD" || answer.problem() == "method-not-allowed");
            }
        }
    }
}

#[tokio::test]
async fn what_is_nowhere_is_a_problem() {
    let scene = Scene::new().await;
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/nope",
        "/api/v2/torrents",
        "/healthz/x",
        "/API/v1/torrents",
        "/api/v1/torrents/x/y",
        "//api/v1/torrents",
        "/api/v1/torrents/../../../etc/passwd",
    ] {
        let answer = scene.get(path).await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "no-such-route"), "{path}");
    }
    let answer = scene.get(&format!("/api/v1/torrents/{HASH}/actions/explode")).await;
    assert_eq!(answer.problem(), "no-such-route");
    for path in ["/api/v1/torrents/nohash", "/api/v1/torrents/%2e%2e/files/0/content"] {
        assert_eq!(scene.get(path).await.problem(), "not-found", "{path}");
    }
}

#[tokio::test]
async fn bodies_are_bounded_and_typed() {
    let scene = Scene::new().await;
    let id = scene.engine.put(7, 1, &[]);
    let one = format!("PATCH /api/v1/torrents/{id}");
    let add = "POST /api/v1/torrents";
    let cases: [(&str, &str, Vec<u8>, u16, &str); 9] = [
        (add, "application/x-bittorrent", vec![b'd'; 64 << 10], 201, ""),
        (add, "application/x-bittorrent", vec![b'd'; (64 << 10) + 1], 413, "payload-too-large"),
        (add, "application/json", vec![b' '; (4 << 10) + 1], 413, "payload-too-large"),
        (add, "application/json", b"{".to_vec(), 400, "malformed-request"),
        (add, "application/json", b"[]".to_vec(), 422, "invalid-input"),
        (add, "text/plain", b"{}".to_vec(), 415, "unsupported-media-type"),
        (&one, "text/plain", b"{}".to_vec(), 415, "unsupported-media-type"),
        (&one, "application/json", vec![b' '; 9 << 20], 413, "payload-too-large"),
        (&one, "application/json", b"{\"x\":1}".to_vec(), 422, "invalid-input"),
    ];
    for (line, media_type, body, status, problem) in cases {
        let answer = scene.send(line, &[("Content-Type", media_type)], &body).await;
        assert_eq!(answer.status, status, "{line} {media_type} {}", body.len());
        if !problem.is_empty() {
            assert_eq!(answer.problem(), problem, "{line} {media_type} {}", body.len());
        }
    }
    assert_eq!(scene.send(add, &[], b"x").await.problem(), "unsupported-media-type");
}

#[tokio::test]
async fn a_body_without_announced_length_is_bounded_too() {
    let scene = Scene::new().await;
    let mut bytes = b"POST /api/v1/torrents HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
        Content-Type: application/x-bittorrent\r\nTransfer-Encoding: chunked\r\n\r\n"
        .to_vec();
    for _ in 0..20 {
        bytes.extend_from_slice(b"1000\r\n");
        bytes.extend_from_slice(&[b'd'; 0x1000]);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    let answer = crate::client::exchange(scene.address, &bytes).await;
    assert_eq!(answer.problem(), "payload-too-large");
}

#[tokio::test]
async fn names_of_strangers_and_their_pages_are_refused() {
    let scene = Scene::new().await;
    let stranger = [("Host", "rebound.example")];
    let answer = scene.send("GET /api/v1/torrents", &stranger, b"").await;
    assert_eq!((answer.status, answer.problem().as_str()), (421, "misdirected-request"));
    let page = [("Origin", "https://page.example"), ("Content-Type", "application/json")];
    let answer = scene.send("POST /api/v1/torrents", &page, b"{\"magnet\":\"magnet:?\"}").await;
    assert_eq!((answer.status, answer.problem().as_str()), (403, "cross-site-request"));
    assert!(scene.engine.commands.lock().unwrap().is_empty());
    let answer = scene.get("/api/v1/torrents").await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn health_is_told_apart_from_readiness() {
    let scene = Scene::new().await;
    assert_eq!(scene.get("/healthz").await.json()["status"], "ok");
    assert_eq!(scene.get("/readyz").await.json()["checks"]["engine"], "ok");
    assert_eq!(scene.get("/version").await.json()["api"], "v1");
    scene.engine.fail(control::ErrorCode::ShuttingDown);
    assert_eq!(scene.get("/healthz").await.status, 200);
    let answer = scene.get("/readyz").await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "not-ready"));
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_panic_is_a_problem_and_the_gateway_goes_on() {
    let scene = Scene::new().await;
    *scene.engine.panics.lock().unwrap() = true;
    let answer = scene.get("/api/v1/torrents").await;
    assert_eq!((answer.status, answer.problem().as_str()), (500, "internal"));
    assert_eq!(scene.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn every_answer_has_an_id() {
    let scene = Scene::new().await;
    let (first, second) = (scene.get("/healthz").await, scene.get("/nope").await);
    assert!(!first.header("x-request-id").is_empty());
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    let given = [("X-Request-Id", "proxy-7")];
    let answer = scene.send("GET /nope", &given, b"").await;
    assert_eq!(answer.header("x-request-id"), "proxy-7");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}
