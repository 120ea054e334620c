//! The cases. Each is a script for the client's end, and what both ends show of themselves.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use cluster::lane::{
    Agreed, CALLS_MAX, DownReason, FRAME_LEN_MAX, FrameError, Head, Key, Kind, LaneEnd, LaneError,
    Link, MINOR, OpenError, QUEUE_LEN_MAX, frame, hello,
};
use cluster::ownership::Epoch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::party::*;

/// One case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) client: Shows,
    pub(crate) server: Shows,
    /// Whether the server serves the lane, or greets and lets all bytes lie.
    pub(crate) reads: bool,
    pub(crate) script: fn(Client) -> Work<()>,
}

const A: Shows = Shows::node("a");
const B: Shows = Shows::node("b");

const fn plain(name: &'static str, script: fn(Client) -> Work<()>) -> Case {
    Case { name, client: A, server: B, reads: true, script }
}

const fn between(
    name: &'static str,
    client: Shows,
    server: Shows,
    script: fn(Client) -> Work<()>,
) -> Case {
    Case { name, client, server, reads: true, script }
}

/// All cases.
pub(crate) const CASES: &[Case] = &[
    plain("calls, casts and errors", |it| Box::pin(calls_and_errors(it))),
    plain("too big", |it| Box::pin(too_big(it))),
    plain("stale epoch", |it| Box::pin(stale_epoch(it))),
    plain("order", |it| Box::pin(order(it))),
    plain("timeout", |it| Box::pin(timeout(it))),
    plain("too many calls", |it| Box::pin(too_many_calls(it))),
    plain("disconnected", |it| Box::pin(disconnected(it))),
    plain("this end ends", |it| Box::pin(this_end_ends(it))),
    plain("watch", |it| Box::pin(watch(it))),
    plain("garbage instead of a greeting", |it| Box::pin(garbage_greeting(it))),
    plain("garbage in a lane", |it| Box::pin(garbage_in_a_lane(it))),
    plain("an end that asks too much", |it| Box::pin(asks_too_much(it))),
    plain("an end that asks and does not read", |it| Box::pin(asks_and_does_not_read(it))),
    Case {
        name: "an end that does not read",
        client: A,
        server: B,
        reads: false,
        script: |it| Box::pin(busy(it)),
    },
    between("name of another", Shows { certified: Some("x"), ..A }, B, |it| {
        Box::pin(refused(it, OpenError::WrongName, OpenError::WrongName))
    }),
    between("the dialled node is another", A, Shows::node("c"), |it| {
        Box::pin(refused_by_us(it, OpenError::WrongName))
    }),
    between("greeting of another than the certificate's", A, Shows { says: "c", ..B }, |it| {
        Box::pin(refused_by_us(it, OpenError::WrongName))
    }),
    between("certificate of another authority", Shows { ours: false, ..A }, B, |it| {
        Box::pin(refused(it, OpenError::Certificate, OpenError::Certificate))
    }),
    between("server of another authority", A, Shows { ours: false, ..B }, |it| {
        Box::pin(refused_by_us(it, OpenError::Certificate))
    }),
    between("no certificate", Shows { certified: None, ..A }, B, |it| {
        Box::pin(refused(it, OpenError::Certificate, OpenError::Certificate))
    }),
    between("another major version", Shows { protocol: b"te-ctl/2", ..A }, B, |it| {
        Box::pin(refused(it, OpenError::Version, OpenError::Version))
    }),
    between("the minor version before", Shows { minor: MINOR - 1, ..A }, B, |it| {
        Box::pin(agrees(it, MINOR - 1))
    }),
    between("the minor version after", Shows { minor: MINOR + 1, ..A }, B, |it| {
        Box::pin(agrees(it, MINOR))
    }),
    between("a minor version too far", Shows { minor: MINOR + 2, ..A }, B, |it| {
        Box::pin(refused(it, OpenError::Version, OpenError::Version))
    }),
];

async fn calls_and_errors(client: Client) {
    let (lane, _running) = client.open().await.unwrap();
    assert_eq!((lane.peer(), lane.hello()), (&node("b"), &B.hello()));
    assert_eq!(call(&lane, ECHO, 0, b"hello").await.unwrap(), b"hello");
    let long = vec![9; FRAME_LEN_MAX - 100];
    assert_eq!(call(&lane, ECHO, 0, &long).await.unwrap(), long);
    let error = async |to| call(&lane, to, 0, b"").await.unwrap_err();
    assert_eq!(error(Key::Service(99)).await, LaneError::NoSuchActor);
    assert_eq!(error(BUSY).await, LaneError::Busy);
    assert_eq!(error(MOVED).await, LaneError::NotOwner(Some(node("c"))));
    assert_eq!(error(DROPS).await, LaneError::Disconnected);
    // The other end asks, too.
    let theirs = client.server.lane();
    assert_eq!(theirs.peer(), &node("a"));
    assert_eq!(call(&theirs, ECHO, 0, b"").await, Err(LaneError::NoSuchActor));
    let (metrics, there) = (lane.metrics(), theirs.metrics());
    assert_eq!((metrics.calls_out, there.calls_in), (6, 6));
    assert_eq!((metrics.frames_out, metrics.frames_in), (there.frames_in, there.frames_out));
    assert_eq!(metrics.refused_there.busy, 1);
    assert_eq!((there.refused_here.no_such_actor, there.refused_here.not_owner), (1, 1));
    assert_eq!((metrics.calls_waiting, metrics.queue_bytes), (0, 0));
    assert_eq!(client.local.metrics().opened, 1);
}

async fn too_big(client: Client) {
    let (lane, _running) = client.open().await.unwrap();
    let body = vec![0; FRAME_LEN_MAX];
    assert_eq!(call(&lane, ECHO, 0, &body).await, Err(LaneError::TooBig));
    assert_eq!(lane.cast(ECHO, Epoch(0), &body).await, Err(LaneError::TooBig));
    let zeros = async |length: usize| {
        call(&lane, ZEROS, 0, &u32::try_from(length).unwrap().to_be_bytes()).await
    };
    assert_eq!(zeros(FRAME_LEN_MAX).await, Err(LaneError::TooBig), "of the answer");
    assert_eq!(zeros(1000).await.unwrap().len(), 1000, "the lane lives");
}

async fn stale_epoch(client: Client) {
    let (lane, _running) = client.open().await.unwrap();
    assert_eq!(call(&lane, TORRENT, 4, b"x").await, Err(LaneError::StaleEpoch(Epoch(5))));
    lane.cast(TORRENT, Epoch(4), b"x").await.unwrap();
    assert_eq!(call(&lane, TORRENT, 5, b"x").await.unwrap(), b"x");
    assert_eq!(call(&lane, TORRENT, 6, b"x").await.unwrap(), b"x");
    assert_eq!(client.server.lane().metrics().refused_here.stale_epoch, 2);
}

async fn order(client: Client) {
    let (lane, _running) = client.open().await.unwrap();
    let mut told = Vec::new();
    for number in 0_u16..5000 {
        lane.cast(MEMORY, Epoch(0), &number.to_be_bytes()).await.unwrap();
        told.extend(number.to_be_bytes());
    }
    assert_eq!(call(&lane, MEMORY, 0, b"").await.unwrap(), told);
    let metrics = lane.metrics();
    assert!(metrics.writes < 2500, "casts are gathered: {} writes", metrics.writes);
}

async fn timeout(client: Client) {
    let (lane, _running) = client.open().await.unwrap();
    let limit = Duration::from_millis(30);
    assert_eq!(lane.call(MUTE, Epoch(0), b"", limit).await, Err(LaneError::Timeout));
    assert_eq!(lane.metrics().calls_waiting, 0);
    assert_eq!(call(&lane, ECHO, 0, b"x").await.unwrap(), b"x");
}

async fn too_many_calls(client: Client) {
    let (lane, running) = client.open().await.unwrap();
    let waiting: Vec<_> = (0..CALLS_MAX)
        .map(|_| {
            let lane = lane.clone();
            client.env.spawn("call", async move { call(&lane, MUTE, 0, b"").await })
        })
        .collect();
    client.until("all wait", || lane.metrics().calls_waiting == CALLS_MAX as u64).await;
    assert_eq!(call(&lane, MUTE, 0, b"").await, Err(LaneError::Busy));
    drop(running);
    for call in waiting {
        assert_eq!(call.await.unwrap(), Err(LaneError::Disconnected));
    }
}

async fn disconnected(client: Client) {
    let (lane, running) = client.open().await.unwrap();
    let watch = lane.watch(WATCHED, Epoch(3)).await.unwrap();
    let asked = client.env.spawn("call", {
        let lane = lane.clone();
        async move { call(&lane, MUTE, 0, b"").await }
    });
    client.until("the call is there", || lane.metrics().frames_out >= 2).await;
    lane.cast(COMMAND, Epoch(0), b"hang up").await.unwrap();
    assert_eq!(asked.await.unwrap(), Err(LaneError::Disconnected));
    assert_eq!(watch.await.reason, DownReason::NodeDown);
    let _ended = running.await;
    assert_eq!(call(&lane, ECHO, 0, b"").await, Err(LaneError::Disconnected));
    assert_eq!(lane.cast(ECHO, Epoch(0), b"").await, Err(LaneError::Disconnected));
    assert!(lane.watch(WATCHED, Epoch(3)).await.is_err());
    let directory = client.server.local.get().unwrap().directory();
    client.until("nobody watches any more", || directory.watchers() == 0).await;
    let (again, _running) = client.open().await.unwrap();
    assert_eq!(call(&again, ECHO, 0, b"x").await.unwrap(), b"x");
}

async fn this_end_ends(client: Client) {
    let (lane, running) = client.open().await.unwrap();
    assert_eq!(call(&lane, ECHO, 0, b"x").await.unwrap(), b"x");
    drop(running);
    client.until("the other end sees it", || client.server.ends() == [LaneEnd::Closed]).await;
}

async fn watch(client: Client) {
    let (lane, _running) = client.open().await.unwrap();
    let watch = async |epoch| lane.watch(WATCHED, Epoch(epoch)).await.unwrap();
    let tell = async |what: &[u8]| assert!(call(&lane, COMMAND, 0, what).await.is_ok());
    let directory = client.server.local.get().unwrap().directory();

    let (first, second, dropped) = (watch(3).await, watch(4).await, watch(3).await);
    drop(dropped);
    client.until("two watch", || directory.watchers() == 2).await;
    tell(b"stop").await;
    let down = first.await;
    assert_eq!((down.key, down.epoch, down.reason), (WATCHED, Epoch(3), DownReason::Stopped));
    assert_eq!(second.await.epoch, Epoch(4));
    assert_eq!(watch(3).await.await.reason, DownReason::NoSuchActor);

    tell(b"put").await;
    assert_eq!(watch(2).await.await.reason, DownReason::StaleEpoch(Epoch(3)));
    let watched = watch(3).await;
    tell(b"fail").await;
    assert_eq!(watched.await.reason, DownReason::Failed);

    tell(b"put").await;
    let watched = watch(3).await;
    tell(b"put").await;
    assert_eq!(watched.await.reason, DownReason::Replaced);
}

async fn garbage_greeting(client: Client) {
    let garbage: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0, 0, 0, 3, 9, 9, 9],
        &[0, 0, 4, 1],
        // A refusal is no greeting of the one who dials.
        &[0, 0, 0, 2, 1, 0],
    ];
    for bytes in garbage {
        let mut link = client.transport.dial(&node("b"), client.at).await.unwrap();
        link.writer.write_all(bytes).await.unwrap();
        let mut told = BytesMut::new();
        while link.reader.read_buf(&mut told).await.is_ok_and(|read| read > 0) {
            if let Ok(Some(greeting)) = hello::decode(&mut told) {
                let refused = hello::Greeting::Refused(cluster::lane::Refusal::Malformed);
                assert_eq!(greeting, refused);
                break;
            }
        }
        link.connection.close(None);
    }
    client.until("all are refused", || client.server.refused().len() == garbage.len()).await;
    assert_eq!(client.server.refused(), [OpenError::Malformed; 4]);
    assert_eq!(client.server.local.get().unwrap().metrics().malformed, 4);
    assert!(client.open().await.is_ok());
}

async fn garbage_in_a_lane(client: Client) {
    let (lane, _running) = client.open().await.unwrap();
    let mut too_long = BytesMut::new();
    too_long.put_u32(u32::try_from(FRAME_LEN_MAX).unwrap() + 1);
    let length = FRAME_LEN_MAX + 1;
    let garbage = [
        (too_long.to_vec(), FrameError::TooLong { length, max: FRAME_LEN_MAX }),
        (vec![0, 0, 0, 4, 7, 7, 7, 7], FrameError::Head),
        (vec![0xff; 100], FrameError::TooLong { length: 0xffff_ffff, max: FRAME_LEN_MAX }),
    ];
    for (nth, (bytes, error)) in garbage.into_iter().enumerate() {
        let mut link = greeted(&client).await;
        link.writer.write_all(&bytes).await.unwrap();
        let ends = || client.server.ends();
        client.until("the lane ends", || ends().len() > nth).await;
        assert_eq!(ends()[nth], LaneEnd::Malformed(error));
        assert_eq!(call(&lane, ECHO, 0, b"x").await.unwrap(), b"x", "others are not disturbed");
    }
}

/// A lane without the machine that keeps its rules at this end.
async fn greeted(client: &Client) -> Link {
    let mut link = client.transport.dial(&node("b"), client.at).await.unwrap();
    let greeting = hello::encode(&hello::Greeting::Hello(A.hello()));
    link.writer.write_all(&greeting).await.unwrap();
    let mut told = BytesMut::new();
    while hello::decode(&mut told).unwrap().is_none() {
        assert!(link.reader.read_buf(&mut told).await.unwrap() > 0);
    }
    link
}

/// So many calls as they stand on the wire.
fn calls(to: Key, body: &[u8], from: usize, count: usize) -> BytesMut {
    let mut bytes = BytesMut::new();
    for request in from..from + count {
        let head = Head { to, epoch: Epoch(0), request: request as u64, kind: Kind::Call };
        frame::encode(&mut bytes, &head, body).unwrap();
    }
    bytes
}

async fn asks_too_much(client: Client) {
    let mut link = greeted(&client).await;
    link.writer.write_all(&calls(MUTE, &[], 0, CALLS_MAX + 1)).await.unwrap();
    let mut told = BytesMut::new();
    let (head, body) = loop {
        if let Some(frame) = frame::decode(&mut told).unwrap() {
            break frame;
        }
        assert!(link.reader.read_buf(&mut told).await.unwrap() > 0);
    };
    assert_eq!((head.kind, head.request), (Kind::Error, CALLS_MAX as u64));
    assert_eq!(frame::of_body(&body), Ok(LaneError::Busy));
    assert_eq!(client.server.lane().metrics().refused_here.busy, 1);
}

async fn asks_and_does_not_read(client: Client) {
    let mut link = greeted(&client).await;
    let long = u32::try_from(FRAME_LEN_MAX - 100).unwrap().to_be_bytes();
    let mut asked = 0;
    // Long answers until there is no room for one, then errors until there is no room for those.
    while client.server.ends().is_empty() {
        let _ = link.writer.write_all(&calls(ZEROS, &long, asked, 1000)).await;
        asked += 1000;
        client.env.sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(client.server.ends(), [LaneEnd::Overrun]);
    assert_eq!(client.server.lane().metrics().queue_bytes, 0, "what waited is dropped");
    assert!(client.server.lane().metrics().refused_here.busy > 10_000);
}

async fn busy(client: Client) {
    let (lane, _running) = client.open().await.unwrap();
    let body = vec![0; 64 * 1024];
    // The windows of the transport take some, too.
    client
        .until("it is full", || {
            while lane.try_cast(ECHO, Epoch(0), &body).is_ok() {}
            assert!(lane.metrics().queue_bytes <= QUEUE_LEN_MAX as u64);
            lane.metrics().bytes_out > 0 && lane.metrics().queue_bytes > 3 << 20
        })
        .await;
    let limit = Duration::from_millis(50);
    assert_eq!(lane.call(ECHO, Epoch(0), &body, limit).await, Err(LaneError::Timeout));
    let waits = client.env.spawn("cast", {
        let (lane, body) = (lane.clone(), body.clone());
        async move { while lane.cast(ECHO, Epoch(0), &body).await.is_ok() {} }
    });
    client.env.sleep(limit).await;
    assert!(!waits.is_finished(), "who casts waits for room");
    assert!(lane.metrics().bytes_out < 16 << 20, "{}", lane.metrics().bytes_out);
    client.hang_up();
    client.until("who waits is told of the end", || waits.is_finished()).await;
    assert_eq!(lane.try_cast(ECHO, Epoch(0), &body), Err(LaneError::Disconnected));
}

async fn refused(client: Client, here: OpenError, there: OpenError) {
    assert_eq!(client.open().await.unwrap_err(), here);
    client.until("it is refused there", || client.server.refused() == [there]).await;
    let (ours, theirs) = (client.local.metrics(), client.server.local.get().unwrap().metrics());
    assert_eq!(ours.opened + theirs.opened, 0);
    let counted = ours.wrong_name + ours.certificate + ours.version;
    assert_eq!((counted, theirs.wrong_name + theirs.certificate + theirs.version), (1, 1));
}

async fn refused_by_us(client: Client, error: OpenError) {
    assert_eq!(client.open().await.unwrap_err(), error);
    assert_eq!(client.local.metrics().opened, 0);
}

async fn agrees(client: Client, minor: u32) {
    let (lane, _running) = client.open().await.unwrap();
    assert_eq!(lane.agreed(), Agreed { minor, features: 0 });
    assert_eq!(call(&lane, ECHO, 0, b"x").await.unwrap(), b"x");
    assert_eq!(client.server.lane().agreed().minor, minor);
}
