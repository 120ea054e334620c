//! Rechecks.

use super::*;

const LEN: usize = 20_000;

/// Twenty pieces in two files, the second with a run of zeros.
fn two_files() -> Torrent {
    torrent(&[file("a", 10 * LEN - 5), file("b", 5), zeros("c", 8 * LEN), file("d", 2 * LEN)], LEN)
}

#[test]
fn finds_what_is_there_and_passes_over_what_is_not() {
    let torrent = two_files();
    let (mut world, host) = world(1);
    let disk = world.disk(host).clone();
    let mut a = torrent.data[..10 * LEN - 5].to_vec();
    a[3 * LEN] ^= 1;
    disk.put("/d/t/a", &a);
    disk.put("/d/t/d", &torrent.data[18 * LEN..19 * LEN + 7]);
    live(&mut world, host, |env| async move {
        let mut storage = Storage::start(&env, &torrent, Path::new("/d")).await;
        let StorageEvent::Checked { have } = storage.check(Bitfield::full(20)).await else {
            panic!()
        };
        assert_eq!(numbers(&have), [0, 1, 2, 4, 5, 6, 7, 8, 18]);
        let asked = bits(20, &[1, 3, 9, 19]);
        let checked = storage.check(asked).await;
        assert_eq!(checked, StorageEvent::Checked { have: bits(20, &[1]) });
        let none = storage.check(Bitfield::new(20)).await;
        assert_eq!(none, StorageEvent::Checked { have: Bitfield::new(20) });
    });
}

#[test]
fn a_hole_is_right_where_zeros_are() {
    let torrent = two_files();
    real(|env, dir| async move {
        let mut storage = Storage::start(&env, &torrent, &dir).await;
        storage.store_all(&torrent, &[0, 9]).await;
        for (name, length) in [("a", 10 * LEN - 5), ("c", 8 * LEN), ("d", 2 * LEN)] {
            let path = dir.join("t").join(name);
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            file.set_len(length as u64).unwrap();
        }
        let StorageEvent::Checked { have } = storage.check(Bitfield::full(20)).await else {
            panic!()
        };
        assert_eq!(numbers(&have), [0, 9, 10, 11, 12, 13, 14, 15, 16, 17]);
    });
}

#[test]
fn large_pieces_are_read_in_steps() {
    let torrent = torrent(&[file("a", 3 << 20), file("b", (2 << 20) + 1)], 2 << 20);
    sim(|env| async move {
        let mut storage = Storage::start(&env, &torrent, Path::new("/d")).await;
        for piece in [0, 1] {
            let half = |begin| torrent.blocks(piece, begin, 1 << 20);
            storage.row(piece, 0, half(0));
            storage.row(piece, 1 << 20, half(1 << 20));
        }
        storage.verdict().await;
        storage.verdict().await;
        storage.store_all(&torrent, &[2]).await;
        let all = Bitfield::full(3);
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let on_progress: OnProgress =
            Arc::new(move |checked, total| tell.lock().unwrap().push((checked, total)));
        assert_eq!(check(&storage.files, &all, on_progress).await, Ok(all));
        assert_eq!(told.lock().unwrap().last(), Some(&(3, 3)));
    });
}

#[test]
fn a_recheck_can_wait_and_be_given_up() {
    let torrent = torrent(&[file("a", 4000 * 16_384)], 16_384);
    let (mut world, host) = world(1);
    world.disk(host).put("/d/t/a", &torrent.data);
    live(&mut world, host, |env| async move {
        let mut storage = Storage::start(&env, &torrent, Path::new("/d")).await;
        let all = Bitfield::full(4000);
        storage.tell(StorageMsg::Check { pieces: all.clone() });
        storage.tell(StorageMsg::PauseCheck(true));
        let waited = env.timeout(Duration::from_secs(10), storage.verdict()).await;
        assert_eq!(waited, None);
        storage.tell(StorageMsg::PauseCheck(false));
        assert_eq!(storage.verdict().await, StorageEvent::Checked { have: all.clone() });
        storage.tell(StorageMsg::Check { pieces: all.clone() });
        storage.tell(StorageMsg::CancelCheck);
        assert_eq!(env.timeout(Duration::from_secs(10), storage.verdict()).await, None);
        // One that is replaced is not told; nothing is left running.
        storage.tell(StorageMsg::Check { pieces: all });
        storage.tell(StorageMsg::Check { pieces: bits(4000, &[7]) });
        let checked = StorageEvent::Checked { have: bits(4000, &[7]) };
        assert_eq!(storage.verdict().await, checked);
        assert_eq!(env.timeout(Duration::from_secs(10), storage.verdict()).await, None);
        assert_eq!(env.live().get("recheck worker"), None);
    });
}
