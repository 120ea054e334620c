//! What every store has to do: one suite, run for each implementation.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "this is test code that other crates' tests call: a panic is how it fails"
)]

mod outbox;
mod ownership;

use std::sync::Arc;

use bytes::Bytes;
use control::{FilePriority, InfoHash, InfoHashV2, SeedGoals, TorrentId};

use crate::change::{CHECKPOINT_LEN_MAX, META_LEN_MAX, SOURCE_LEN_MAX};
use crate::{
    Change, Desired, Outbox, OwnershipStore, PAGE_LEN_MAX, StoreError, TorrentRecord,
    TorrentSource, TorrentStore,
};

/// Checks all that is promised, on stores that `fresh` makes, each empty.
pub async fn check<S: TorrentStore + OwnershipStore + Outbox + 'static>(
    fresh: impl AsyncFn() -> Arc<S>,
) {
    adds_and_gives_back(&*fresh().await).await;
    refuses_what_is_there_and_what_is_not(&*fresh().await).await;
    keeps_all_of_a_write_or_nothing(&*fresh().await).await;
    updates_in_place(&*fresh().await).await;
    lists_in_pages_by_age(&*fresh().await).await;
    removes_with_all_that_belongs_to_it(&*fresh().await).await;
    keeps_values_of_the_node(&*fresh().await).await;
    refuses_what_is_too_large(&*fresh().await).await;
    takes_writes_from_many_at_once(fresh().await).await;
    refuses_when_closed(&*fresh().await).await;
    ownership::check(&fresh).await;
    outbox::check(fresh).await;
}

fn id(n: u8) -> TorrentId {
    TorrentId([n; 20])
}

fn magnet(n: u8) -> TorrentSource {
    TorrentSource::Magnet(format!("magnet:?xt=urn:btih:{}", id(n)))
}

fn add(n: u8) -> Change {
    Change::add(TorrentRecord::new(id(n), u64::from(n)), magnet(n))
}

/// A record that has something in each field.
fn full_record(n: u8) -> TorrentRecord {
    let mut record = TorrentRecord::new(id(n), 1_700_000_000_000);
    record.settings.download_dir = Some("/srv/Größe".into());
    record.settings.sequential = true;
    record.settings.priorities = vec![FilePriority::SKIP, FilePriority::HIGH];
    record.settings.down_bytes_per_s = u64::MAX;
    record.settings.seed_goals = Some(SeedGoals { ratio: Some(1.5), seconds: Some(3600) });
    record.settings.trackers = vec!["http://tracker.example/announce".to_owned()];
    TorrentRecord {
        v1: Some(InfoHash([n; 20])),
        v2: Some(InfoHashV2([n; 32])),
        name: "a name 'with \"quotes\" — and more".to_owned(),
        desired: Desired::Stopped,
        is_private: true,
        total_bytes: 1 << 50,
        wanted_bytes: 7,
        have_bytes: 6,
        downloaded_bytes: i64::MAX.unsigned_abs(),
        uploaded_bytes: 3,
        seeded_s: 86_400,
        completed_ms: Some(0),
        error: Some("no space left".to_owned()),
        ..record
    }
}

async fn adds_and_gives_back(store: &dyn TorrentStore) {
    let metainfo = TorrentSource::Metainfo(Bytes::from_static(b"d4:info\x00\xffe"));
    let record = full_record(1);
    store.write(vec![Change::add(record.clone(), metainfo.clone()), add(2)]).await.unwrap();
    assert_eq!(store.torrent(id(1)).await, Ok(record));
    assert_eq!(store.torrent(id(2)).await, Ok(TorrentRecord::new(id(2), 2)));
    assert_eq!(store.source(id(1)).await, Ok(metainfo));
    assert_eq!(store.source(id(2)).await, Ok(magnet(2)));
    assert_eq!(store.checkpoint(id(1)).await, Ok(None));
    assert_eq!(store.count().await, Ok(2));
}

async fn refuses_what_is_there_and_what_is_not(store: &dyn TorrentStore) {
    store.write(vec![add(1)]).await.unwrap();
    let other = Change::add(full_record(1), magnet(9));
    assert_eq!(store.write(vec![other]).await, Err(StoreError::Conflict(id(1))));
    assert_eq!(store.source(id(1)).await, Ok(magnet(1)));
    let missing = Err(StoreError::NotFound(id(2)));
    assert_eq!(store.write(vec![Change::update(full_record(2))]).await, missing);
    assert_eq!(store.write(vec![Change::SetSource(id(2), magnet(2))]).await, missing);
    assert_eq!(store.write(vec![Change::SetCheckpoint(id(2), Bytes::new())]).await, missing);
    assert_eq!(store.write(vec![Change::Remove(id(2))]).await, missing);
    assert_eq!(store.torrent(id(2)).await, Err(StoreError::NotFound(id(2))));
    assert_eq!(store.source(id(2)).await, Err(StoreError::NotFound(id(2))));
    assert_eq!(store.checkpoint(id(2)).await, Err(StoreError::NotFound(id(2))));
}

async fn keeps_all_of_a_write_or_nothing(store: &dyn TorrentStore) {
    let value = Some(Bytes::from_static(b"v"));
    store.write(vec![add(1), Change::SetMeta("k".to_owned(), value.clone())]).await.unwrap();
    let changes = vec![
        add(2),
        Change::update(full_record(1)),
        Change::SetSource(id(1), magnet(7)),
        Change::SetCheckpoint(id(1), Bytes::from_static(b"c")),
        Change::SetMeta("k".to_owned(), None),
        Change::SetMeta("l".to_owned(), value.clone()),
        Change::Remove(id(1)),
        add(3),
        Change::Remove(id(9)),
    ];
    assert_eq!(store.write(changes).await, Err(StoreError::NotFound(id(9))));
    assert_eq!(store.torrents(None, 10).await, Ok(vec![TorrentRecord::new(id(1), 1)]));
    assert_eq!(store.source(id(1)).await, Ok(magnet(1)));
    assert_eq!(store.checkpoint(id(1)).await, Ok(None));
    assert_eq!(store.meta("k").await, Ok(value));
    assert_eq!(store.meta("l").await, Ok(None));
    store.write(vec![]).await.unwrap();
}

async fn updates_in_place(store: &dyn TorrentStore) {
    store.write(vec![add(1), add(2)]).await.unwrap();
    store.write(vec![Change::SetCheckpoint(id(1), Bytes::from_static(b"one"))]).await.unwrap();
    let metainfo = TorrentSource::Metainfo(Bytes::from_static(b"de"));
    let changes = vec![
        Change::update(full_record(1)),
        Change::SetSource(id(1), metainfo.clone()),
        Change::SetCheckpoint(id(1), Bytes::from_static(b"two")),
    ];
    store.write(changes).await.unwrap();
    // The time it was added decides its place in the list, so it stays.
    let expected = TorrentRecord { added_ms: 1, ..full_record(1) };
    assert_eq!(store.torrent(id(1)).await, Ok(expected.clone()));
    assert_eq!(store.source(id(1)).await, Ok(metainfo));
    assert_eq!(store.checkpoint(id(1)).await, Ok(Some(Bytes::from_static(b"two"))));
    let list = vec![expected, TorrentRecord::new(id(2), 2)];
    assert_eq!(store.torrents(None, 10).await, Ok(list));
}

async fn lists_in_pages_by_age(store: &dyn TorrentStore) {
    assert_eq!(store.torrents(None, 10).await, Ok(vec![]));
    // Three of the same time: then the id decides. Added in another order than they are listed.
    let record = |n: u8, added_ms| TorrentRecord::new(id(n), added_ms);
    let expected = [record(9, 0), record(3, 5), record(4, 5), record(200, 5), record(1, 6)];
    let order = [2, 0, 4, 1, 3];
    for n in order {
        let add = expected.get(n).cloned().map(|record| Change::add(record, magnet(1)));
        store.write(add.into_iter().collect()).await.unwrap();
    }
    for page_len in [1, 2, 3, 5, 100, usize::MAX] {
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let page = store.torrents(after, page_len).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= page_len);
            after = Some(last.page_key());
            listed.extend(page);
        }
        assert_eq!(listed, expected, "pages of {page_len}");
    }
    let many: Vec<Change> = (0..=PAGE_LEN_MAX)
        .map(|n| {
            let mut id = [0xff; 20];
            id.iter_mut().zip(n.to_le_bytes()).for_each(|(to, from)| *to = from);
            Change::add(TorrentRecord::new(TorrentId(id), 7), magnet(1))
        })
        .collect();
    store.write(many).await.unwrap();
    assert_eq!(store.torrents(None, usize::MAX).await.unwrap().len(), PAGE_LEN_MAX);
    assert_eq!(store.torrents(None, 0).await, Ok(vec![]));
}

async fn removes_with_all_that_belongs_to_it(store: &dyn TorrentStore) {
    store.write(vec![add(1), add(2)]).await.unwrap();
    store.write(vec![Change::SetCheckpoint(id(1), Bytes::from_static(b"c"))]).await.unwrap();
    store.write(vec![Change::Remove(id(1))]).await.unwrap();
    assert_eq!(store.torrent(id(1)).await, Err(StoreError::NotFound(id(1))));
    assert_eq!(store.source(id(1)).await, Err(StoreError::NotFound(id(1))));
    assert_eq!(store.count().await, Ok(1));
    // Added again, it has nothing of the one before; and one write may do both.
    store.write(vec![add(1)]).await.unwrap();
    assert_eq!(store.checkpoint(id(1)).await, Ok(None));
    store.write(vec![Change::Remove(id(1)), add(1)]).await.unwrap();
    assert_eq!(store.count().await, Ok(2));
}

async fn keeps_values_of_the_node(store: &dyn TorrentStore) {
    let set = |value: Option<&'static [u8]>| {
        vec![Change::SetMeta("node".to_owned(), value.map(Bytes::from_static))]
    };
    assert_eq!(store.meta("node").await, Ok(None));
    store.write(set(Some(b"\x00\xff"))).await.unwrap();
    assert_eq!(store.meta("node").await, Ok(Some(Bytes::from_static(b"\x00\xff"))));
    store.write(set(Some(b""))).await.unwrap();
    assert_eq!(store.meta("node").await, Ok(Some(Bytes::new())));
    assert_eq!(store.meta("Node").await, Ok(None));
    store.write(set(None)).await.unwrap();
    assert_eq!(store.meta("node").await, Ok(None));
    store.write(set(None)).await.unwrap();
}

async fn refuses_what_is_too_large(store: &dyn TorrentStore) {
    let bytes = |len: usize| Bytes::from(vec![b'x'; len]);
    let record = TorrentRecord::new(id(1), 1);
    let largest = TorrentSource::Metainfo(bytes(SOURCE_LEN_MAX));
    store.write(vec![Change::add(record.clone(), largest.clone())]).await.unwrap();
    assert_eq!(store.source(id(1)).await, Ok(largest));
    let refused = [
        Change::SetSource(id(1), TorrentSource::Metainfo(bytes(SOURCE_LEN_MAX + 1))),
        Change::SetSource(id(1), TorrentSource::Magnet(String::new())),
        Change::SetCheckpoint(id(1), bytes(CHECKPOINT_LEN_MAX + 1)),
        Change::SetMeta("k".to_owned(), Some(bytes(META_LEN_MAX + 1))),
        Change::update(TorrentRecord { name: "n".repeat(100_000), ..record.clone() }),
        Change::update(TorrentRecord { uploaded_bytes: u64::MAX, ..record.clone() }),
    ];
    for change in refused {
        let result = store.write(vec![change]).await;
        assert!(matches!(result, Err(StoreError::Invalid(_))), "{result:?}");
    }
    assert_eq!(store.torrent(id(1)).await, Ok(record));
}

async fn takes_writes_from_many_at_once(store: Arc<dyn TorrentStore>) {
    // Each is added by two at once: one of them wins, whatever is committed together.
    let writes = (0..100).flat_map(|n| [n, n]).map(|n| {
        let store = Arc::clone(&store);
        async move { store.write(vec![add(n)]).await }
    });
    let results = join_all(writes.collect()).await;
    let won = results.iter().filter(|result| result.is_ok()).count();
    let lost = results.iter().filter(|r| matches!(r, Err(StoreError::Conflict(_)))).count();
    assert_eq!((won, lost), (100, 100));
    assert_eq!(store.count().await, Ok(100));
}

/// Waits for all, polled together on this task.
async fn join_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, output) in &mut futures {
            if output.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *output = Some(value);
            }
        }
        let is_done = futures.iter().all(|(_, output)| output.is_some());
        if is_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    futures.into_iter().filter_map(|(_, output)| output).collect()
}

async fn refuses_when_closed(store: &dyn TorrentStore) {
    store.write(vec![add(1)]).await.unwrap();
    store.close().await;
    assert_eq!(store.write(vec![add(2)]).await, Err(StoreError::Closed));
    assert_eq!(store.torrent(id(1)).await, Err(StoreError::Closed));
    assert_eq!(store.count().await, Err(StoreError::Closed));
    store.close().await;
}
