//! Golden request targets, and answers of honest and of hostile trackers.

use std::time::Duration;

use proptest::prelude::*;

use super::super::announce::{INTERVAL_DEFAULT, INTERVAL_MAX, Identity, Totals};
use super::super::{PEERS_MAX, RESPONSE_MAX, SHOWN_MAX};
use super::*;
use crate::PeerId;
use crate::bencode::Encoder;

fn request() -> AnnounceRequest {
    AnnounceRequest {
        identity: Identity {
            info_hash: InfoHash(*b"\x124Vx\x9a\xbc\xde\xf1#Eg\x89\xab\xcd\xef\x124Vx\x9a"),
            peer_id: PeerId(*b"-TE0100-abc.~_+/ \x00\xff9"),
            port: 6881,
            key: 0xbeef,
            ip: None,
            ipv6: None,
        },
        totals: Totals { uploaded: 1, downloaded: u64::MAX, left: 3 },
        event: Event::Started,
        numwant: 50,
        tracker_id: None,
    }
}

fn target(url: &str, request: &AnnounceRequest) -> String {
    announce_target(&url.parse().unwrap(), request)
}

fn parse(body: &[u8]) -> Result<AnnounceResponse, Error> {
    parse_announce(body, RESPONSE_MAX)
}

fn peers(body: &[u8]) -> Vec<String> {
    parse(body).unwrap().peers.iter().map(ToString::to_string).collect()
}

#[test]
fn the_request_target_is_as_it_should_be() {
    let hash = "info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A";
    let id = "peer_id=-TE0100-abc.~_%2B%2F%20%00%FF9";
    let totals = "port=6881&uploaded=1&downloaded=18446744073709551615&left=3";
    let rest = "compact=1&no_peer_id=1&key=0000BEEF&numwant=50";
    assert_eq!(
        target("http://t.example/announce", &request()),
        format!("/announce?{hash}&{id}&{totals}&{rest}&event=started")
    );
    let mut request = request();
    request.event = Event::None;
    request.identity.ip = Some("192.0.2.1".parse().unwrap());
    request.identity.ipv6 = Some("2001:db8::1".parse().unwrap());
    request.tracker_id = Some(b"a&b=c".to_vec());
    let more = "ip=192.0.2.1&ipv6=2001%3Adb8%3A%3A1&trackerid=a%26b%3Dc";
    assert_eq!(
        target("https://u:p@t.example/x/announce.php?passkey=k%20#f", &request),
        format!("/x/announce.php?passkey=k%20&{hash}&{id}&{totals}&{rest}&{more}")
    );
}

#[test]
fn the_last_part_of_the_path_becomes_scrape() {
    // The examples of BEP 48.
    let hashes = [InfoHash([b'a'; 20]), InfoHash([b'b'; 20])];
    let scrape = |url: &str| scrape_target(&format!("http://t{url}").parse().unwrap(), &hashes);
    let both = format!("info_hash={}&info_hash={}", "a".repeat(20), "b".repeat(20));
    for (url, target) in [
        ("/announce", "/scrape?"),
        ("/x/announce", "/x/scrape?"),
        ("/announce.php", "/scrape.php?"),
        ("/announce?x2%0644", "/scrape?x2%0644&"),
    ] {
        assert_eq!(scrape(url), Some(format!("{target}{both}")), "{url}");
    }
    for url in ["/a", "/announce/x", "/x%064announce", "", "/?x=/announce"] {
        assert_eq!(scrape(url), None, "{url}");
    }
}

#[test]
fn reads_an_answer_in_compact_form() {
    let body = b"d8:completei5e11:external ip4:\xc0\x00\x02\x0710:incompletei7e8:intervali1800e\
        12:min intervali60e5:peers12:\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\x00\x50\
        6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x0910:tracker id3:xyz\
        15:warning message7:be\nwaree";
    let response = parse(body).unwrap();
    assert_eq!(
        response,
        AnnounceResponse {
            interval: Duration::from_secs(1800),
            min_interval: Some(Duration::from_secs(60)),
            seeds: Some(5),
            leeches: Some(7),
            peers: ["1.2.3.4:6881", "5.6.7.8:80", "[2001:db8::1]:9"]
                .map(|at| at.parse().unwrap())
                .into(),
            external_ip: Some("192.0.2.7".parse().unwrap()),
            tracker_id: Some(b"xyz".to_vec()),
            warning: Some("be\\u{a}ware".to_owned()),
        }
    );
}

#[test]
fn reads_peers_in_dictionaries() {
    let body = b"d8:intervali9e5:peersl\
        d2:ip7:1.2.3.47:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti1ee\
        d2:ip11:2001:db8::24:porti2ee\
        d2:ip14:::ffff:5.6.7.84:porti3ee\
        d2:ip9:localhost4:porti4ee\
        d2:ip7:1.2.3.54:porti0ee\
        d2:ip7:1.2.3.54:porti65536ee\
        d2:ip7:1.2.3.54:porti-1ee\
        d2:ip7:1.2.3.5e\
        i5e0:eee";
    assert_eq!(peers(body), ["1.2.3.4:1", "[2001:db8::2]:2", "5.6.7.8:3"]);
}

#[test]
fn keys_in_any_order_and_a_line_end_are_taken() {
    assert_eq!(peers(b"d5:peers6:\x01\x02\x03\x04\x00\x058:intervali9ee\r\n"), ["1.2.3.4:5"]);
    assert_eq!(peers(b"d8:intervali9e5:peers0:e"), [""; 0]);
}

#[test]
fn a_refusal_is_told_with_its_time() {
    let refusal = |body: &[u8]| match parse(body) {
        Err(Error::Refused { reason, retry }) => (reason, retry),
        other => panic!("{other:?}"),
    };
    let minutes = |n: u64| Retry::After(Duration::from_secs(60 * n));
    assert_eq!(refusal(b"d14:failure reason2:noe"), ("no".to_owned(), Retry::BackOff));
    assert_eq!(refusal(b"d14:failure reason2:no8:retry ini5ee").1, minutes(5));
    assert_eq!(refusal(b"d14:failure reason2:no8:retry in2:15e").1, minutes(15));
    assert_eq!(refusal(b"d14:failure reason2:no8:retry in5:nevere").1, Retry::Never);
    assert_eq!(refusal(b"d14:failure reason2:no8:retry ini-5ee").1, Retry::BackOff);
    let ever = refusal(b"d14:failure reason2:no8:retry ini9223372036854775807ee").1;
    assert_eq!(ever, Retry::After(INTERVAL_MAX));
    assert_eq!(refusal(b"d14:failure reasoni1ee").0, "without a reason");
    let binary = refusal(b"d14:failure reason6:\xff\x00\x1b[2Je").0;
    assert_eq!(binary, "\u{fffd}\\u{0}\\u{1b}[2J");
    let mut long = b"d14:failure reason500000:".to_vec();
    long.extend(vec![b'x'; 500_000]);
    long.push(b'e');
    assert_eq!(refusal(&long).0.len(), SHOWN_MAX);
}

#[test]
fn hostile_answers_are_refused_or_bounded() {
    let interval = |body: &[u8]| parse(body).unwrap().interval;
    assert_eq!(interval(b"d8:intervali0e5:peers0:e"), INTERVAL_DEFAULT);
    assert_eq!(interval(b"d8:intervali-1e5:peers0:e"), INTERVAL_DEFAULT);
    assert_eq!(interval(b"d8:interval1:x5:peers0:e"), INTERVAL_DEFAULT);
    assert_eq!(interval(b"d8:intervali9223372036854775807e5:peers0:e"), INTERVAL_MAX);
    assert_eq!(
        parse_announce(&[b'd'; 11], 10),
        Err(Error::TooLong { actual: 11, limit: 10 }),
        "an endless body is cut by its reader and refused here"
    );
    assert!(matches!(parse(b"<html>404</html>"), Err(Error::Bencode(_))));
    assert!(matches!(parse(&[b'l'; 1_000_000]), Err(Error::Bencode(_))));
    assert!(matches!(parse(b"d5:peers999999999:e"), Err(Error::Bencode(_))));
    assert_eq!(parse(b"le"), Err(Error::NotADictionary));
    assert_eq!(parse(b"de"), Err(Error::Missing("peers")));
    let mut seeds = parse(b"d8:completei-1e10:incompletei99999999999e5:peers0:e").unwrap();
    assert_eq!((seeds.seeds.take(), seeds.leeches), (None, Some(u32::MAX)));
    let id = format!("d8:intervali1e10:tracker id{0}:{1}e", 1000, "x".repeat(1000));
    assert_eq!(parse(id.as_bytes()).unwrap().tracker_id, None);
    assert_eq!(parse(b"d11:external ip5:xxxxx5:peers0:e").unwrap().external_ip, None);
}

#[test]
fn a_hundred_thousand_peers_are_cut() {
    let mut compact = Encoder::new();
    let many: Vec<u8> = (0..100_000_u32)
        .flat_map(|n| [1, n.to_be_bytes()[1], n.to_be_bytes()[2], n.to_be_bytes()[3], 1, 1])
        .collect();
    compact.dict().bytes("peers").bytes(many).end();
    assert_eq!(parse(&compact.finish()).unwrap().peers.len(), PEERS_MAX);
    let mut list = Encoder::new();
    list.dict().bytes("peers").list();
    for n in 0..30_000_u32 {
        list.dict().bytes("ip").bytes("1.2.3.4").bytes("port").int(n % 65_536).end();
    }
    list.end().end();
    let list = list.finish();
    assert!(matches!(parse(&list), Err(Error::TooLong { .. } | Error::Bencode(_))));
}

#[test]
fn an_ipv6_address_among_ipv4_ones_does_no_harm() {
    let body = b"d5:peers18:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x09e";
    assert!(peers(body).len() <= 3);
    assert_eq!(peers(b"d5:peers8:\x01\x02\x03\x04\x00\x05xye"), ["1.2.3.4:5"]);
    assert_eq!(
        peers(b"d6:peers618:\0\0\0\0\0\0\0\0\0\0\xff\xff\x01\x02\x03\x04\x00\x05e"),
        ["1.2.3.4:5"]
    );
}

#[test]
fn reads_a_scrape() {
    let body = b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:downloadedi2e10:incompletei3ee\
        20:ccccccccccccccccccccd8:completei-4ee2:xxi1eee";
    let hashes = [b'c', b'b', b'a'].map(|byte| InfoHash([byte; 20]));
    let full = ScrapeEntry { seeds: 1, leeches: 3, downloads: 2 };
    let entries = parse_scrape(body, &hashes, RESPONSE_MAX).unwrap();
    assert_eq!(entries, [Some(ScrapeEntry::default()), None, Some(full)]);
    assert_eq!(parse_scrape(b"de", &hashes, 9), Err(Error::Missing("files")));
    let refused = parse_scrape(b"d14:failure reason2:noe", &hashes, 99);
    assert!(matches!(refused, Err(Error::Refused { .. })));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = parse(&bytes);
        let _ = parse_scrape(&bytes, &[InfoHash([0; 20])], RESPONSE_MAX);
    }

    #[test]
    fn no_value_of_a_known_key_panics(
        key in prop::sample::select(vec![
            "interval", "peers", "peers6", "failure reason", "retry in", "tracker id", "external ip",
        ]),
        value in "(i-?[1-9][0-9]{0,17}e|3:abc|le|de|ld2:ip2:::4:porti[1-9]eee)",
    ) {
        let body = format!("d{}:{key}{value}e", key.len());
        if let Ok(response) = parse(body.as_bytes()) {
            prop_assert!(response.interval > Duration::ZERO && response.interval <= INTERVAL_MAX);
            prop_assert!(response.peers.iter().all(|peer| peer.port() != 0));
        }
    }
}
