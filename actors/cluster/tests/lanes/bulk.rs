//! What every bulk transport must do. Each case gets both ends of a connection between `a` and `b`.

use bytes::Bytes;
use cluster::lane::LaneError;
use cluster::lane::bulk::{BULK_LEN_MAX, BulkHeader, BulkLink};
use cluster::ownership::Epoch;
use control::TorrentId;

use crate::party::node;

/// Both ends.
pub(crate) type Ends = [Box<dyn BulkLink>; 2];

pub(crate) fn header(length: u64) -> BulkHeader {
    BulkHeader { torrent: TorrentId([9; 20]), epoch: Epoch(2), piece: 7, begin: 0, length }
}

/// Sends in parts what the header says, or as much of it.
pub(crate) async fn send(link: &dyn BulkLink, says: u64, sends: usize) -> Result<(), LaneError> {
    let mut sender = link.send(header(says)).await?;
    let part = Bytes::from(vec![5; 100_000]);
    let mut left = sends;
    while left > 0 {
        let length = left.min(part.len());
        sender.send(part.slice(..length)).await?;
        left -= length;
    }
    sender.finish().await
}

/// Receives one stream to its end.
pub(crate) async fn receive(link: &dyn BulkLink) -> Result<(BulkHeader, usize), LaneError> {
    let (header, mut receiver) = link.receive().await?;
    let mut received = 0;
    while let Some(part) = receiver.receive().await? {
        assert!(part.iter().all(|byte| *byte == 5));
        received += part.len();
    }
    Ok((header, received))
}

/// Pieces cross both ways.
pub(crate) async fn both_ways([a, b]: Ends) {
    const LENGTH: usize = 5_000_000;
    assert_eq!((a.peer(), b.peer()), (&node("b"), &node("a")));
    let (sent, received) = tokio::join!(send(&*a, LENGTH as u64, LENGTH), receive(&*b));
    assert_eq!((sent, received), (Ok(()), Ok((header(LENGTH as u64), LENGTH))));
    let (sent, received) = tokio::join!(send(&*b, 10, 10), receive(&*a));
    assert_eq!((sent, received), (Ok(()), Ok((header(10), 10))));
}

/// A stream that is not what its header says is refused, and others go on.
pub(crate) async fn refusals([a, b]: Ends) {
    // At the sender: too much, too little, and a header that says too much.
    let sending = async {
        assert_eq!(send(&*a, 10, 11).await, Err(LaneError::TooBig));
        assert_eq!(send(&*a, 10, 9).await, Err(LaneError::Malformed));
        assert_eq!(send(&*a, BULK_LEN_MAX + 1, 0).await, Err(LaneError::TooBig));
        send(&*a, 12, 12).await
    };
    let receiving = async {
        loop {
            match receive(&*b).await {
                // What the sender gave up, if it was seen at all.
                Err(error) => assert_eq!(error, LaneError::Disconnected),
                Ok(received) => break received,
            }
        }
    };
    assert_eq!(tokio::join!(sending, receiving), (Ok(()), (header(12), 12)));
    // A receiver that wants no more; the next stream comes all the same.
    let (_, received) = tokio::join!(
        async {
            let _ = send(&*a, 5_000_000, 5_000_000).await;
            send(&*a, 3, 3).await
        },
        async {
            drop(b.receive().await.unwrap());
            receive(&*b).await
        }
    );
    assert_eq!(received, Ok((header(3), 3)));
    drop(a);
    assert_eq!(b.receive().await.unwrap_err(), LaneError::Disconnected);
}
