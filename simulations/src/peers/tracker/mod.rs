//! The tracker as a machine: who is in which swarm, and what an announce is answered (BEP 3, 7, 23).
//!
//! It answers with peers drawn by lot, compact or as a list, of IPv4 alone. A peer is known by its
//! address, so one that starts again takes the place of its earlier self. Whoever does not announce for
//! two intervals is forgotten.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddrV4};
use std::time::Duration;

use bittorrent::bencode::Encoder;
use bittorrent::{InfoHash, PeerId, Time};
use bytes::Bytes;
use rand::Rng;
use rand::seq::SliceRandom;

/// Peers are to announce so often,
const INTERVAL: Duration = Duration::from_secs(30);
/// and not more often than this.
const INTERVAL_MIN: Duration = Duration::from_secs(5);
/// Whoever is silent for so long is gone.
const EXPIRY: Duration = Duration::from_secs(60);
/// Peers of an answer at most, and where nobody says how many.
const WANTED_MAX: usize = 50;
/// Torrents that are tracked at once.
const SWARMS_MAX: usize = 64;
/// Peers of a torrent.
const PEERS_MAX: usize = 5_000;

/// The swarms of a tracker.
#[derive(Debug, Default)]
pub struct Tracker {
    swarms: BTreeMap<InfoHash, BTreeMap<SocketAddrV4, Entry>>,
}

/// A peer of a swarm.
#[derive(Debug, Clone, Copy)]
struct Entry {
    peer_id: PeerId,
    complete: bool,
    announced: Time,
}

/// An announce.
#[derive(Debug)]
struct Announce {
    info_hash: InfoHash,
    peer_id: PeerId,
    port: u16,
    complete: bool,
    stopped: bool,
    compact: bool,
    with_ids: bool,
    wanted: usize,
}

/// What is wrong with an announce, for whoever sent it.
type Refusal = &'static str;

impl Tracker {
    /// A tracker that knows nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an announce that came from `from`, and gives the body of the answer: a refusal where the
    /// query is wrong, or too much is tracked already. `query` is what stands behind the `?`.
    pub fn announce(&mut self, now: Time, from: IpAddr, query: &str, rng: &mut impl Rng) -> Bytes {
        match self.take(now, from, query, rng) {
            Ok(body) => body,
            Err(reason) => refusal(reason),
        }
    }

    fn take(
        &mut self,
        now: Time,
        from: IpAddr,
        query: &str,
        rng: &mut impl Rng,
    ) -> Result<Bytes, Refusal> {
        let IpAddr::V4(ip) = from.to_canonical() else { return Err("only IPv4 is tracked") };
        let announce = Announce::parse(query)?;
        let address = SocketAddrV4::new(ip, announce.port);
        self.forget_the_silent(now);
        if announce.stopped {
            if let Some(swarm) = self.swarms.get_mut(&announce.info_hash) {
                swarm.remove(&address);
            }
        } else {
            self.remember(now, address, &announce)?;
        }
        Ok(self.answer(address, &announce, rng))
    }

    fn forget_the_silent(&mut self, now: Time) {
        self.swarms.retain(|_, swarm| {
            swarm.retain(|_, entry| now.since(entry.announced) <= EXPIRY);
            !swarm.is_empty()
        });
    }

    fn remember(
        &mut self,
        now: Time,
        address: SocketAddrV4,
        announce: &Announce,
    ) -> Result<(), Refusal> {
        let full = self.swarms.len() >= SWARMS_MAX;
        if full && !self.swarms.contains_key(&announce.info_hash) {
            return Err("too many torrents");
        }
        let swarm = self.swarms.entry(announce.info_hash).or_default();
        if swarm.len() >= PEERS_MAX && !swarm.contains_key(&address) {
            return Err("too many peers");
        }
        let Announce { peer_id, complete, .. } = *announce;
        swarm.insert(address, Entry { peer_id, complete, announced: now });
        Ok(())
    }

    fn answer(&self, to: SocketAddrV4, announce: &Announce, rng: &mut impl Rng) -> Bytes {
        let nobody = BTreeMap::new();
        let swarm = self.swarms.get(&announce.info_hash).unwrap_or(&nobody);
        let complete = swarm.values().filter(|entry| entry.complete).count();
        let mut others: Vec<_> = swarm.iter().filter(|(address, _)| **address != to).collect();
        let wanted = if announce.stopped { 0 } else { announce.wanted };
        let (chosen, _) = others.partial_shuffle(rng, wanted);
        let mut out = Encoder::new();
        out.dict();
        out.bytes("complete").int(count(complete));
        out.bytes("incomplete").int(count(swarm.len() - complete));
        out.bytes("interval").int(INTERVAL.as_secs());
        out.bytes("min interval").int(INTERVAL_MIN.as_secs());
        out.bytes("peers");
        if announce.compact {
            let compact = chosen.iter().flat_map(|(address, _)| {
                let port = address.port().to_be_bytes();
                address.ip().octets().into_iter().chain(port)
            });
            out.bytes(compact.collect::<Vec<u8>>());
        } else {
            out.list();
            for (address, entry) in chosen {
                out.dict().bytes("ip").bytes(address.ip().to_string());
                if announce.with_ids {
                    out.bytes("peer id").bytes(entry.peer_id.0);
                }
                out.bytes("port").int(address.port()).end();
            }
            out.end();
        }
        out.end();
        out.finish().into()
    }
}

/// The body of an answer that says no.
pub(super) fn refusal(reason: &str) -> Bytes {
    let mut out = Encoder::new();
    out.dict().bytes("failure reason").bytes(reason).end();
    out.finish().into()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

impl Announce {
    fn parse(query: &str) -> Result<Self, Refusal> {
        let values = values(query)?;
        let value = |key: &str| values.get(key.as_bytes());
        let number = |key: &str| -> Result<Option<u64>, Refusal> {
            let Some(value) = value(key) else { return Ok(None) };
            let digits = std::str::from_utf8(value).ok().filter(|text| !text.starts_with('+'));
            digits.and_then(|text| text.parse().ok()).map(Some).ok_or("a number is wrong")
        };
        let name = |key: &str| value(key).and_then(|value| <[u8; 20]>::try_from(&value[..]).ok());
        let port = number("port")?.and_then(|port| u16::try_from(port).ok());
        let stopped = match value("event").map(Vec::as_slice) {
            None | Some(b"" | b"empty" | b"started" | b"completed") => false,
            Some(b"stopped") => true,
            Some(_) => return Err("no such event"),
        };
        let wanted = number("numwant")?.and_then(|wanted| usize::try_from(wanted).ok());
        Ok(Self {
            info_hash: InfoHash(name("info_hash").ok_or("info_hash must have 20 bytes")?),
            peer_id: PeerId(name("peer_id").ok_or("peer_id must have 20 bytes")?),
            port: port.filter(|&port| port > 0).ok_or("port must be 1 to 65535")?,
            complete: number("left")?.ok_or("left is missing")? == 0,
            stopped,
            compact: number("compact")? == Some(1),
            with_ids: number("no_peer_id")? != Some(1),
            wanted: wanted.unwrap_or(WANTED_MAX).min(WANTED_MAX),
        })
    }
}

/// Keys and values of a query, as bytes. The first value of a key counts.
fn values(query: &str) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Refusal> {
    let mut values = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        values.entry(unescape(key)?).or_insert(unescape(value)?);
    }
    Ok(values)
}

/// Takes percent-encoding away (RFC 3986).
fn unescape(text: &str) -> Result<Vec<u8>, Refusal> {
    const WRONG: Refusal = "wrong percent-encoding";
    let digit = |byte: Option<u8>| {
        let value = byte.and_then(|byte| char::from(byte).to_digit(16));
        value.and_then(|value| u8::try_from(value).ok()).ok_or(WRONG)
    };
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let plain = match byte {
            b'%' => (digit(bytes.next())? << 4) | digit(bytes.next())?,
            b'+' => b' ',
            other => other,
        };
        out.push(plain);
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
