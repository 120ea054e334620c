//! Adding torrents: files, forms, links and addresses.

use control::{AddTorrent, Command, FilePriority, Source};

use crate::client::Answer;
use crate::scene::{JSON_BODY_LIMIT, Scene, UPLOAD_BODY_LIMIT};

/// A form of (header of the part, content).
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in parts {
        let head = format!("--XX\r\nContent-Disposition: form-data; {name}\r\n\r\n");
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"--XX--\r\n");
    bytes
}

async fn send_form(scene: &Scene, body: &[u8]) -> Answer {
    let form = [("Content-Type", "multipart/form-data; boundary=XX")];
    scene.send("POST /api/v1/torrents", &form, body).await
}

fn added(scene: &Scene) -> AddTorrent {
    let commands = scene.engine.commands.lock().unwrap();
    let Some(Command::Add(add)) = commands.last() else { panic!("{commands:?}") };
    add.clone()
}

#[tokio::test]
async fn a_file_as_the_body_is_added_once() {
    let scene = Scene::new().await;
    let file = [("Content-Type", "application/x-bittorrent")];
    let line = "POST /api/v1/torrents?stopped=true";
    let answer = scene.send(line, &file, b"d4:infoe").await;
    let id = "64".repeat(20);
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("location"), format!("/api/v1/torrents/{id}"));
    assert_eq!(answer.json()["hash"], id);
    let add = added(&scene);
    assert_eq!((add.source, add.stopped), (Source::Metainfo(b"d4:infoe".as_slice().into()), true));
    let answer = scene.send(line, &file, b"d4:infoe").await;
    assert_eq!((answer.status, answer.problem().as_str()), (409, "torrent-duplicate"));
    assert_eq!(scene.send(line, &file, b"").await.problem(), "invalid-input");
}

#[tokio::test]
async fn a_form_brings_the_file_and_its_settings() {
    let scene = Scene::new().await;
    let file = [b'd'; 40_000];
    let body = form(&[
        ("name=\"settings\"", br#"{"priorities": [0], "downBytesPerS": 1000}"#),
        ("name=\"torrent\"; filename=\"../../a.torrent\"", &file),
        ("name=\"stopped\"", b"true"),
    ]);
    assert_eq!(send_form(&scene, &body).await.status, 201);
    let add = added(&scene);
    assert_eq!(add.source, Source::Metainfo(file.to_vec().into()));
    assert_eq!(add.settings.priorities, [FilePriority::SKIP]);
    assert_eq!((add.settings.down_bytes_per_s, add.stopped), (1000, true));
}

#[tokio::test]
async fn wrong_forms_are_refused() {
    let scene = Scene::new().await;
    let torrent = ("name=\"torrent\"", b"d".as_slice());
    let long = vec![b' '; JSON_BODY_LIMIT + 1];
    let cases: [(&str, Vec<u8>, u16); 10] = [
        ("no file", form(&[]), 422),
        ("two files", form(&[torrent, torrent]), 422),
        ("an empty file", form(&[("name=\"torrent\"", b"")]), 422),
        ("an unknown field", form(&[torrent, ("name=\"x\"", b"")]), 422),
        ("a field without a name", form(&[("filename=\"x\"", b"d")]), 422),
        ("settings that are no JSON", form(&[torrent, ("name=\"settings\"", b"{")]), 400),
        ("long settings", form(&[torrent, ("name=\"settings\"", &long)]), 413),
        ("no end", form(&[torrent])[..60].to_vec(), 400),
        ("no form", b"d4:infoe".to_vec(), 400),
        ("a long file", form(&[("name=\"torrent\"", &[b'd'; UPLOAD_BODY_LIMIT])]), 413),
    ];
    for (name, body, status) in cases {
        let answer = send_form(&scene, &body).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        answer.problem();
    }
    let unbounded = [("Content-Type", "multipart/form-data")];
    let answer = scene.send("POST /api/v1/torrents", &unbounded, &form(&[torrent])).await;
    assert_eq!(answer.problem(), "malformed-request");
    assert!(scene.engine.commands.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_magnet_link_and_an_address_are_added() {
    let scene = Scene::new().await;
    let json = r#"{"magnet": "magnet:?xt=urn:btih:00", "stopped": true,
        "peers": ["192.0.2.1:6881", "[2001:db8::1]:6881"], "settings": {"sequential": true}}"#;
    assert_eq!(scene.send_json("POST /api/v1/torrents", json).await.status, 201);
    let add = added(&scene);
    assert_eq!(add.source, Source::Magnet("magnet:?xt=urn:btih:00".to_owned()));
    assert_eq!((add.stopped, add.peers.len(), add.settings.sequential), (true, 2, true));
    let json = r#"{"url": "HTTPS://files.example/a.torrent"}"#;
    assert_eq!(scene.send_json("POST /api/v1/torrents", json).await.status, 201);
    assert_eq!(added(&scene).source, Source::Url("HTTPS://files.example/a.torrent".to_owned()));
}

#[tokio::test]
async fn wrong_json_is_refused() {
    let scene = Scene::new().await;
    let peers = vec!["\"192.0.2.1:1\""; 201].join(",");
    for json in [
        "{}",
        r#"{"magnet": "magnet:?a", "url": "http://b"}"#,
        r#"{"magnet": "http://a"}"#,
        r#"{"url": "file:///etc/passwd"}"#,
        r#"{"url": "ünï"}"#,
        r#"{"magnet": "magnet:?a", "peers": ["localhost:1"]}"#,
        r#"{"magnet": "magnet:?a", "settings": {"priorities": [9]}}"#,
        r#"{"magnet": "magnet:?a", "setings": {}}"#,
        &format!(r#"{{"magnet": "magnet:?a", "peers": [{peers}]}}"#),
    ] {
        let answer = scene.send_json("POST /api/v1/torrents", json).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid-input"), "{json}");
    }
    assert!(scene.engine.commands.lock().unwrap().is_empty());
}
