//! One request to a UDP tracker, with its connection id and its retransmissions (BEP 15).
//!
//! An [`Exchange`] sends at its start and after each timeout, and hears datagrams until it is done.
//! It ends in finite time: after [`ATTEMPTS`] packets without an answer the next tracker has its turn.
//! What does not answer the last packet (another transaction, another action, a replay) is ignored.
//! Its owner hands over only datagrams from the address that it sends to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use rand::rngs::SmallRng;

use super::packet::{self, Family, Reply};
use crate::tracker::TrackerUrl;
use crate::tracker::announce::{AnnounceRequest, AnnounceResponse, Error, Retry, ScrapeEntry};
use crate::{InfoHash, Time};

/// Packets that are sent in vain until the tracker is given up, after 75 s in all. BEP 15 goes to
/// `15 × 2⁸` seconds, hours; the other trackers of a torrent cannot wait for that.
pub const ATTEMPTS: u32 = 4;
/// Time for the first answer; it doubles with each attempt. A third of what BEP 15 says: a lost packet
/// should not cost a new torrent its first quarter of a minute.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection id may be used after it was received.
const CONNECTION_LIFE: Duration = Duration::from_secs(60);
/// Connection ids that are remembered.
const CONNECTIONS_MAX: usize = 1000;

/// A connection id: the tracker's proof that we get what is sent to our address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    id: u64,
    expires: Time,
}

impl Connection {
    /// The id, unless its time is over.
    fn valid(self, now: Time) -> Option<u64> {
        (now < self.expires).then_some(self.id)
    }
}

/// Connection ids of trackers by their address, for all torrents of a socket.
#[derive(Debug, Default)]
pub struct Connections {
    known: BTreeMap<SocketAddr, Connection>,
}

impl Connections {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The connection to a tracker that may be used now.
    #[must_use]
    pub fn get(&self, now: Time, address: SocketAddr) -> Option<Connection> {
        self.known.get(&address).copied().filter(|connection| connection.valid(now).is_some())
    }

    /// Remembers what an exchange left: its connection, or that there is none.
    pub fn put(&mut self, now: Time, address: SocketAddr, connection: Option<Connection>) {
        self.known.remove(&address);
        if self.known.len() >= CONNECTIONS_MAX {
            self.known.retain(|_, connection| connection.valid(now).is_some());
        }
        if let Some(connection) = connection
            && self.known.len() < CONNECTIONS_MAX
        {
            self.known.insert(address, connection);
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// An announce.
    Announce {
        /// What is told.
        request: Box<AnnounceRequest>,
        /// The tracker's address, whose path and query go with it (BEP 41).
        tracker: TrackerUrl,
    },
    /// A scrape of at most [`packet::SCRAPE_MAX`] torrents.
    Scrape(Vec<InfoHash>),
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To an announce.
    Announce(AnnounceResponse),
    /// To a scrape: an entry a torrent, in order; fewer if the tracker sent fewer.
    Scrape(Vec<ScrapeEntry>),
}

/// What an exchange needs next.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A datagram, until [`Exchange::poll_timeout`].
    Wait,
    /// This is to be sent to the tracker.
    Send(Bytes),
    /// Nothing: it is done.
    Done(Answer),
    /// Nothing: it failed.
    Failed(Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits for a connection id.
    Connecting,
    /// Waits for the answer.
    Asking,
    /// Hears nothing any more.
    Over,
}

/// One request to one address of a UDP tracker.
#[derive(Debug)]
pub struct Exchange {
    request: Request,
    family: Family,
    state: State,
    connection: Option<Connection>,
    /// The connection id is an earlier exchange's: the tracker may have forgotten it.
    reused: bool,
    transaction: u32,
    attempts: u32,
    deadline: Time,
    rng: SmallRng,
}

impl Exchange {
    /// An exchange that has sent nothing, by a connection of an earlier one if there is one.
    #[must_use]
    pub fn new(
        request: Request,
        family: Family,
        connection: Option<Connection>,
        rng: SmallRng,
    ) -> Self {
        Self {
            request,
            family,
            state: State::Connecting,
            connection,
            reused: connection.is_some(),
            transaction: 0,
            attempts: 0,
            deadline: Time::MAX,
            rng,
        }
    }

    /// The first packet.
    pub fn start(&mut self, now: Time) -> Step {
        self.send(now)
    }

    /// When [`Exchange::handle_timeout`] is due; never before the start and after the end.
    #[must_use]
    pub const fn poll_timeout(&self) -> Time {
        self.deadline
    }

    /// The transaction id of the packet that waits for an answer: by this a socket that several
    /// exchanges share finds whose a datagram is. It changes with every packet.
    #[must_use]
    pub const fn transaction(&self) -> u32 {
        self.transaction
    }

    /// The connection for the next exchange with this address; none after the tracker refused it.
    #[must_use]
    pub const fn connection(&self) -> Option<Connection> {
        self.connection
    }

    /// No answer came in time: asks again, or gives up.
    pub fn handle_timeout(&mut self, now: Time) -> Step {
        if self.state == State::Over || now < self.deadline {
            return Step::Wait;
        }
        self.attempts += 1;
        if self.attempts >= ATTEMPTS {
            return self.over(Step::Failed(Error::TimedOut { attempts: self.attempts }));
        }
        self.send(now)
    }

    /// A datagram came from the tracker's address.
    pub fn handle_datagram(&mut self, now: Time, datagram: &[u8]) -> Step {
        let Some((transaction, reply)) = packet::decode(datagram, self.family) else {
            return Step::Wait;
        };
        if self.state == State::Over || transaction != self.transaction {
            return Step::Wait;
        }
        match (self.state, reply, &self.request) {
            (State::Connecting, Reply::Connect(id), _) => {
                self.connection = Some(Connection { id, expires: now + CONNECTION_LIFE });
                self.send(now)
            }
            (State::Asking, Reply::Announce(response), Request::Announce { .. }) => {
                self.over(Step::Done(Answer::Announce(response)))
            }
            (State::Asking, Reply::Scrape(mut entries), Request::Scrape(info_hashes)) => {
                entries.truncate(info_hashes.len());
                self.over(Step::Done(Answer::Scrape(entries)))
            }
            (_, Reply::Error(reason), _) => self.refused(now, reason),
            (_, Reply::Connect(_) | Reply::Announce(_) | Reply::Scrape(_), _) => Step::Wait,
        }
    }

    /// The tracker says no. It may have been to a connection id that it forgot: then once more.
    fn refused(&mut self, now: Time, reason: String) -> Step {
        self.connection = None;
        if std::mem::take(&mut self.reused) && self.state == State::Asking {
            return self.send(now);
        }
        self.over(Step::Failed(Error::Refused { reason, retry: Retry::BackOff }))
    }

    fn send(&mut self, now: Time) -> Step {
        self.transaction = self.rng.random();
        self.deadline = now + TIMEOUT * 2_u32.saturating_pow(self.attempts);
        let Some(id) = self.connection.and_then(|connection| connection.valid(now)) else {
            self.state = State::Connecting;
            self.reused = false;
            return Step::Send(packet::connect(self.transaction));
        };
        self.state = State::Asking;
        Step::Send(match &self.request {
            Request::Announce { request, tracker } => {
                packet::announce(id, self.transaction, request, &tracker.url_data())
            }
            Request::Scrape(info_hashes) => packet::scrape(id, self.transaction, info_hashes),
        })
    }

    fn over(&mut self, step: Step) -> Step {
        self.state = State::Over;
        self.deadline = Time::MAX;
        step
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;
    use crate::PeerId;
    use crate::tracker::{Event, Identity, Totals};

    const HASH: InfoHash = InfoHash([5; 20]);

    fn exchange(connection: Option<Connection>) -> Exchange {
        let request = Request::Scrape(vec![HASH]);
        Exchange::new(request, Family::V4, connection, SmallRng::seed_from_u64(1))
    }

    /// The action of what is to be sent: 0 to connect, 2 to scrape.
    fn sent(step: &Step) -> u8 {
        match step {
            Step::Send(packet) => packet[11],
            Step::Wait | Step::Done(_) | Step::Failed(_) => panic!("{step:?}"),
        }
    }

    fn reply(exchange: &Exchange, action: u8, body: &[u8]) -> Vec<u8> {
        [&[0, 0, 0, action][..], &exchange.transaction().to_be_bytes(), body].concat()
    }

    fn connected(exchange: &mut Exchange, at: u64) -> Step {
        let connect = reply(exchange, 0, &[7; 8]);
        exchange.handle_datagram(Time::from_secs(at), &connect)
    }

    #[test]
    fn connects_asks_and_is_done() {
        let mut exchange = exchange(None);
        assert_eq!(sent(&exchange.start(Time::ZERO)), 0);
        let ask = connected(&mut exchange, 1);
        assert_eq!(sent(&ask), 2);
        assert!(matches!(ask, Step::Send(packet) if packet[..8] == [7; 8]));
        let scrape = reply(&exchange, 2, &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]);
        let entry = ScrapeEntry { seeds: 1, downloads: 2, leeches: 3 };
        let done = exchange.handle_datagram(Time::from_secs(2), &scrape);
        assert_eq!(done, Step::Done(Answer::Scrape(vec![entry])));
        assert_eq!(exchange.poll_timeout(), Time::MAX);
        assert_eq!(exchange.handle_datagram(Time::from_secs(2), &scrape), Step::Wait);
    }

    #[test]
    fn an_announce_goes_with_its_address_and_is_answered() {
        let identity = Identity {
            info_hash: HASH,
            peer_id: PeerId([6; 20]),
            port: 1,
            key: 2,
            ip: None,
            ipv6: None,
        };
        let request = AnnounceRequest {
            identity,
            totals: Totals::default(),
            event: Event::Started,
            numwant: 3,
            tracker_id: None,
        };
        let tracker: TrackerUrl = "udp://t.example:6969/announce?key=secret".parse().unwrap();
        let request = Request::Announce { request: Box::new(request), tracker };
        assert!(!format!("{request:?}").contains("secret"));
        let mut exchange = Exchange::new(request, Family::V6, None, SmallRng::seed_from_u64(1));
        let _ = exchange.start(Time::ZERO);
        let Step::Send(packet) = connected(&mut exchange, 0) else { panic!() };
        assert_eq!(&packet[98..], b"\x02\x14/announce?key=secret\x00");
        let body = [&[0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2][..], &[0x20; 18]].concat();
        let answer = reply(&exchange, 1, &body);
        let done = exchange.handle_datagram(Time::ZERO, &answer);
        let Step::Done(Answer::Announce(response)) = done else { panic!("{done:?}") };
        assert_eq!((response.interval, response.peers.len()), (Duration::from_secs(9), 1));
    }

    #[test]
    fn asks_again_after_twice_as_long_each_time_and_gives_up() {
        let mut exchange = exchange(None);
        let _ = exchange.start(Time::ZERO);
        let mut at = 0;
        for wait in [5, 10, 20] {
            at += wait;
            assert_eq!(exchange.poll_timeout(), Time::from_secs(at));
            assert_eq!(exchange.handle_timeout(Time::from_secs(at - 1)), Step::Wait, "too early");
            assert_eq!(sent(&exchange.handle_timeout(Time::from_secs(at))), 0);
        }
        let end = exchange.handle_timeout(Time::from_secs(at + 40));
        assert_eq!(end, Step::Failed(Error::TimedOut { attempts: ATTEMPTS }));
        assert_eq!(exchange.poll_timeout(), Time::MAX);
    }

    #[test]
    fn a_connection_id_is_used_for_a_minute() {
        let mut first = exchange(None);
        let _ = first.start(Time::ZERO);
        let _ = connected(&mut first, 0);
        assert_eq!(sent(&first.handle_timeout(Time::from_secs(15))), 2);
        assert_eq!(sent(&first.handle_timeout(Time::from_secs(45))), 2);
        assert_eq!(sent(&first.handle_timeout(Time::from_secs(105))), 0, "it expired");
        let mut connections = Connections::new();
        let at = "192.0.2.1:6969".parse().unwrap();
        connections.put(Time::ZERO, at, first.connection());
        let mut second = exchange(connections.get(Time::from_secs(59), at));
        assert_eq!(sent(&second.start(Time::from_secs(59))), 2);
        assert_eq!(connections.get(Time::from_secs(60), at), None);
    }

    #[test]
    fn a_forgotten_connection_id_is_asked_for_once_more() {
        let connection = Connection { id: 9, expires: Time::from_secs(60) };
        let mut exchange = exchange(Some(connection));
        assert_eq!(sent(&exchange.start(Time::ZERO)), 2);
        let mismatch = reply(&exchange, 3, b"connection id mismatch");
        assert_eq!(sent(&exchange.handle_datagram(Time::ZERO, &mismatch)), 0);
        assert_eq!(sent(&connected(&mut exchange, 0)), 2);
        let refusal = reply(&exchange, 3, b"no\0");
        let reason = "no\\u{0}".to_owned();
        let failed = Step::Failed(Error::Refused { reason, retry: Retry::BackOff });
        assert_eq!(exchange.handle_datagram(Time::ZERO, &refusal), failed);
        assert_eq!(exchange.connection(), None);
    }

    #[test]
    fn other_transactions_other_actions_and_replays_are_ignored() {
        let mut exchange = exchange(None);
        let _ = exchange.start(Time::ZERO);
        let connect = reply(&exchange, 0, &[7; 8]);
        let mut other = connect.clone();
        other[7] ^= 1;
        for wrong in [&other[..], &connect[..12], &reply(&exchange, 2, &[0; 12]), b""] {
            assert_eq!(exchange.handle_datagram(Time::ZERO, wrong), Step::Wait);
        }
        assert_eq!(sent(&exchange.handle_datagram(Time::ZERO, &connect)), 2);
        assert_eq!(exchange.handle_datagram(Time::ZERO, &connect), Step::Wait, "a replay");
        let again = reply(&exchange, 0, &[8; 8]);
        assert_eq!(exchange.handle_datagram(Time::ZERO, &again), Step::Wait, "not asked for");
        let announce = reply(&exchange, 1, &[0; 12]);
        assert_eq!(exchange.handle_datagram(Time::ZERO, &announce), Step::Wait);
        let many = reply(&exchange, 2, &[0; 36]);
        let done = exchange.handle_datagram(Time::ZERO, &many);
        assert_eq!(done, Step::Done(Answer::Scrape(vec![ScrapeEntry::default()])));
    }

    #[test]
    fn remembered_connections_are_bounded() {
        let mut connections = Connections::new();
        let address = |n: u32| SocketAddr::new(std::net::Ipv4Addr::from(n).into(), 1);
        let until = |secs| Some(Connection { id: 1, expires: Time::from_secs(secs) });
        for n in 0..2000 {
            connections.put(Time::ZERO, address(n), until(60));
        }
        assert_eq!(connections.known.len(), CONNECTIONS_MAX);
        connections.put(Time::from_secs(60), address(5000), until(120));
        assert_eq!(connections.known.len(), 1, "those that expired made room");
        connections.put(Time::from_secs(60), address(5000), None);
        assert_eq!(connections.known.len(), 0);
    }

    proptest! {
        #[test]
        fn no_datagram_panics(body in prop::collection::vec(any::<u8>(), 0..64), action in 0..5_u8) {
            let mut exchange = exchange(None);
            let _ = exchange.start(Time::ZERO);
            for _ in 0..3 {
                let datagram = reply(&exchange, action, &body);
                let _ = exchange.handle_datagram(Time::ZERO, &datagram);
                let _ = exchange.handle_datagram(Time::ZERO, &body);
                let _ = connected(&mut exchange, 0);
            }
        }
    }
}
