//! Bulk over QUIC, at two sizes of datagrams, and over TCP with TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use cluster::lane::bulk::{BulkHeader, BulkLink, BulkTransport};
use cluster::lane::quic::tuning::MTU;
use cluster::lane::quic::{BulkTuning, QuicBulk};
use cluster::ownership::Epoch;
use control::TorrentId;
use env::Task;
use env::net::AsyncStream;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::authority::Authority;
use crate::{Node, cpu_s, name};

const PIECE_LEN: usize = 1 << 20;
const PART_LEN: usize = 256 * 1024;
const TOTAL: usize = 1 << 30;

/// As by default, but for the size of datagrams, and what is in flight where the second argument says it in KiB.
fn tuning(mtu: u16) -> BulkTuning {
    let mut tuning = BulkTuning { mtu, ..BulkTuning::default() };
    if let Some(kib) = std::env::args().nth(2).and_then(|it| it.parse::<u32>().ok()) {
        tuning.in_flight = kib * 1024;
    }
    tuning
}

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Sends pieces until told to stop, or all: how many bytes. Four go at once, so that nobody waits for the last
/// acknowledgement of a piece.
async fn send(link: &dyn BulkLink, total: usize, stop: &AtomicBool) -> usize {
    let part = || send_in_order(link, total / 4, stop);
    let (a, b, c, d) = tokio::join!(part(), part(), part(), part());
    a + b + c + d
}

async fn send_in_order(link: &dyn BulkLink, total: usize, stop: &AtomicBool) -> usize {
    let part = Bytes::from(vec![5; PART_LEN]);
    let (mut sent, mut piece) = (0, 0);
    while sent < total && !stop.load(Ordering::Relaxed) {
        let torrent = TorrentId([1; 20]);
        let length = PIECE_LEN as u64;
        let header = BulkHeader { torrent, epoch: Epoch(1), piece, begin: 0, length };
        let mut sender = link.send(header).await.expect("a stream");
        for _ in 0..PIECE_LEN / PART_LEN {
            sender.send(part.clone()).await.expect("room");
        }
        sender.finish().await.expect("an end");
        sent += PIECE_LEN;
        piece += 1;
    }
    sent
}

async fn receive(link: Box<dyn BulkLink>) {
    while let Ok((_, mut receiver)) = link.receive().await {
        while receiver.receive().await.is_ok_and(|part| part.is_some()) {}
    }
}

/// Connects two bulk ends; the receiving one takes what comes.
fn connect(
    authority: &Authority,
    a: &Node,
    b: &Node,
    tuning: &BulkTuning,
) -> (QuicBulk, Box<dyn BulkLink>, Task<()>) {
    let receiving = {
        let _inside = b.runtime.enter();
        QuicBulk::bind(&authority.credentials("b"), tuning, &b.bulk, any()).expect("a socket")
    };
    let at = receiving.local_addr();
    let task = {
        let _inside = b.runtime.enter();
        b.env.spawn("receive", async move {
            let incoming = receiving.accept().await.expect("a connection");
            receive(incoming.await.expect("a connection")).await;
        })
    };
    let _inside = a.runtime.enter();
    let sending =
        QuicBulk::bind(&authority.credentials("a"), tuning, &a.bulk, any()).expect("a socket");
    let link = a.runtime.block_on(sending.dial(&name("b"), at)).expect("a connection");
    (sending, link, task)
}

/// Moves bytes until told to stop.
pub(crate) fn keep_moving(
    authority: &Authority,
    a: &Node,
    b: &Node,
    stop: Arc<AtomicBool>,
) -> Task<usize> {
    let (sending, link, task) = connect(authority, a, b, &tuning(MTU));
    let _inside = a.runtime.enter();
    a.env.spawn("bulk", async move {
        let sent = send(&*link, usize::MAX / 4, &stop).await;
        drop((sending, task));
        sent
    })
}

fn quic(authority: &Authority, a: &Node, b: &Node, mtu: u16) -> f64 {
    let (_sending, link, _task) = connect(authority, a, b, &tuning(mtu));
    let task = {
        let _inside = a.runtime.enter();
        a.env.spawn("bulk", async move {
            let never = AtomicBool::new(false);
            // The size of datagrams is found out first.
            send(&*link, TOTAL / 16, &never).await;
            let before = cpu_s();
            send(&*link, TOTAL, &never).await;
            cpu_s() - before
        })
    };
    let began = a.env.now();
    let cpu = a.runtime.block_on(task).expect("no panic");
    let seconds = a.env.now().since(began).as_secs_f64();
    println!("bulk over QUIC, datagrams of {mtu}: {cpu:.2} CPU-s/GiB, {:.2} GiB/s", 1.06 / seconds);
    cpu
}

fn tls(authority: &Authority, a: &Node, b: &Node) -> f64 {
    let (client, server) = authority.tls();
    let listener = b.runtime.block_on(b.env.net().listen(any())).expect("a socket");
    let at = listener.local_addr();
    let receiving = async move {
        let stream = listener.accept().await.expect("a connection");
        let accepted = TlsAcceptor::from(server).accept(AsyncStream::new(stream)).await;
        let mut stream = accepted.expect("TLS");
        let mut buffer = BytesMut::with_capacity(PART_LEN);
        while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
            buffer.clear();
        }
    };
    let task = {
        let _inside = b.runtime.enter();
        b.env.spawn("receive", receiving)
    };
    let env = a.env.clone();
    let sending = async move {
        let stream = env.net().connect(at, None).await.expect("a connection");
        let host = ServerName::try_from("b").expect("a name");
        let connected = TlsConnector::from(client).connect(host, AsyncStream::new(stream)).await;
        let mut stream = connected.expect("TLS");
        let part = vec![5; PART_LEN];
        let before = cpu_s();
        for _ in 0..TOTAL / PART_LEN {
            stream.write_all(&part).await.expect("room");
        }
        stream.shutdown().await.expect("an end");
        drop(stream);
        task.await.expect("no panic");
        cpu_s() - before
    };
    let task = {
        let _inside = a.runtime.enter();
        a.env.spawn("bulk", sending)
    };
    let began = a.env.now();
    let cpu = a.runtime.block_on(task).expect("no panic");
    let seconds = a.env.now().since(began).as_secs_f64();
    println!("bulk over TCP with TLS: {cpu:.2} CPU-s/GiB, {:.2} GiB/s", 1.0 / seconds);
    cpu
}

/// Measures, and prints.
pub(crate) fn run(authority: &Authority, a: &Node, b: &Node) {
    let first = tls(authority, a, b);
    let small = quic(authority, a, b, 1452);
    let large = quic(authority, a, b, 6500);
    let tls = (first + tls(authority, a, b)) / 2.0;
    println!("  of TCP with TLS: {:.2} at 1452, {:.2} at 6500", small / tls, large / tls);
}
