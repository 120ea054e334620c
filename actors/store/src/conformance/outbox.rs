//! What every store has to do with facts that wait.

use std::sync::Arc;

use bytes::Bytes;
use control::{Epoch, Holder, Incarnation, NodeName};

use super::{add, id};
use crate::{
    Change, FACT_LEN_MAX, FACTS_MAX, Fact, Outbox, OwnershipStore, Place, StoreError, TorrentStore,
};

/// Checks all that is promised, on stores that `fresh` makes, each empty.
pub(super) async fn check<S: TorrentStore + OwnershipStore + Outbox>(
    fresh: impl AsyncFn() -> Arc<S>,
) {
    facts_wait_in_order_until_they_are_told(&*fresh().await).await;
    a_fact_is_kept_with_its_write_or_not_at_all(&*fresh().await).await;
    a_former_owner_adds_no_fact(&*fresh().await).await;
    facts_outlive_their_torrent(&*fresh().await).await;
    refuses_what_is_too_much(&*fresh().await).await;
}

fn place(epoch: u64, seq: u64) -> Place {
    Place { epoch: Epoch(epoch), seq }
}

fn fact(torrent: u8, epoch: u64, seq: u64) -> Fact {
    let record = Bytes::from(format!("{torrent} in {epoch}: {seq}\0\u{ff}"));
    Fact { torrent: id(torrent), place: place(epoch, seq), topic: "t".to_owned(), record }
}

fn tell(torrent: u8, epoch: u64, seq: u64) -> Change {
    Change::Tell(fact(torrent, epoch, seq))
}

async fn facts_wait_in_order_until_they_are_told(store: &dyn Both) {
    assert_eq!(store.facts(id(1), 10).await, Ok(vec![]));
    let changes =
        vec![tell(1, 2, 1), tell(1, 1, 300), tell(2, 1, 1), tell(1, 1, 2), tell(1, 10, 0)];
    store.write(changes).await.unwrap();
    let expected = [fact(1, 1, 2), fact(1, 1, 300), fact(1, 2, 1), fact(1, 10, 0)];
    assert_eq!(store.facts(id(1), 10).await.unwrap(), expected);
    assert_eq!(store.facts(id(1), 2).await.unwrap(), expected[..2]);
    assert_eq!(store.facts(id(1), 0).await, Ok(vec![]));
    assert_eq!(store.waiting(None, 10).await, Ok(vec![id(1), id(2)]));
    assert_eq!(store.waiting(Some(id(1)), 10).await, Ok(vec![id(2)]));
    assert_eq!(store.waiting(None, 1).await, Ok(vec![id(1)]));
    // The same fact again is the same fact.
    store.write(vec![tell(1, 1, 2)]).await.unwrap();
    assert_eq!(store.facts(id(1), 10).await.unwrap(), expected);
    store.write(vec![Change::Told(id(1), place(1, 300))]).await.unwrap();
    assert_eq!(store.facts(id(1), 10).await.unwrap(), expected[2..]);
    store
        .write(vec![Change::Told(id(1), place(10, 0)), Change::Told(id(9), place(1, 1))])
        .await
        .unwrap();
    assert_eq!(store.waiting(None, 10).await, Ok(vec![id(2)]));
}

async fn a_fact_is_kept_with_its_write_or_not_at_all(store: &dyn Both) {
    store.write(vec![tell(1, 1, 1), tell(1, 1, 2)]).await.unwrap();
    let changes = vec![tell(1, 1, 3), Change::Told(id(1), place(1, 1)), Change::Remove(id(9))];
    assert_eq!(store.write(changes).await, Err(StoreError::NotFound(id(9))));
    assert_eq!(store.facts(id(1), 10).await, Ok(vec![fact(1, 1, 1), fact(1, 1, 2)]));
}

async fn a_former_owner_adds_no_fact(store: &dyn Both) {
    store.write(vec![add(1)]).await.unwrap();
    let owner = Holder { node: NodeName::new("a").unwrap(), incarnation: Incarnation(1) };
    store.assign(id(1), Epoch(0), Some(&owner)).await.unwrap();
    let write = |epoch, seq| vec![Change::Fence(id(1), Epoch(epoch)), tell(1, epoch, seq)];
    store.write(write(1, 1)).await.unwrap();
    store.assign(id(1), Epoch(1), Some(&owner)).await.unwrap();
    let late = store.write(write(1, 2)).await;
    assert!(matches!(late, Err(StoreError::StaleEpoch { .. })), "{late:?}");
    store.write(write(2, 1)).await.unwrap();
    // What the former one told in time is valid, and comes first.
    assert_eq!(store.facts(id(1), 10).await, Ok(vec![fact(1, 1, 1), fact(1, 2, 1)]));
}

async fn facts_outlive_their_torrent(store: &dyn Both) {
    store.write(vec![add(1), tell(1, 1, 1)]).await.unwrap();
    store.write(vec![Change::Remove(id(1)), tell(1, 1, 2)]).await.unwrap();
    assert_eq!(store.facts(id(1), 10).await, Ok(vec![fact(1, 1, 1), fact(1, 1, 2)]));
}

async fn refuses_what_is_too_much(store: &dyn Both) {
    let long = Fact { record: Bytes::from(vec![0; FACT_LEN_MAX + 1]), ..fact(1, 1, 1) };
    let result = store.write(vec![Change::Tell(long)]).await;
    assert!(matches!(result, Err(StoreError::Invalid(_))), "{result:?}");
    for begin in (0..FACTS_MAX as u64).step_by(1000) {
        store.write((begin..begin + 1000).map(|seq| tell(1, 1, seq)).collect()).await.unwrap();
    }
    let result = store.write(vec![tell(1, 2, 0)]).await;
    assert!(matches!(result, Err(StoreError::Full(_))), "{result:?}");
    store
        .write(vec![tell(2, 2, 0), Change::Told(id(1), place(1, 0)), tell(1, 2, 0)])
        .await
        .unwrap();
}

/// All that a store is.
trait Both: TorrentStore + OwnershipStore + Outbox {}

impl<S: TorrentStore + OwnershipStore + Outbox> Both for S {}
