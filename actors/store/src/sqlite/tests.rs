//! Tests of what only a file does; the rest is in the conformance suite.

use std::sync::Arc;
use std::time::Duration;

use control::FilePriority;
use proptest::prelude::*;

use super::*;
use crate::ownership::OwnershipStore as _;
use crate::record::Desired;

fn open(directory: &tempfile::TempDir) -> SqliteStore {
    SqliteStore::open(&directory.path().join("store.sqlite")).unwrap()
}

#[tokio::test]
async fn conforms() {
    let directory = tempfile::tempdir().unwrap();
    let nth = std::cell::Cell::new(0);
    crate::conformance::check(async || {
        nth.set(nth.get() + 1);
        let path = directory.path().join(format!("{}.sqlite", nth.get()));
        Arc::new(SqliteStore::open(&path).unwrap())
    })
    .await;
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (TorrentId([1; 20]), TorrentId([2; 20]));
    let mut record = TorrentRecord::new(first, 5);
    record.settings.priorities = vec![FilePriority::SKIP, FilePriority::HIGH];
    let metainfo = TorrentSource::Metainfo(Bytes::from_static(b"d4:infode"));
    let magnet = TorrentSource::Magnet("magnet:?xt=urn:btih:02".to_owned());
    let store = open(&directory);
    store
        .write(vec![
            Change::add(record.clone(), metainfo.clone()),
            Change::SetCheckpoint(first, Bytes::from_static(b"\xff\x00")),
            Change::add(TorrentRecord::new(second, 4), magnet.clone()),
            Change::SetMeta("node".to_owned(), Some(Bytes::from_static(b"n1"))),
        ])
        .await
        .unwrap();
    drop(store);
    let store = open(&directory);
    assert_eq!(store.torrent(first).await, Ok(record));
    assert_eq!(store.source(first).await, Ok(metainfo));
    assert_eq!(store.source(second).await, Ok(magnet));
    assert_eq!(store.checkpoint(first).await, Ok(Some(Bytes::from_static(b"\xff\x00"))));
    assert_eq!(store.meta("node").await, Ok(Some(Bytes::from_static(b"n1"))));
    assert_eq!(store.count().await, Ok(2));
}

#[tokio::test]
async fn a_damaged_or_newer_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.sqlite");
    drop(open(&directory));
    let newer = Schema {
        application_id: SCHEMA.application_id,
        migrations: &[
            include_str!("schema.sql"),
            include_str!("ownership.sql"),
            include_str!("outbox.sql"),
            "CREATE TABLE later(x)",
        ],
    };
    drop(Database::open(&path, &newer).unwrap());
    let error = SqliteStore::open(&path).unwrap_err();
    assert_eq!(error, StoreError::NewerSchema { found: 4, known: 3 });
    std::fs::write(&path, [7; 8192]).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_file_of_version_1_is_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let first =
        Schema { application_id: SCHEMA.application_id, migrations: &[include_str!("schema.sql")] };
    let database = Database::open(&directory.path().join("store.sqlite"), &first).unwrap();
    let insert = |connection: &Connection| -> Result<(), StoreError> {
        let sql = "INSERT INTO torrents VALUES (1, ?, NULL, NULL, 'old', 5, 1, NULL, 0, 9, 9, 9, 0, 0, 0, NULL, NULL)";
        connection.execute(sql, [[1_u8; 20].as_slice()])?;
        Ok(())
    };
    database.write(0, insert).await.unwrap();
    drop(database);
    let store = open(&directory);
    let id = TorrentId([1; 20]);
    assert_eq!(store.torrent(id).await.unwrap().name, "old");
    assert_eq!(store.ownership(id).await, Ok(control::TorrentRow::default()));
}

#[tokio::test]
async fn a_row_that_is_not_ours_is_named_corrupt() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let id = TorrentId([1; 20]);
    let source = TorrentSource::Magnet("magnet:?".to_owned());
    store.write(vec![Change::add(TorrentRecord::new(id, 5), source)]).await.unwrap();
    let spoil = |connection: &Connection| -> Result<(), StoreError> {
        connection.execute("UPDATE torrents SET settings = '{\"sequential\": 7}'", [])?;
        Ok(())
    };
    store.database.write(0, spoil).await.unwrap();
    assert!(matches!(store.torrent(id).await, Err(StoreError::Corrupt(_))));
    assert!(matches!(store.torrents(None, 10).await, Err(StoreError::Corrupt(_))));
}

fn any_record() -> impl Strategy<Value = TorrentRecord> {
    let text = "[^\\x00]{0,20}";
    let times = (0..u64::MAX / 2, proptest::option::of(0..u64::MAX / 2));
    let hashes = any::<(Option<[u8; 20]>, Option<[u8; 32]>)>();
    let flags = any::<(bool, bool)>();
    let totals = proptest::array::uniform4(0..u64::MAX / 2);
    (any::<[u8; 20]>(), text, times, hashes, flags, totals, proptest::option::of(text)).prop_map(
        |(id, name, (added_ms, completed_ms), (v1, v2), (is_private, running), totals, error)| {
            let mut record = TorrentRecord::new(TorrentId(id), added_ms);
            record.settings.trackers = error.iter().cloned().collect();
            record.settings.sequential = running;
            let [total_bytes, downloaded_bytes, uploaded_bytes, seeded_s] = totals;
            TorrentRecord {
                name,
                v1: v1.map(control::InfoHash),
                v2: v2.map(control::InfoHashV2),
                is_private,
                desired: if running { Desired::Running } else { Desired::Stopped },
                total_bytes,
                downloaded_bytes,
                uploaded_bytes,
                seeded_s,
                completed_ms,
                error,
                ..record
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn any_record_reads_back_as_it_was(records in proptest::collection::vec(any_record(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory);
        let mut added = std::collections::BTreeMap::new();
        for record in records {
            added.insert(record.id, record);
        }
        let source = TorrentSource::Magnet("magnet:?".to_owned());
        let changes = added.values().map(|r| Change::add(r.clone(), source.clone())).collect();
        runtime.block_on(async {
            store.write(changes).await.unwrap();
            for record in added.values() {
                prop_assert_eq!(&store.torrent(record.id).await.unwrap(), record);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn ten_thousand_torrents_are_added_in_one_go_and_listed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let metainfo = TorrentSource::Metainfo(Bytes::from(vec![b'x'; 1024]));
    let adds =
        (0..10_000).map(|n| Change::add(TorrentRecord::new(scattered(n), n), metainfo.clone()));
    #[expect(clippy::disallowed_methods, reason = "the time of the real disk is what is measured")]
    let begin = std::time::Instant::now();
    store.write(adds.collect()).await.unwrap();
    let mut listed = 0;
    let mut after = None;
    loop {
        let page = store.torrents(after, PAGE_LEN_MAX).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.page_key());
        listed += page.len();
    }
    assert_eq!(listed, 10_000);
    // Unoptimised it takes about 0.3 s; the bound is for a machine that does much else.
    let elapsed = begin.elapsed();
    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
}

/// An id that is as scattered as hashes are.
fn scattered(n: u64) -> TorrentId {
    let mut id = [0; 20];
    id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    TorrentId(id)
}

fn any_change() -> impl Strategy<Value = Change> {
    let id = || (0..3_u8).prop_map(|n| TorrentId([n; 20]));
    let record = || {
        (id(), 0..3_u64, any::<u32>()).prop_map(|(id, added_ms, uploaded)| TorrentRecord {
            uploaded_bytes: uploaded.into(),
            ..TorrentRecord::new(id, added_ms)
        })
    };
    let source = || "[a-z]{1,3}".prop_map(TorrentSource::Magnet);
    let bytes = || proptest::collection::vec(any::<u8>(), 0..4).prop_map(Bytes::from);
    prop_oneof![
        3 => (record(), source()).prop_map(|(record, source)| Change::add(record, source)),
        1 => record().prop_map(Change::update),
        1 => (id(), source()).prop_map(|(id, source)| Change::SetSource(id, source)),
        1 => (id(), bytes()).prop_map(|(id, data)| Change::SetCheckpoint(id, data)),
        1 => id().prop_map(Change::Remove),
        1 => ("[ab]", proptest::option::of(bytes())).prop_map(|(key, value)| Change::SetMeta(key, value)),
    ]
}

/// All that a store keeps, as text.
async fn contents(store: &dyn TorrentStore) -> String {
    let records = store.torrents(None, PAGE_LEN_MAX).await;
    let mut text = format!("{records:?} {:?}", store.count().await);
    for n in 0..3 {
        let id = TorrentId([n; 20]);
        text += &format!("{:?} {:?}", store.source(id).await, store.checkpoint(id).await);
    }
    text + &format!("{:?} {:?}", store.meta("a").await, store.meta("b").await)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn does_as_the_store_in_memory(
        writes in proptest::collection::vec(proptest::collection::vec(any_change(), 1..4), 1..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (file, memory) = (open(&directory), crate::MemoryStore::new());
        runtime.block_on(async {
            for changes in writes {
                let expected = memory.write(changes.clone()).await;
                prop_assert_eq!(file.write(changes.clone()).await, expected, "{:?}", changes);
                prop_assert_eq!(contents(&file).await, contents(&memory).await);
            }
            Ok(())
        })?;
    }
}
