//! The content of files: ranges, names, and ends that come too early.

use crate::client::Answer;
use crate::engine::Delivery;
use crate::scene::Scene;

const BYTES: &[u8] = b"0123456789";

struct Shelf {
    scene: Scene,
    path: String,
    tag: String,
}

/// A torrent with one file of ten bytes and an empty one.
async fn shelf() -> Shelf {
    let scene = Scene::new().await;
    let id = scene.engine.put(7, 1, &[("a/film.mkv", BYTES), ("empty", b"")]);
    let path = format!("/api/v1/torrents/{id}/files/0/content");
    Shelf { scene, path, tag: format!("\"{id}-0\"") }
}

impl Shelf {
    async fn get(&self, headers: &[(&str, &str)]) -> Answer {
        self.scene.send(&format!("GET {}", self.path), headers, b"").await
    }
}

#[tokio::test]
async fn a_range_gives_its_bytes() {
    let shelf = shelf().await;
    for (range, place, bytes) in [
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=2-5", "bytes 2-5/10", "2345"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=7-99999999999999999999999", "bytes 7-9/10", "789"),
        ("bytes=-3", "bytes 7-9/10", "789"),
        ("bytes=-50", "bytes 0-9/10", "0123456789"),
    ] {
        let answer = shelf.get(&[("Range", range)]).await;
        assert_eq!((answer.status, answer.header("content-range")), (206, place), "{range}");
        assert_eq!(answer.body, bytes.as_bytes(), "{range}");
        assert!(answer.is_whole(), "{range}");
    }
}

#[tokio::test]
async fn what_is_no_single_range_gives_the_whole_file() {
    let shelf = shelf().await;
    for range in ["bytes=0-1,3-4", "bytes=5-4", "items=0-1", "nonsense", "bytes=--1"] {
        let answer = shelf.get(&[("Range", range)]).await;
        assert_eq!((answer.status, answer.header("content-range")), (200, ""), "{range}");
        assert_eq!(answer.body, BYTES, "{range}");
    }
    let asked = shelf.scene.engine.asked.lock().unwrap();
    assert!(asked.iter().all(Option::is_none), "{asked:?}");
}

#[tokio::test]
async fn a_range_beyond_the_end_names_the_length() {
    let shelf = shelf().await;
    for range in ["bytes=10-", "bytes=10-20", "bytes=99999999999999999999999-", "bytes=-0"] {
        let answer = shelf.get(&[("Range", range)]).await;
        assert_eq!((answer.status, answer.header("content-range")), (416, "bytes */10"), "{range}");
        assert_eq!(answer.problem(), "range-not-satisfiable");
    }
}

#[tokio::test]
async fn an_empty_file_has_no_range() {
    let shelf = shelf().await;
    let line = format!("GET {}", shelf.path.replace("/0/", "/1/"));
    let answer = shelf.scene.send(&line, &[], b"").await;
    assert_eq!((answer.status, answer.is_whole(), answer.body.len()), (200, true, 0));
    for range in ["bytes=0-", "bytes=-1"] {
        let answer = shelf.scene.send(&line, &[("Range", range)], b"").await;
        assert_eq!((answer.status, answer.header("content-range")), (416, "bytes */0"), "{range}");
    }
}

#[tokio::test]
async fn a_range_of_another_content_gives_the_whole_file() {
    let shelf = shelf().await;
    let range = ("Range", "bytes=1-2");
    assert_eq!(shelf.get(&[range, ("If-Range", &shelf.tag)]).await.status, 206);
    for other in ["\"other\"", "W/\"x\"", "Wed, 21 Oct 2015 07:28:00 GMT"] {
        assert_eq!(shelf.get(&[range, ("If-Range", other)]).await.status, 200, "{other}");
    }
    assert_eq!(shelf.get(&[]).await.header("etag"), shelf.tag);
}

#[tokio::test]
async fn a_head_says_all_and_fetches_nothing() {
    let shelf = shelf().await;
    let line = format!("HEAD {}", shelf.path);
    let answer = shelf.scene.send(&line, &[("Range", "bytes=1-2")], b"").await;
    assert_eq!((answer.status, answer.header("content-length")), (200, "10"));
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.header("content-type"), "video/x-matroska");
    assert_eq!(answer.header("content-disposition"), "inline; filename=\"film.mkv\"");
    assert!(answer.body.is_empty() && shelf.scene.engine.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn files_of_strangers_do_not_run_as_pages() {
    let scene = Scene::new().await;
    let id = scene.engine.put(7, 1, &[("x/\"évil\r\n.html", b"<script>")]);
    let answer = scene.get(&format!("/api/v1/torrents/{id}/files/0/content")).await;
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("content-security-policy"), "sandbox");
    let expected = "attachment; filename=\"__vil.html\"; filename*=UTF-8''%22%C3%A9vil.html";
    assert_eq!(answer.header("content-disposition"), expected);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let shelf = shelf().await;
    for (from, to) in
        [("/0/", "/2/"), ("/0/", "/x/"), ("/0/", "/-1/"), ("/0/", "/4294967296/"), ("07", "ab")]
    {
        let path = shelf.path.replace(from, to);
        for method in ["GET", "HEAD"] {
            let answer = shelf.scene.send(&format!("{method} {path}"), &[], b"").await;
            assert_eq!(answer.status, 404, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_client_notices_that_the_content_broke_off() {
    let shelf = shelf().await;
    *shelf.scene.engine.delivery.lock().unwrap() = Delivery::Breaks(6);
    let answer = shelf.get(&[]).await;
    assert_eq!((answer.status, answer.header("content-length")), (200, "10"));
    assert!(BYTES.starts_with(&answer.body) && !answer.is_whole(), "{answer:?}");
}
