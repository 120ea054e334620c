//! The list, one torrent, its settings and actions.

use control::{Command, ErrorCode, FilePriority, RemoveTorrent, TorrentId};

use crate::scene::Scene;

#[tokio::test]
async fn the_list_comes_in_pages_in_the_order_of_adding() {
    let scene = Scene::new().await;
    for (byte, added_ms) in [(5, 30), (1, 10), (9, 20), (2, 20)] {
        scene.engine.put(byte, added_ms, &[]);
    }
    let (mut path, mut names) = ("/api/v1/torrents?limit=3".to_owned(), Vec::new());
    for _ in 0..2 {
        let page = scene.get(&path).await.json();
        assert_eq!(page["total"], 4);
        let torrents = page["torrents"].as_array().unwrap();
        names.extend(
            torrents.iter().map(|torrent| torrent["hash"].as_str().unwrap()[..2].to_owned()),
        );
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/torrents?limit=3&cursor={cursor}"),
            None => break,
        }
        // What was shown may go; the cursor stays good.
        scene.engine.torrents.lock().unwrap().retain(|torrent| torrent.snapshot.added_ms != 10);
        scene.engine.put(1, 10, &[]);
    }
    assert_eq!(names, ["01", "02", "09", "05"]);
}

#[tokio::test]
async fn a_list_that_did_not_change_is_not_sent_again() {
    let scene = Scene::new().await;
    scene.engine.put(1, 10, &[]);
    let tag = scene.get("/api/v1/torrents").await.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let known = [("If-None-Match", tag.as_str())];
    let answer = scene.send("GET /api/v1/torrents", &known, b"").await;
    assert_eq!((answer.status, answer.body.len(), answer.header("etag")), (304, 0, &*tag));
    scene.engine.put(2, 11, &[]);
    assert_eq!(scene.send("GET /api/v1/torrents", &known, b"").await.status, 200);
}

#[tokio::test]
async fn wrong_queries_name_their_field() {
    let scene = Scene::new().await;
    for (query, field) in [("limit=0", "limit"), ("limit=1001", "limit"), ("cursor=abc", "cursor")]
    {
        let answer = scene.get(&format!("/api/v1/torrents?{query}")).await;
        assert_eq!(answer.problem(), "invalid-input");
        assert_eq!(answer.json()["errors"][0]["field"], field);
    }
    for query in ["limit=x", "unknown=1", "limit=1&limit=2", "limit=%ff"] {
        assert_eq!(scene.get(&format!("/api/v1/torrents?{query}")).await.status, 422, "{query}");
    }
}

#[tokio::test]
async fn one_torrent_shows_all() {
    let scene = Scene::new().await;
    let id = scene.engine.put(7, 1, &[("a/b.txt", b"hello")]);
    let torrent = scene.get(&format!("/api/v1/torrents/{id}")).await.json();
    assert_eq!(torrent["hash"], id.as_str());
    assert_eq!((&torrent["progress"], &torrent["downBytesPerS"]), (&0.5.into(), &5.into()));
    assert_eq!((&torrent["state"], &torrent["addedMs"]), (&"downloading".into(), &1.into()));
    assert_eq!((&torrent["pieces"], &torrent["pieceCount"]), (&"/4A=".into(), &9.into()));
    assert_eq!(
        (&torrent["files"][0]["path"], &torrent["files"][0]["length"]),
        (&"a/b.txt".into(), &5.into())
    );
    assert_eq!(torrent["peerList"][0]["address"], "192.0.2.1:6881");
    assert_eq!(
        (&torrent["trackers"][0]["status"], &torrent["trackers"][0]["nextAnnounceS"]),
        (&"working".into(), &60.into())
    );
    assert_eq!(torrent["settings"]["sequential"], false);
    let upper = scene.get(&format!("/api/v1/torrents/{}", "0A".repeat(20))).await;
    assert_eq!((upper.status, upper.problem().as_str()), (404, "not-found"));
}

#[tokio::test]
async fn settings_change_one_by_one_and_trackers_are_not_shown() {
    let scene = Scene::new().await;
    let path = format!("/api/v1/torrents/{}", scene.engine.put(7, 1, &[]));
    let json = r#"{"priorities": [0, 7], "trackers": ["http://t.example/?passkey=s3cret"]}"#;
    assert_eq!(scene.send_json(&format!("PATCH {path}"), json).await.status, 200);
    let answer = scene.send_json(&format!("PATCH {path}"), r#"{"sequential": true}"#).await;
    assert!(!String::from_utf8_lossy(&answer.body).contains("s3cret"));
    let shown = &answer.json()["settings"];
    assert_eq!((&shown["sequential"], &shown["priorities"][1]), (&true.into(), &7.into()));
    let commands = scene.engine.commands.lock().unwrap();
    let Some(Command::Set { settings, .. }) = commands.last() else { panic!("{commands:?}") };
    assert_eq!(settings.priorities, [FilePriority::SKIP, FilePriority::HIGH]);
    assert_eq!(settings.trackers.len(), 1);
}

#[tokio::test]
async fn actions_become_commands() {
    let scene = Scene::new().await;
    let path = format!("/api/v1/torrents/{}", scene.engine.put(7, 1, &[]));
    let actions = ["start", "stop", "recheck", "pause-recheck", "resume-recheck", "reannounce"];
    for action in actions {
        let answer = scene.send(&format!("POST {path}/actions/{action}"), &[], b"").await;
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{action}");
    }
    let id = TorrentId([7; 20]);
    let expected = [
        Command::Start(id),
        Command::Stop(id),
        Command::Verify(id),
        Command::PauseVerify { id, paused: true },
        Command::PauseVerify { id, paused: false },
        Command::Reannounce(id),
    ];
    assert_eq!(*scene.engine.commands.lock().unwrap(), expected);
    let unknown = format!("POST /api/v1/torrents/{}/actions/start", "ab".repeat(20));
    assert_eq!(scene.send(&unknown, &[], b"").await.problem(), "not-found");
}

#[tokio::test]
async fn data_is_deleted_only_if_that_is_said() {
    let scene = Scene::new().await;
    for (query, with_data) in [("", false), ("?data=false", false), ("?data=true", true)] {
        let path = format!("/api/v1/torrents/{}", scene.engine.put(7, 1, &[]));
        let answer = scene.send(&format!("DELETE {path}{query}"), &[], b"").await;
        assert_eq!(answer.status, 204, "{query}");
        let remove = RemoveTorrent { id: TorrentId([7; 20]), with_data };
        let commands = std::mem::take(&mut *scene.engine.commands.lock().unwrap());
        assert_eq!(commands, [Command::Remove(remove)], "{query}");
        assert_eq!(scene.send(&format!("DELETE {path}"), &[], b"").await.status, 404);
        scene.engine.commands.lock().unwrap().clear();
    }
    let path = format!("/api/v1/torrents/{}", scene.engine.put(7, 1, &[]));
    for query in ["?data=yes", "?date=true", "?data"] {
        let answer = scene.send(&format!("DELETE {path}{query}"), &[], b"").await;
        assert_eq!(answer.status, 422, "{query}");
    }
}

#[tokio::test]
async fn refusals_of_the_engine_have_their_status() {
    let scene = Scene::new().await;
    let cases = [
        (ErrorCode::NotFound, 404, "not-found"),
        (ErrorCode::Conflict, 409, "conflict"),
        (ErrorCode::Storage, 507, "storage"),
        (ErrorCode::Busy, 503, "busy"),
        (ErrorCode::ShuttingDown, 503, "shutting-down"),
        (ErrorCode::Internal, 500, "internal"),
    ];
    for (code, status, problem) in cases {
        scene.engine.fail(code);
        let answer = scene.get("/api/v1/torrents").await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, problem));
        assert_eq!(answer.header("retry-after").is_empty(), code != ErrorCode::Busy);
    }
}
