//! Slow clients, big headers, and the end of the gateway. Time is paused: it goes on when all wait.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::client::{Answer, exchange, request};
use crate::engine::Delivery;
use crate::scene::Scene;

/// Sends `bytes`, and says what comes and after how long the other side ends.
async fn wait_for_end(scene: &Scene, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(scene.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    (answer, begin.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_header_that_does_not_come_ends_the_connection() {
    let scene = Scene::new().await;
    for bytes in ["", "GET /hea", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "] {
        let (_, waited) = wait_for_end(&scene, bytes.as_bytes()).await;
        assert!(waited >= Duration::from_secs(29), "{bytes:?}: {waited:?}");
        assert!(waited <= Duration::from_secs(31), "{bytes:?}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends() {
    let scene = Scene::new().await;
    let kept = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (answer, waited) = wait_for_end(&scene, kept).await;
    assert_eq!(Answer::parse(&answer).status, 200);
    assert!(waited <= Duration::from_secs(31), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_a_problem() {
    let scene = Scene::new().await;
    let head = "POST /api/v1/torrents HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
        Content-Type: application/x-bittorrent\r\nContent-Length: 100\r\n\r\nd";
    let (answer, waited) = wait_for_end(&scene, head.as_bytes()).await;
    assert_eq!(Answer::parse(&answer).problem(), "request-timeout");
    assert!(waited <= Duration::from_secs(121), "{waited:?}");
}

#[tokio::test]
async fn big_headers_are_refused() {
    let scene = Scene::new().await;
    let long = "x".repeat(20 << 10);
    let answer = scene.send("GET /healthz", &[("X", &long)], b"").await;
    assert_eq!(answer.status, 431);
    let many = vec![("X", "x"); 100];
    assert_eq!(scene.send("GET /healthz", &many, b"").await.status, 431);
}

/// A content of which some bytes came and the rest does not.
async fn begun(scene: &Scene) -> TcpStream {
    *scene.engine.delivery.lock().unwrap() = Delivery::Stalls(6);
    let id = scene.engine.put(7, 1, &[("file", b"0123456789")]);
    let line = format!("GET /api/v1/torrents/{id}/files/0/content");
    let mut stream = TcpStream::connect(scene.address).await.unwrap();
    stream.write_all(&request(&line, &[], b"")).await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"012345") {
        assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0);
    }
    stream
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_end_is_cut_after_the_drain() {
    let scene = Scene::new().await;
    let mut stream = begun(&scene).await;
    let (address, stopping) = (scene.address, Instant::now());
    scene.stop().await.unwrap();
    let waited = stopping.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(11)).contains(&waited), "{waited:?}");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_answer_that_was_begun_ends_before_the_gateway() {
    let scene = Scene::new().await;
    let address = scene.address;
    let mut upload = TcpStream::connect(address).await.unwrap();
    let file = [("Content-Type", "application/x-bittorrent"), ("Expect", "100-continue")];
    let bytes = request("POST /api/v1/torrents", &file, b"d4:infoe");
    let (head, body) = bytes.split_at(bytes.len() - 8);
    upload.write_all(head).await.unwrap();
    // The gateway asks for the body, so it is within the request.
    let mut go_on = [0; 25];
    upload.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on[..12], b"HTTP/1.1 100");
    // An idle connection does not hold the end.
    let _idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(exchange(address, &request("GET /healthz", &[], b"")).await.status, 200);
    let stopped = scene.stop();
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    upload.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    upload.read_to_end(&mut answer).await.unwrap();
    assert_eq!(Answer::parse(&answer).status, 201);
    stopped.await.unwrap();
}
