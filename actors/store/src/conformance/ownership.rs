//! What every store has to do with the rows of nodes and owners.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use control::{Epoch, Holder, Incarnation, NodeName, NodeState, TorrentRow};

use super::{add, id, join_all};
use crate::{
    ADDRESS_LEN_MAX, Assignment, Begin, Change, NodeInfo, OwnershipStore, PAGE_LEN_MAX, Renewal,
    StoreError, TorrentRecord, TorrentStore, Verdict,
};

/// What one of several at once comes to, if it is of interest.
type Attempt<'a> = Pin<Box<dyn Future<Output = Option<Result<(), StoreError>>> + 'a>>;

/// A lease that does not run out while a test runs.
const LONG: Duration = Duration::from_secs(600);

/// Checks all that is promised, on stores that `fresh` makes, each empty.
pub(super) async fn check<S: TorrentStore + OwnershipStore>(fresh: impl AsyncFn() -> Arc<S>) {
    each_life_has_the_next_incarnation(&*fresh().await).await;
    another_directory_waits_for_the_end_of_the_lease(&*fresh().await).await;
    a_life_that_is_over_is_not_renewed(&*fresh().await).await;
    one_of_many_deposes(fresh().await).await;
    a_renewed_lease_has_not_expired(&*fresh().await).await;
    one_of_many_claims_an_epoch(fresh().await).await;
    one_of_many_begins(fresh().await).await;
    a_torrent_is_handed_over_and_released(&*fresh().await).await;
    lists_what_a_node_owns(&*fresh().await).await;
    keeps_nothing_of_a_former_owner(&*fresh().await).await;
    a_claim_and_a_fenced_write_do_not_mix(fresh().await).await;
    refuses_what_is_not_there(&*fresh().await).await;
}

fn name(node: &str) -> NodeName {
    NodeName::new(node).unwrap()
}

fn info(directory: u8) -> NodeInfo {
    NodeInfo { data_id: [directory; 16], address: format!("host-{directory}:7000"), weight: 100 }
}

fn holder(node: &str, incarnation: u64) -> Holder {
    Holder { node: name(node), incarnation: Incarnation(incarnation) }
}

/// Begins a life with a long lease.
async fn begin(store: &dyn OwnershipStore, node: &str) -> Holder {
    match store.begin(&name(node), &info(1), LONG).await.unwrap() {
        Begin::Begun { incarnation, .. } => Holder { node: name(node), incarnation },
        Begin::Occupied { .. } => panic!("{node} is occupied"),
    }
}

/// The store's time, once it is above `ms`; the store is asked until then.
async fn time_after(store: &dyn OwnershipStore, ms: u64) -> u64 {
    let clock = begin(store, "clock").await;
    loop {
        match store.renew(&clock, LONG).await.unwrap() {
            Renewal::Renewed { now_ms } if now_ms > ms => return now_ms,
            Renewal::Renewed { .. } => {}
            Renewal::Over => panic!("the clock's life is over"),
        }
    }
}

async fn each_life_has_the_next_incarnation(store: &dyn OwnershipStore) {
    assert_eq!(store.nodes().await, Ok(vec![]));
    assert_eq!(begin(store, "b").await, holder("b", 1));
    // The same directory: its lock says that the life before is gone, however long its lease.
    assert_eq!(begin(store, "b").await, holder("b", 2));
    assert_eq!(begin(store, "a").await, holder("a", 1));
    let nodes = store.nodes().await.unwrap();
    let told: Vec<_> = nodes.iter().map(|node| (&node.row.holder, node.row.state)).collect();
    assert_eq!(told, [(&holder("a", 1), NodeState::Up), (&holder("b", 2), NodeState::Up)]);
    assert!(nodes.iter().all(|node| node.info == info(1)));
    let long = NodeInfo { address: "x".repeat(ADDRESS_LEN_MAX + 1), ..info(1) };
    let refused = store.begin(&name("c"), &long, LONG).await;
    assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
}

async fn another_directory_waits_for_the_end_of_the_lease(store: &dyn OwnershipStore) {
    let first = begin(store, "a").await;
    let Begin::Occupied { lease_until_ms } = store.begin(&name("a"), &info(2), LONG).await.unwrap()
    else {
        panic!("two processes with one name");
    };
    let row = &store.nodes().await.unwrap()[0].row;
    assert_eq!((&row.holder, row.lease_until_ms), (&first, lease_until_ms));
    // Declared dead, or beyond its lease.
    assert_eq!(store.depose(&first, Verdict::Unreachable).await, Ok(true));
    let begun = store.begin(&name("a"), &info(2), Duration::ZERO).await.unwrap();
    let Begin::Begun { incarnation: Incarnation(2), now_ms } = begun else { panic!("{begun:?}") };
    time_after(store, now_ms).await;
    let begun = store.begin(&name("a"), &info(3), LONG).await.unwrap();
    assert!(matches!(begun, Begin::Begun { incarnation: Incarnation(3), .. }), "{begun:?}");
}

async fn a_life_that_is_over_is_not_renewed(store: &dyn OwnershipStore) {
    let first = begin(store, "a").await;
    let Renewal::Renewed { now_ms } = store.renew(&first, LONG).await.unwrap() else {
        panic!("it lives");
    };
    let until = store.nodes().await.unwrap()[0].row.lease_until_ms;
    assert_eq!(until, now_ms + 600_000);
    let second = begin(store, "a").await;
    assert_eq!(store.renew(&first, LONG).await, Ok(Renewal::Over));
    assert_eq!(store.drain(&first).await, Ok(false));
    assert_eq!(store.depose(&first, Verdict::Unreachable).await, Ok(false));
    assert_eq!(store.drain(&second).await, Ok(true));
    assert!(matches!(store.renew(&second, LONG).await, Ok(Renewal::Renewed { .. })));
    assert_eq!(store.nodes().await.unwrap()[0].row.state, NodeState::Draining);
    assert_eq!(store.depose(&second, Verdict::Unreachable).await, Ok(true));
    assert_eq!(store.renew(&second, LONG).await, Ok(Renewal::Over));
    assert_eq!(store.renew(&holder("nobody", 1), LONG).await, Ok(Renewal::Over));
    assert_eq!(store.nodes().await.unwrap()[0].row.state, NodeState::Dead);
}

async fn one_of_many_deposes(store: Arc<impl OwnershipStore>) {
    let suspect = begin(&*store, "a").await;
    let verdicts = (0..20).map(|_| store.depose(&suspect, Verdict::Unreachable));
    let results = join_all(verdicts.collect()).await;
    assert_eq!(results.iter().filter(|result| **result == Ok(true)).count(), 1, "{results:?}");
}

async fn a_renewed_lease_has_not_expired(store: &dyn OwnershipStore) {
    let begun = store.begin(&name("a"), &info(1), Duration::ZERO).await.unwrap();
    let Begin::Begun { now_ms, .. } = begun else { panic!("{begun:?}") };
    let late = holder("a", 1);
    // It ends at this moment, not before.
    assert_eq!(store.depose(&late, Verdict::Expired { now_ms }).await, Ok(false));
    let now_ms = time_after(store, now_ms).await;
    assert!(matches!(store.renew(&late, LONG).await, Ok(Renewal::Renewed { .. })));
    assert_eq!(store.depose(&late, Verdict::Expired { now_ms }).await, Ok(false));
    let Ok(Renewal::Renewed { now_ms }) = store.renew(&late, Duration::ZERO).await else {
        panic!("it lives");
    };
    let now_ms = time_after(store, now_ms).await;
    assert_eq!(store.depose(&late, Verdict::Expired { now_ms }).await, Ok(true));
}

async fn one_of_many_claims_an_epoch<S: TorrentStore + OwnershipStore>(store: Arc<S>) {
    store.write(vec![add(1)]).await.unwrap();
    for seen in 0..5 {
        let claimants: Vec<Holder> = (1..=20).map(|n| holder("a", n)).collect();
        let claims = claimants.iter().map(|who| store.assign(id(1), Epoch(seen), Some(who)));
        let results = join_all(claims.collect()).await;
        let won = Ok(Assignment::Assigned(Epoch(seen + 1)));
        let winners: Vec<usize> =
            (0..20).filter(|n| results.get(*n).is_some_and(|result| *result == won)).collect();
        let [winner] = winners.as_slice() else { panic!("{winners:?} of {results:?}") };
        let row = TorrentRow { epoch: Epoch(seen + 1), owner: claimants.get(*winner).cloned() };
        assert_eq!(store.ownership(id(1)).await, Ok(row.clone()));
        let lost = Ok(Assignment::Lost(row));
        assert_eq!(results.iter().filter(|result| **result == lost).count(), 19, "{results:?}");
    }
}

async fn one_of_many_begins(store: Arc<impl OwnershipStore>) {
    let (node, infos) = (name("a"), [info(1), info(2), info(3), info(4)]);
    let begins = infos.iter().map(|info| store.begin(&node, info, LONG));
    let results = join_all(begins.collect()).await;
    let begun = results.iter().filter(|result| matches!(result, Ok(Begin::Begun { .. }))).count();
    assert_eq!(begun, 1, "{results:?}");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    // With one directory each gets an incarnation of its own.
    let node = name("b");
    let infos = vec![info(1); 20];
    let begins = infos.iter().map(|info| store.begin(&node, info, LONG));
    let mut lives: Vec<u64> = join_all(begins.collect())
        .await
        .into_iter()
        .map(|result| match result.unwrap() {
            Begin::Begun { incarnation, .. } => incarnation.0,
            Begin::Occupied { .. } => 0,
        })
        .collect();
    lives.sort_unstable();
    assert_eq!(lives, (1..=20).collect::<Vec<u64>>());
}

async fn a_torrent_is_handed_over_and_released<S>(store: &S)
where
    S: TorrentStore + OwnershipStore,
{
    store.write(vec![add(1)]).await.unwrap();
    assert_eq!(store.ownership(id(1)).await, Ok(TorrentRow::default()));
    let (a, b) = (holder("a", 1), holder("b", 7));
    assert_eq!(store.assign(id(1), Epoch(0), Some(&a)).await, Ok(Assignment::Assigned(Epoch(1))));
    assert_eq!(store.assign(id(1), Epoch(1), Some(&b)).await, Ok(Assignment::Assigned(Epoch(2))));
    let row = TorrentRow { epoch: Epoch(2), owner: Some(b) };
    assert_eq!(store.assign(id(1), Epoch(1), None).await, Ok(Assignment::Lost(row)));
    assert_eq!(store.assign(id(1), Epoch(2), None).await, Ok(Assignment::Assigned(Epoch(3))));
    let row = TorrentRow { epoch: Epoch(3), owner: None };
    assert_eq!(store.ownership(id(1)).await, Ok(row));
    // A user's change is none of ownership.
    store.write(vec![Change::update(TorrentRecord::new(id(1), 9))]).await.unwrap();
    assert_eq!(store.ownership(id(1)).await.unwrap().epoch, Epoch(3));
    // Removed and added again it begins anew.
    store.write(vec![Change::Remove(id(1)), add(1)]).await.unwrap();
    assert_eq!(store.ownership(id(1)).await, Ok(TorrentRow::default()));
}

async fn lists_what_a_node_owns<S: TorrentStore + OwnershipStore>(store: &S) {
    store.write((0..10).map(add).collect()).await.unwrap();
    for n in 0..6 {
        let owner = if n % 2 == 0 { holder("a", u64::from(n)) } else { holder("b", 1) };
        store.assign(id(n), Epoch(0), Some(&owner)).await.unwrap();
    }
    store.assign(id(5), Epoch(1), None).await.unwrap();
    for (node, expected) in [
        (Some(name("a")), vec![0, 2, 4]),
        (Some(name("b")), vec![1, 3]),
        (None, vec![5, 6, 7, 8, 9]),
    ] {
        for page_len in [1, 2, usize::MAX] {
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let page = store.owned(node.as_ref(), after, page_len).await.unwrap();
                let Some((last, _)) = page.last() else { break };
                assert!(page.len() <= page_len.min(PAGE_LEN_MAX));
                after = Some(*last);
                listed.extend(page);
            }
            let ids: Vec<_> = listed.iter().map(|(id, _)| *id).collect();
            assert_eq!(ids, expected.iter().map(|n| id(*n)).collect::<Vec<_>>());
            assert!(
                listed
                    .iter()
                    .all(|(_, row)| row.owner.as_ref().map(|who| &who.node) == node.as_ref())
            );
        }
    }
    assert_eq!(store.owned(Some(&name("c")), None, 10).await, Ok(vec![]));
}

async fn keeps_nothing_of_a_former_owner<S: TorrentStore + OwnershipStore>(store: &S) {
    store.write(vec![add(1), add(2)]).await.unwrap();
    store.assign(id(1), Epoch(0), Some(&holder("a", 1))).await.unwrap();
    let checkpoint = |data: &'static [u8]| Change::SetCheckpoint(id(1), data.into());
    let fenced = |epoch, data| vec![Change::Fence(id(1), Epoch(epoch)), checkpoint(data)];
    assert_eq!(store.write(fenced(1, b"first")).await, Ok(()));
    store.assign(id(1), Epoch(1), Some(&holder("b", 1))).await.unwrap();
    let stale = |said| {
        let (said, current) = (Epoch(said), Epoch(2));
        Err(StoreError::StaleEpoch { torrent: id(1), said, current })
    };
    assert_eq!(store.write(fenced(1, b"late")).await, stale(1));
    assert_eq!(store.write(fenced(3, b"early")).await, stale(3));
    // All of the write, wherever the fence stands in it.
    let changes = vec![Change::Remove(id(2)), checkpoint(b"late"), Change::Fence(id(1), Epoch(1))];
    assert_eq!(store.write(changes).await, stale(1));
    assert_eq!(store.checkpoint(id(1)).await, Ok(Some(b"first".as_slice().into())));
    assert!(store.torrent(id(2)).await.is_ok());
    assert_eq!(store.write(fenced(2, b"second")).await, Ok(()));
    assert_eq!(store.checkpoint(id(1)).await, Ok(Some(b"second".as_slice().into())));
    let missing = store.write(vec![Change::Fence(id(9), Epoch(0))]).await;
    assert_eq!(missing, Err(StoreError::NotFound(id(9))));
}

/// A claim that comes while the owner writes: whatever the order, what is kept is the owner's of that moment.
async fn a_claim_and_a_fenced_write_do_not_mix<S: TorrentStore + OwnershipStore>(store: Arc<S>) {
    store.write(vec![add(1)]).await.unwrap();
    for epoch in 0..10_u64 {
        let data = bytes::Bytes::copy_from_slice(&epoch.to_be_bytes());
        let write = |epoch: u64| {
            let changes = vec![
                Change::Fence(id(1), Epoch(epoch)),
                Change::SetCheckpoint(id(1), data.clone()),
                Change::Fence(id(1), Epoch(epoch)),
            ];
            store.write(changes)
        };
        let claimant = holder("a", epoch + 1);
        let claim = async {
            let claimed = store.assign(id(1), Epoch(epoch), Some(&claimant)).await;
            assert_eq!(claimed, Ok(Assignment::Assigned(Epoch(epoch + 1))));
            None
        };
        let writes = async { Some(write(epoch).await) };
        let both: Vec<Attempt<'_>> = vec![Box::pin(writes), Box::pin(claim)];
        let wrote = join_all(both).await.into_iter().flatten().next().unwrap();
        let kept = store.checkpoint(id(1)).await.unwrap();
        match wrote {
            Ok(()) => assert_eq!(kept, Some(data.clone())),
            Err(StoreError::StaleEpoch { .. }) => assert_ne!(kept, Some(data.clone())),
            Err(error) => panic!("{error}"),
        }
        let late = write(epoch).await;
        assert!(matches!(late, Err(StoreError::StaleEpoch { .. })), "{late:?}");
    }
}

async fn refuses_what_is_not_there<S: TorrentStore + OwnershipStore>(store: &S) {
    let missing = StoreError::NotFound(id(1));
    assert_eq!(store.ownership(id(1)).await, Err(missing.clone()));
    assert_eq!(store.assign(id(1), Epoch(0), None).await, Err(missing));
    store.close().await;
    assert_eq!(store.nodes().await, Err(StoreError::Closed));
    assert_eq!(store.begin(&name("a"), &info(1), LONG).await, Err(StoreError::Closed));
}
