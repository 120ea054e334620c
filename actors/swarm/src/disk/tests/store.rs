//! Pieces and rows that come in any order, right or wrong.

use bittorrent::suspects::digest;
use proptest::prelude::*;

use super::*;

const MIB: usize = 1 << 20;

/// Files of a torrent: odd lengths, empty ones, pads and zeros.
fn layouts() -> impl Strategy<Value = (Vec<Spec>, usize)> {
    let one = (0_usize..70_000, 0_u8..6);
    let files = proptest::collection::vec(one, 1..8);
    (files, prop_oneof![Just(16_384_usize), Just(32_768), Just(10_000), Just(40_001)]).prop_map(
        |(files, piece_length)| {
            let spec = |(number, (length, kind)): (usize, (usize, u8))| match kind {
                0 => file(&format!("{number}"), 0),
                1 => pad(length),
                2 => zeros(&format!("d{number}/z"), length),
                _ => file(&format!("d{}/f{number}", number % 2), length + 1),
            };
            (files.into_iter().enumerate().map(spec).collect(), piece_length)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_layout_in_any_order_stands_on_disk_as_it_should(
        (files, piece_length) in layouts(),
        seed in any::<u64>(),
    ) {
        let torrent = torrent(&files, piece_length);
        let mut order: Vec<u32> = torrent.pieces().collect();
        order.sort_by_key(|&piece| (u64::from(piece) + 1).wrapping_mul(seed | 1) >> 7);
        let (mut world, host) = world(seed);
        let of = torrent.clone();
        let read = live(&mut world, host, |env| async move {
            let mut storage = Storage::start(&env, &of, Path::new("/d")).await;
            storage.files.prepare(&vec![true; of.info.files().len()]).await.unwrap();
            storage.store_all(&of, &order).await;
            let mut read = Vec::new();
            for piece in of.pieces() {
                let length = of.info.piece_len(PieceIndex(piece));
                read.extend(storage.files.read(PieceIndex(piece), 0, length).await.unwrap());
            }
            let all = Bitfield::full(of.info.piece_count());
            let checked = storage.check(all.clone()).await;
            assert_eq!(checked, StorageEvent::Checked { have: all });
            read
        });
        prop_assert_eq!(read, torrent.data.to_vec());
        let mut paths = Vec::new();
        for (path, bytes) in torrent.contents(Path::new("/d")) {
            prop_assert_eq!(world.disk(host).get(&path), Some(bytes.to_vec()), "{}", path.display());
            paths.push(path);
        }
        paths.sort();
        prop_assert_eq!(world.disk(host).paths(), paths);
    }
}

#[test]
fn the_real_disk_does_as_the_simulated_one() {
    let torrent = torrent(&[file("a", 100_001), file("b/c", 0), pad(5), file("d", 77_777)], 32_768);
    real(|env, dir| async move {
        let mut storage = Storage::start(&env, &torrent, &dir).await;
        storage.files.prepare(&[true; 4]).await.unwrap();
        let order: Vec<_> = torrent.pieces().rev().collect();
        storage.store_all(&torrent, &order).await;
        for (path, bytes) in torrent.contents(&dir) {
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "{}", path.display());
        }
        let flushed = storage.flush().await.unwrap();
        assert!(flushed.durable.is_full());
        let lengths: Vec<_> = flushed.files.iter().map(|file| file.map(|f| f.length)).collect();
        assert_eq!(lengths, [Some(100_001), Some(0), None, Some(77_777)]);
        assert!(flushed.files[0].unwrap().mtime_ns > 0);
        let all = Bitfield::full(torrent.info.piece_count());
        assert_eq!(storage.check(all.clone()).await, StorageEvent::Checked { have: all });
    });
}

#[test]
fn a_corrupt_piece_is_told_and_never_written() {
    let torrent = torrent(&[file("a", 100_000)], 50_000);
    let (mut world, host) = world(1);
    live(&mut world, host, |env| async move {
        let mut storage = Storage::start(&env, &torrent, Path::new("/d")).await;
        let bad = Bytes::from(vec![9; 50_000]);
        storage.store(0, &bad);
        let digests = blocks(&bad).iter().map(|block| digest(block)).collect();
        let piece = PieceIndex(0);
        assert_eq!(storage.event().await, StorageEvent::Corrupt { piece, digests });
        // The right one beside it is stored, and its digests are told when they are wanted.
        storage.store(0, &bad);
        let (piece, blocks) = (PieceIndex(1), torrent.blocks(1, 0, 50_000));
        let digests = Some(blocks.iter().map(|block| digest(block)).collect());
        storage.tell(StorageMsg::Store { piece, blocks, digests_wanted: true });
        assert!(matches!(storage.event().await, StorageEvent::Corrupt { .. }));
        assert_eq!(storage.event().await, StorageEvent::Verified { piece, digests });
    });
    let on_disk = world.disk(host).get("/d/t/a").unwrap();
    assert!(on_disk[..50_000].iter().all(|&byte| byte == 0));
}

#[test]
fn blocks_that_do_not_fill_a_piece_are_refused() {
    let torrent = torrent(&[file("a", 100_000)], 50_000);
    sim(|env| async move {
        let mut storage = Storage::start(&env, &torrent, Path::new("/d")).await;
        for (piece, length) in [(0, 49_999), (1, 0), (2, 50_000), (u32::MAX, 1)] {
            storage.store(piece, &Bytes::from(vec![0; length]));
            let event = storage.event().await;
            let StorageEvent::Failed { error: StorageError::OutOfRange(_), .. } = event else {
                panic!("{event:?}")
            };
        }
        storage.row(0, 16_384, torrent.blocks(0, 16_384, 16_384));
        assert!(matches!(storage.event().await, StorageEvent::Failed { .. }));
    });
}

/// Sends the rows of a piece of 5 MiB and 5 bytes in this order.
fn send_rows(storage: &Storage, torrent: &Torrent, order: &[u32], spoil: Option<u32>) {
    for &row in order {
        let begin = row as usize * MIB;
        let length = MIB.min(5 * MIB + 5 - begin);
        let mut blocks = torrent.blocks(0, begin, length);
        if spoil == Some(row) {
            blocks[0] = vec![0; blocks[0].len()].into();
        }
        storage.row(0, row << 20, blocks);
    }
}

#[test]
fn rows_of_a_large_piece_come_in_any_order() {
    let torrent = torrent(&[file("a", 3 * MIB + 7), file("b", 2 * MIB - 2)], 8 * MIB);
    let digests: Vec<_> = blocks(&torrent.piece(0)).iter().map(|block| digest(block)).collect();
    for order in [
        [0, 1, 2, 3, 4, 5],
        [5, 4, 3, 2, 1, 0],
        [1, 0, 4, 5, 3, 2],
        [0, 2, 1, 5, 3, 4],
        [2, 3, 0, 1, 5, 4],
    ] {
        let (mut world, host) = world(1);
        let (of, digests) = (torrent.clone(), digests.clone());
        live(&mut world, host, |env| async move {
            let mut storage = Storage::start(&env, &of, Path::new("/d")).await;
            send_rows(&storage, &of, &order, None);
            let mut stored = 0;
            loop {
                match storage.event().await {
                    StorageEvent::RowStored { length, .. } => stored += length as usize,
                    event => {
                        let (piece, digests) = (PieceIndex(0), Some(digests));
                        assert_eq!(event, StorageEvent::Verified { piece, digests }, "{order:?}");
                        break;
                    }
                }
            }
            assert_eq!(stored, 5 * MIB + 5, "{order:?}");
        });
        for (path, bytes) in torrent.contents(Path::new("/d")) {
            assert!(world.disk(host).get(&path).unwrap() == bytes, "{order:?} {}", path.display());
        }
    }
}

#[test]
fn a_wrong_row_convicts_the_piece_which_can_then_be_had_again() {
    let torrent = torrent(&[file("a", 5 * MIB + 5)], 8 * MIB);
    let right: Vec<_> = blocks(&torrent.piece(0)).iter().map(|block| digest(block)).collect();
    sim(|env| async move {
        let mut storage = Storage::start(&env, &torrent, Path::new("/d")).await;
        send_rows(&storage, &torrent, &[4, 0, 1, 2, 5, 3], Some(2));
        let StorageEvent::Corrupt { digests, .. } = storage.verdict().await else { panic!() };
        let differing = digests.iter().zip(&right).filter(|(told, right)| told != right).count();
        assert_eq!((digests.len(), differing), (right.len(), 1));
        assert_ne!(digests[128], right[128]);
        send_rows(&storage, &torrent, &[0, 1, 2, 3, 4, 5], None);
        assert!(matches!(storage.verdict().await, StorageEvent::Verified { .. }));
    });
}

#[test]
fn an_abandoned_try_does_not_touch_the_next() {
    let torrent = torrent(&[file("a", 5 * MIB + 5)], 8 * MIB);
    let (mut world, host) = world(1);
    let of = torrent.clone();
    live(&mut world, host, |env| async move {
        let mut storage = Storage::start(&env, &of, Path::new("/d")).await;
        for spoilt in [1, 3, 5] {
            send_rows(&storage, &of, &[5, 3, 0, 1], Some(spoilt));
            storage.tell(StorageMsg::Abandon(PieceIndex(0)));
        }
        send_rows(&storage, &of, &[1, 0, 2, 3, 5, 4], None);
        // A row that comes twice is not written twice.
        send_rows(&storage, &of, &[4, 1], Some(4));
        let event = storage.verdict().await;
        assert!(matches!(event, StorageEvent::Verified { .. }), "{event:?}");
    });
    assert!(world.disk(host).get("/d/t/a").unwrap() == torrent.data);
}

#[test]
fn a_single_piece_does_not_wait_and_many_are_done_together() {
    let torrent = torrent(&[file("a", 64 * 16_384)], 16_384);
    sim(|env| async move {
        let mut storage = Storage::start(&env, &torrent, Path::new("/d")).await;
        let start = env.now();
        storage.store_all(&torrent, &[0]).await;
        assert!(env.now().since(start) < Duration::from_micros(200), "it waited");
        let start = env.now();
        storage.store_all(&torrent, &[1]).await;
        let took = env.now().since(start);
        assert!(took >= Duration::from_millis(2) && took < Duration::from_millis(4), "{took:?}");
        let start = env.now();
        storage.store_all(&torrent, &(2..64).collect::<Vec<_>>()).await;
        let took = env.now().since(start);
        assert!(took < Duration::from_millis(5), "{took:?}");
    });
}
