//! Disks that are full, read-only or broken, and power cuts.

use env::sim::{DiskFaults, Kill};

use super::*;

fn fault(disk: &env::sim::SimDisk, faults: DiskFaults) {
    disk.set_faults(faults);
}

#[test]
fn a_fault_fails_the_piece_and_ends_with_its_cause() {
    let torrent = torrent(&[file("a", 50_000), file("b", 50_000)], 32_768);
    let (mut world, host) = world(1);
    let disk = world.disk(host).clone();
    live(&mut world, host, |env| async move {
        let mut storage = Storage::start(&env, &torrent, Path::new("/d")).await;
        let path = PathBuf::from("/d/t/a");
        let message = std::io::Error::from_raw_os_error(5).to_string();
        let full = DiskFaults { capacity: Some(20_000), ..DiskFaults::default() };
        let broken = DiskFaults { writes_fail: true, ..DiskFaults::default() };
        let read_only = DiskFaults { read_only: true, ..DiskFaults::default() };
        for (faults, error) in [
            (full, StorageError::Full { path: path.clone() }),
            (broken, StorageError::Io { path: path.clone(), message }),
            (read_only, StorageError::ReadOnly { path }),
        ] {
            fault(&disk, faults);
            storage.store(0, &torrent.piece(0));
            let piece = PieceIndex(0);
            assert_eq!(storage.event().await, StorageEvent::Failed { piece, error });
        }
        fault(&disk, DiskFaults::default());
        storage.store_all(&torrent, &[3, 0, 1, 2]).await;
        fault(&disk, DiskFaults { reads_fail: true, ..DiskFaults::default() });
        let read = storage.files.read(PieceIndex(0), 0, 1).await;
        assert!(matches!(read, Err(StorageError::Io { .. })), "{read:?}");
        let checked = storage.check(Bitfield::full(4)).await;
        assert!(matches!(checked, StorageEvent::CheckFailed(StorageError::Io { .. })));
    });
}

#[test]
fn a_full_disk_loses_no_piece_that_fits() {
    let torrent = torrent(&[file("a", 65_536), file("b", 65_536)], 16_384);
    let (mut world, host) = world(1);
    let disk = world.disk(host).clone();
    fault(&disk, DiskFaults { capacity: Some(65_536), ..DiskFaults::default() });
    live(&mut world, host, |env| async move {
        let mut storage = Storage::start(&env, &torrent, Path::new("/d")).await;
        torrent.pieces().for_each(|piece| storage.store(piece, &torrent.piece(piece)));
        let (mut verified, mut failed) = (0, 0);
        for _ in torrent.pieces() {
            match storage.event().await {
                StorageEvent::Verified { .. } => verified += 1,
                StorageEvent::Failed { error: StorageError::Full { .. }, .. } => failed += 1,
                event => panic!("{event:?}"),
            }
        }
        assert_eq!((verified, failed), (4, 4));
    });
}

#[test]
fn room_that_is_missing_is_found_before_anything_is_taken() {
    let torrent = torrent(&[file("a", 50_000), file("b", 50_000)], 32_768);
    let (mut world, host) = world(1);
    let disk = world.disk(host).clone();
    fault(&disk, DiskFaults { capacity: Some(99_999), ..DiskFaults::default() });
    let result = live(&mut world, host, |env| async move {
        let pool = DiskPool::new(env, &DiskConfig::default());
        let files = TorrentFiles::new(pool, torrent.info, "/d".into(), true);
        files.prepare(&[true, false]).await.unwrap();
        files.prepare(&[true, true]).await
    });
    assert_eq!(result, Err(StorageError::Full { path: "/d".into() }));
    assert_eq!(disk.paths(), [Path::new("/d/t/a")]);
}

#[test]
fn a_flush_that_fails_claims_nothing_it_was_for() {
    let torrent = torrent(&[file("a", 65_536)], 16_384);
    let (mut world, host) = world(1);
    let disk = world.disk(host).clone();
    live(&mut world, host, |env| async move {
        let mut storage = Storage::start(&env, &torrent, Path::new("/d")).await;
        storage.store_all(&torrent, &[0]).await;
        assert_eq!(numbers(&storage.flush().await.unwrap().durable), [0]);
        storage.store_all(&torrent, &[1]).await;
        fault(&disk, DiskFaults { writes_fail: true, ..DiskFaults::default() });
        let failed = storage.flush().await;
        assert!(matches!(failed, Err(StorageError::Io { .. })), "{failed:?}");
        fault(&disk, DiskFaults::default());
        storage.store_all(&torrent, &[2]).await;
        assert_eq!(numbers(&storage.flush().await.unwrap().durable), [0, 2]);
        // A recheck finds it again, and a flush makes it durable.
        storage.check(Bitfield::full(4)).await;
        assert_eq!(numbers(&storage.flush().await.unwrap().durable), [0, 1, 2]);
    });
}

#[test]
fn a_flush_claims_what_was_written_before_it_and_no_more() {
    let torrent = torrent(&[file("a", 16_384 * 8)], 16_384);
    let (mut world, host) = world(1);
    live(&mut world, host, |env| async move {
        let mut storage = Storage::start(&env, &torrent, Path::new("/d")).await;
        storage.store_all(&torrent, &[0, 1]).await;
        storage.store(2, &torrent.piece(2));
        // Asked twice at once: the second is for what came in between.
        let (first, second) = (storage.begin_flush(), storage.begin_flush());
        assert_eq!(numbers(&first.await.unwrap().unwrap().durable), [0, 1]);
        assert!(second.await.unwrap().unwrap().durable.contains(PieceIndex(1)));
        storage.event().await;
        assert_eq!(numbers(&storage.flush().await.unwrap().durable), [0, 1, 2]);
    });
}

/// Stores, flushes at times, and loses its power somewhere; gives what was claimed, and what is there.
fn cut_power(seed: u64) -> (Vec<u32>, Vec<u32>) {
    let specs = [file("a", 70_000), file("x/b", 0), file("x/y/c", 120_000), file("d", 9)];
    let torrent = torrent(&specs, 16_384);
    let (mut world, host) = world(seed);
    let claimed = Arc::new(Mutex::new(Bitfield::new(torrent.info.piece_count())));
    let (claim, of) = (Arc::clone(&claimed), torrent.clone());
    world.start(host, |env| {
        Box::pin(async move {
            let mut storage = Storage::start(&env, &of, Path::new("/d")).await;
            for piece in of.pieces() {
                storage.store(piece, &of.piece(piece));
                if (seed + u64::from(piece)).is_multiple_of(3) {
                    let flushed = storage.flush().await.unwrap();
                    *claim.lock().unwrap() = flushed.durable;
                }
                if seed.is_multiple_of(2) {
                    storage.event().await;
                }
            }
            std::future::pending().await
        })
    });
    world.run_for(Duration::from_millis(seed % 40));
    world.kill(host, Kill::Power);
    let have = live(&mut world, host, |env| async move {
        let mut storage = Storage::start(&env, &torrent, Path::new("/d")).await;
        match storage.check(Bitfield::full(torrent.info.piece_count())).await {
            StorageEvent::Checked { have } => have,
            event => panic!("{event:?}"),
        }
    });
    let claimed = claimed.lock().unwrap().clone();
    (numbers(&claimed), numbers(&have))
}

#[test]
fn a_power_cut_at_any_time_leaves_what_was_claimed() {
    let mut claims = 0;
    for seed in 0..200 {
        let (claimed, have) = cut_power(seed);
        let lost: Vec<_> = claimed.iter().filter(|piece| !have.contains(piece)).collect();
        assert!(lost.is_empty(), "seed {seed}: claimed {claimed:?}, there {have:?}");
        claims += claimed.len();
    }
    assert!(claims > 200, "{claims}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(cut_power(17), cut_power(17));
}
