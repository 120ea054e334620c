//! A tracker by HTTP that writes down every announce, and says what the test wants it to say.
//!
//! For what a real one ([`crate::tracker`]) does not show: events, their order, and the time between.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{Deadline, Host};

/// How often it looks whether it is to stop.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);
/// A client that is silent for so long is let go.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// One announce.
#[derive(Debug, Clone)]
pub struct Announce {
    /// When it came.
    pub at: Instant,
    /// The event; empty for a regular announce.
    pub event: String,
    /// Bytes that are missing.
    pub left: u64,
}

/// A running tracker; it ends when it is dropped.
#[derive(Debug)]
pub struct Announces {
    /// Its announce URL.
    pub url: String,
    seen: Arc<Mutex<Vec<Announce>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Announces {
    /// Listens on `port` of `host`; wants announces each `interval` seconds and knows these peers.
    ///
    /// # Errors
    ///
    /// The port is taken.
    pub fn start(host: &Host, port: u16, interval: u64, peers: &[SocketAddrV4]) -> Result<Self> {
        let address = host.at(port);
        let listener = host.enter(|| TcpListener::bind(address)).context("cannot listen")?;
        listener.set_nonblocking(true)?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, flag, answer) = (Arc::clone(&seen), Arc::clone(&stop), body(interval, peers));
        let thread = thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    thread::park_timeout(LOOK_AGAIN_AFTER);
                    continue;
                };
                // A client that goes away has not announced.
                let _ = serve(stream, &answer, &shared);
            }
        });
        let url = format!("http://{address}/announce");
        Ok(Self { url, seen, stop, thread: Some(thread) })
    }

    /// All announces so far.
    pub fn seen(&self) -> Vec<Announce> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The events so far, in order.
    pub fn events(&self) -> Vec<String> {
        self.seen().into_iter().map(|announce| announce.event).collect()
    }

    /// Waits for so many announces.
    ///
    /// # Errors
    ///
    /// The deadline passed first.
    pub fn wait_count(&self, count: usize, deadline: &Deadline) -> Result<Vec<Announce>> {
        deadline.wait_for(&format!("{count} announces"), || {
            let seen = self.seen();
            Ok((seen.len() >= count).then_some(seen))
        })
    }
}

impl Drop for Announces {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn body(interval: u64, peers: &[SocketAddrV4]) -> Vec<u8> {
    let compact = |peer: &SocketAddrV4| {
        let [high, low] = peer.port().to_be_bytes();
        let [a, b, c, d] = peer.ip().octets();
        [a, b, c, d, high, low]
    };
    let peers: Vec<u8> = peers.iter().flat_map(compact).collect();
    let head = format!(
        "d8:completei0e10:incompletei0e8:intervali{interval}e12:min intervali{interval}e5:peers{}:",
        peers.len()
    );
    [head.as_bytes(), &peers, b"e"].concat()
}

fn serve(stream: TcpStream, answer: &[u8], seen: &Mutex<Vec<Announce>>) -> Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut lines = BufReader::new(&stream).lines();
    let request = lines.next().context("no request")??;
    while !lines.next().context("no end of the header")??.is_empty() {}
    let query = request.split(' ').nth(1).and_then(|target| target.split_once('?'));
    let (_, query) = query.context("no query")?;
    let value = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next()
    };
    let event = value("event").unwrap_or_default();
    let left = value("left").context("no left")?.parse().context("left")?;
    let announce = Announce { at: Instant::now(), event, left };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(announce);
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
    Ok((&stream).write_all(&[head.as_bytes(), answer].concat())?)
}
