//! Reading, making ready, deleting.

use std::os::unix::fs::PermissionsExt;

use bittorrent::BlockRef;
use bittorrent::wire::{Message, codec};
use bytes::BytesMut;

use super::*;

fn block(piece: u32, begin: u32, length: u32) -> BlockRef {
    BlockRef { piece: PieceIndex(piece), begin, length }
}

#[test]
fn blocks_are_read_as_the_codec_writes_them() {
    let torrent =
        torrent(&[file("a", 40_000), pad(25_536), file("b/c", 1), file("d", 80_000)], 65_536);
    sim(|env| async move {
        let mut storage = Storage::start(&env, &torrent, Path::new("/d")).await;
        storage.store_all(&torrent, &[0, 1, 2]).await;
        let mut wanted = vec![block(2, 14_000, 400), block(0, 39_990, 20), block(1, 1, 1)];
        wanted.extend((0..4).map(|n| block(0, n * 16_384, 16_384)));
        wanted.extend((0..4).map(|n| block(1, n * 16_384, 16_384)));
        let mut expected = BytesMut::new();
        for &BlockRef { piece, begin, length } in &wanted {
            let bytes = torrent.piece(piece.0);
            let block = bytes.slice(begin as usize..(begin + length) as usize);
            codec::encode(&Message::Piece { piece, begin, block }, &mut expected);
        }
        // Whatever was in the buffer before is written over, and its memory used again.
        let reuse = BytesMut::from(vec![7; expected.len() + 100].as_slice());
        let memory = reuse.as_ptr().addr();
        let read = storage.files.read_blocks(wanted, reuse).await.unwrap();
        assert!(read == expected);
        assert_eq!(read.as_ptr().addr(), memory);
        let read = storage.files.read_blocks(vec![block(1, 0, 9)], BytesMut::new()).await.unwrap();
        assert_eq!(read.len(), 22);
    });
}

#[test]
fn what_is_not_there_is_not_read() {
    let torrent = torrent(&[file("a", 40_000), file("b", 40_000)], 32_768);
    let (mut world, host) = world(1);
    world.disk(host).put("/d/t/a", &torrent.data[..20_000]);
    live(&mut world, host, |env| async move {
        let storage = Storage::start(&env, &torrent, Path::new("/d")).await;
        let path = |name| PathBuf::from("/d/t").join(name);
        let (a, b) = (path("a"), path("b"));
        let read = storage.files.read(PieceIndex(0), 0, 20_000).await.unwrap();
        assert_eq!(read, torrent.data[..20_000]);
        let short = storage.files.read(PieceIndex(0), 0, 20_001).await;
        assert_eq!(short, Err(StorageError::Missing { path: a }));
        let missing = storage.files.read(PieceIndex(2), 0, 1).await;
        assert_eq!(missing, Err(StorageError::Missing { path: b }));
        for bad in [
            block(0, 0, 0),
            block(0, 32_768, 1),
            block(0, 1, 32_768),
            block(2, 14_464, 1),
            block(3, 0, 1),
            block(u32::MAX, u32::MAX, u32::MAX),
        ] {
            let result = storage.files.read_blocks(vec![bad], BytesMut::new()).await;
            assert_eq!(result, Err(StorageError::OutOfRange(bad)));
        }
    });
}

#[test]
fn prepare_makes_what_is_wanted_and_delete_leaves_what_is_not_ours() {
    let specs = [
        file("a", 3),
        file("empty", 0),
        file("deep/down/empty", 0),
        file("unwanted/empty", 0),
        link("deep/down/link"),
        link("top"),
        pad(5),
    ];
    let torrent = torrent(&specs, 16_384);
    real(|env, dir| async move {
        let mut storage = Storage::start(&env, &torrent, &dir).await;
        let wanted = [true, true, true, false, true, true, true];
        for _ in 0..2 {
            storage.files.prepare(&wanted).await.unwrap();
        }
        let top = dir.join("t");
        assert!(top.join("empty").is_file() && top.join("deep/down/empty").is_file());
        assert!(!top.join("unwanted").exists() && !top.join("a").exists());
        assert_eq!(std::fs::read_link(top.join("deep/down/link")).unwrap(), Path::new("../../a"));
        assert_eq!(std::fs::read_link(top.join("top")).unwrap(), Path::new("a"));
        storage.store_all(&torrent, &[0]).await;
        assert_eq!(std::fs::read(top.join("deep/down/link")).unwrap(), torrent.data[..3]);

        std::fs::write(top.join("deep/mine"), "mine").unwrap();
        std::fs::write(dir.join("other"), "other").unwrap();
        storage.files.delete().await.unwrap();
        assert_eq!(std::fs::read(top.join("deep/mine")).unwrap(), b"mine");
        assert!(!top.join("a").exists() && !top.join("deep/down").exists());
        assert!(std::fs::symlink_metadata(top.join("top")).is_err());
        assert_eq!(storage.files.read(PieceIndex(0), 0, 1).await, Err(StorageError::Deleted));
        // Nothing that comes late brings a file back.
        storage.store(0, &torrent.piece(0));
        let piece = PieceIndex(0);
        let failed = StorageEvent::Failed { piece, error: StorageError::Deleted };
        assert_eq!(storage.event().await, failed);
        std::fs::remove_file(top.join("deep/mine")).unwrap();
        storage.files.delete().await.unwrap();
        assert!(!top.exists() && dir.join("other").exists());
    });
}

#[test]
fn an_executable_file_can_be_run() {
    let program = Spec { attr: "x", ..file("program", 300) };
    let torrent = torrent(&[program, file("data", 300)], 16_384);
    real(|env, dir| async move {
        let mut storage = Storage::start(&env, &torrent, &dir).await;
        storage.store_all(&torrent, &[0]).await;
        let mode = |name: &str| {
            let facts = std::fs::metadata(dir.join("t").join(name)).unwrap();
            facts.permissions().mode() & 0o111
        };
        assert!(mode("program") != 0 && mode("data") == 0);
    });
}

#[test]
fn room_is_taken_at_once_if_asked_for() {
    let torrent = torrent(&[file("a", 300_000), file("b", 5)], 16_384);
    real(|env, dir| async move {
        let pool = DiskPool::new(env, &DiskConfig::default());
        let files = TorrentFiles::new(pool, torrent.info, dir.clone(), true);
        files.prepare(&[true, false]).await.unwrap();
        assert_eq!(std::fs::metadata(dir.join("t/a")).unwrap().len(), 300_000);
        assert!(!dir.join("t/b").exists());
    });
}

#[test]
fn few_files_are_kept_open_however_many_there_are() {
    let specs: Vec<_> = (0..100).map(|n| file(&format!("{n}"), 1000)).collect();
    let torrent = torrent(&specs, 16_384);
    sim(|env| async move {
        let config = DiskConfig { max_open_files: 8, ..DiskConfig::default() };
        let pool = DiskPool::new(env, &config);
        let mut storage = Storage::start_in(&pool, &torrent, Path::new("/d")).await;
        storage.store_all(&torrent, &torrent.pieces().collect::<Vec<_>>()).await;
        assert_eq!(pool.shared.handles.len(), 8);
        let all = Bitfield::full(torrent.info.piece_count());
        assert_eq!(storage.check(all.clone()).await, StorageEvent::Checked { have: all });
        assert_eq!(pool.shared.handles.len(), 8);
        storage.files.close().await.unwrap();
        assert_eq!(pool.shared.handles.len(), 0);
    });
}
