//! UDP trackers (BEP 15, 41): datagrams, and an exchange with whoever sends them.

use bittorrent::tracker::udp::{Exchange, Family, Request, SCRAPE_MAX, Step, exchange, packet};
use bittorrent::tracker::{AnnounceRequest, Event, Identity, Totals};
use bittorrent::{InfoHash, PeerId, Time};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::Seed;
use crate::input::Input;
use crate::tracker_http::{check_response, check_shown};

/// Bytes in front of every answer: what it is, and to which request.
const HEADER_LEN: usize = 8;

/// The first byte chooses family and request. Then come datagrams, each with its length in front and
/// without the number of the request; a length of 255 is a time-out instead.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = input.byte();
    let family = if choice & 1 == 0 { Family::V4 } else { Family::V6 };
    let request = if choice & 2 == 0 {
        announce()
    } else {
        Request::Scrape(vec![InfoHash([7; 20]); usize::from(choice >> 2)])
    };
    let asked = usize::from(choice >> 2).min(SCRAPE_MAX);
    let mut exchange = Exchange::new(request, family, None, SmallRng::seed_from_u64(1));
    let mut now = Time::ZERO;
    let mut step = exchange.start(now);
    let mut time_outs = 0;
    while !input.is_empty() {
        match &step {
            Step::Wait => {}
            Step::Send(datagram) => assert!(datagram.len() >= 2 * HEADER_LEN),
            Step::Done(exchange::Answer::Announce(response)) => check_response(response),
            Step::Done(exchange::Answer::Scrape(entries)) => assert!(entries.len() <= asked),
            Step::Failed(error) => check_shown(&error.to_string()),
        }
        if matches!(step, Step::Done(_) | Step::Failed(_)) {
            break;
        }
        assert!(exchange.poll_timeout() > now, "due again at once");
        let length = input.byte();
        step = if length == u8::MAX {
            time_outs += 1;
            assert!(time_outs <= exchange::ATTEMPTS, "goes on for ever");
            now = exchange.poll_timeout();
            exchange.handle_timeout(now)
        } else {
            let datagram = answer(&exchange, input.take(usize::from(length)));
            check_datagram(&datagram, family);
            exchange.handle_datagram(now, &datagram)
        };
    }
}

/// Puts the number of the request behind the first four bytes.
fn answer(exchange: &Exchange, bytes: &[u8]) -> Vec<u8> {
    let Some((action, body)) = bytes.split_at_checked(4) else { return bytes.to_vec() };
    [action, &exchange.transaction().to_be_bytes(), body].concat()
}

fn check_datagram(datagram: &[u8], family: Family) {
    match packet::decode(datagram, family) {
        Some((_, packet::Reply::Announce(response))) => check_response(&response),
        Some((_, packet::Reply::Scrape(entries))) => assert!(entries.len() <= SCRAPE_MAX),
        Some((_, packet::Reply::Error(text))) => check_shown(&text),
        Some((_, packet::Reply::Connect(_))) | None => {}
    }
}

fn announce() -> Request {
    let identity = Identity {
        info_hash: InfoHash([7; 20]),
        peer_id: PeerId([1; 20]),
        port: 6_881,
        key: 1,
        ip: None,
        ipv6: None,
    };
    let request = AnnounceRequest {
        identity,
        totals: Totals { uploaded: 1, downloaded: 2, left: 3 },
        event: Event::Started,
        numwant: 50,
        tracker_id: None,
    };
    let tracker = "udp://t.example:80/announce?key=1".parse().expect("the address is valid");
    Request::Announce { request: Box::new(request), tracker }
}

/// An announce over each family, a scrape, a refusal, and a tracker that does not answer.
pub fn seeds() -> Vec<Seed> {
    let datagram = |action: u32, body: &[u8]| {
        let length = u8::try_from(4 + body.len()).expect("a short datagram");
        [&[length], &action.to_be_bytes()[..], body].concat()
    };
    let connect = datagram(0, &[9; 8]);
    let counts = [0, 0, 7, 8, 0, 0, 0, 1, 0, 0, 0, 2];
    let v4 = datagram(1, &[&counts[..], &[192, 0, 2, 1, 0x1a, 0xe1]].concat());
    let v6 = datagram(1, &[&counts[..], &[0x20, 1, 0xd, 0xb8], &[0; 12], &[0x1a, 0xe1]].concat());
    let scrape = datagram(2, &counts);
    let refusal = datagram(3, b"no such torrent");
    let silent = [&[u8::MAX, u8::MAX], &connect[..], &[u8::MAX; 6]].concat();
    let with = |choice: u8, parts: &[&[u8]]| [&[choice], &parts.concat()[..]].concat();
    vec![
        ("v4", with(0, &[&connect, &v4, &[255]])),
        ("v6", with(1, &[&connect, &v6, &[255]])),
        ("scrape", with(2 | 4, &[&connect, &scrape, &[255]])),
        ("refusal", with(0, &[&connect, &refusal, &[255]])),
        ("silent", with(0, &[&silent])),
    ]
}
