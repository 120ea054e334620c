//! The two sides against each other, and each against peers that break the rules.

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::dh::{KEY_LEN, Secret};
use super::keys::Shared;
use super::*;
use crate::PeerId;
use crate::wire::handshake::HANDSHAKE_LEN;
use crate::wire::{Handshake, Reserved};

const TORRENT: InfoHash = InfoHash([0xab; 20]);

fn handshake() -> Handshake {
    let peer_id = PeerId(*b"-TE0100-abcdefghijkl");
    Handshake { reserved: Reserved::OURS, info_hash: TORRENT, peer_id }
}

/// Gives `buf` to a responder, answering for the torrent; the end, once it is reached.
fn feed_responder(
    responder: &mut Responder,
    buf: &mut BytesMut,
) -> Result<Option<Established>, Error> {
    match responder.receive(buf)? {
        Progress::NeedMore => Ok(None),
        Progress::Complete(established) => Ok(Some(established)),
        Progress::NeedTorrent(name) => {
            assert_eq!(name, obfuscated(TORRENT));
            responder.set_torrent(TORRENT);
            feed_responder(responder, buf)
        }
    }
}

fn feed_initiator(
    initiator: &mut Initiator,
    buf: &mut BytesMut,
) -> Result<Option<Established>, Error> {
    match initiator.receive(buf)? {
        Progress::NeedMore => Ok(None),
        Progress::Complete(established) => Ok(Some(established)),
        Progress::NeedTorrent(_) => panic!("an initiator knows its torrent"),
    }
}

/// Both sides after a handshake.
struct Pair {
    initiator: Established,
    responder: Established,
    /// What the responder reads behind the handshake.
    received: BytesMut,
}

/// Runs both sides, moving 1 to `step` bytes at a time.
fn run(
    offer: Methods,
    allowed: Methods,
    preferred: Method,
    step: usize,
    seed: u64,
) -> Result<Pair, Error> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut a = Initiator::new(&handshake(), offer, &mut rng);
    let mut b = Responder::new(allowed, preferred, &mut rng);
    let (mut a_buf, mut b_buf) = (BytesMut::new(), BytesMut::new());
    let (mut a_end, mut b_end): (Option<Established>, Option<Established>) = (None, None);
    for _ in 0..20_000 {
        let moved = a.transmit().len().min(rng.random_range(1..=step));
        let mut bytes = a.transmit().split_to(moved);
        if let Some(ciphers) = b_end.as_mut().and_then(|end| end.ciphers.as_mut()) {
            ciphers.receive.apply(&mut bytes);
        }
        b_buf.extend_from_slice(&bytes);
        if b_end.is_none() {
            b_end = feed_responder(&mut b, &mut b_buf)?;
        }
        let moved = b.transmit().len().min(rng.random_range(1..=step));
        a_buf.extend_from_slice(&b.transmit().split_to(moved));
        if a_end.is_none() {
            a_end = feed_initiator(&mut a, &mut a_buf)?;
        }
        if a_end.is_some() && b_end.is_some() && a.transmit().is_empty() {
            break;
        }
    }
    assert!(a_buf.is_empty());
    let (initiator, responder) = (a_end.expect("an end"), b_end.expect("an end"));
    Ok(Pair { initiator, responder, received: b_buf })
}

/// Checks that both selected `expected` and understand each other.
fn check(pair: Pair, expected: Method) {
    let Pair { mut initiator, mut responder, received } = pair;
    assert_eq!((initiator.method(), responder.method()), (expected, expected));
    assert_eq!((initiator.info_hash, responder.info_hash), (TORRENT, TORRENT));
    assert_eq!(received, handshake().encode()[..]);
    if let (Some(a), Some(b)) = (&mut initiator.ciphers, &mut responder.ciphers) {
        for (send, receive) in [(&mut a.send, &mut b.receive), (&mut b.send, &mut a.receive)] {
            let mut bytes = *b"a message";
            send.apply(&mut bytes);
            assert_ne!(&bytes, b"a message");
            receive.apply(&mut bytes);
            assert_eq!(&bytes, b"a message");
        }
    }
}

#[test]
fn selects_what_both_allow_and_the_responder_prefers() {
    use Method::{Plaintext, Rc4};
    let cases = [
        (Methods::Both, Methods::Both, Plaintext, Ok(Plaintext)),
        (Methods::Both, Methods::Both, Rc4, Ok(Rc4)),
        (Methods::Both, Methods::Plaintext, Rc4, Ok(Plaintext)),
        (Methods::Both, Methods::Rc4, Plaintext, Ok(Rc4)),
        (Methods::Rc4, Methods::Both, Plaintext, Ok(Rc4)),
        (Methods::Rc4, Methods::Rc4, Plaintext, Ok(Rc4)),
        (Methods::Rc4, Methods::Plaintext, Plaintext, Err(Error::NothingAllowed(2))),
        (Methods::Plaintext, Methods::Both, Rc4, Ok(Plaintext)),
        (Methods::Plaintext, Methods::Plaintext, Rc4, Ok(Plaintext)),
        (Methods::Plaintext, Methods::Rc4, Rc4, Err(Error::NothingAllowed(1))),
    ];
    for (seed, (offer, allowed, preferred, expected)) in (0..).zip(cases) {
        for step in [1, 7, 100, 5_000] {
            match (run(offer, allowed, preferred, step, seed), &expected) {
                (Ok(pair), Ok(method)) => check(pair, *method),
                (Err(error), Err(expected)) => assert_eq!(error, *expected),
                (result, _) => panic!("{offer:?} {allowed:?}: {:?}", result.map(|_| ())),
            }
        }
    }
}

#[test]
fn policies_say_what_is_dialled_and_accepted() {
    use Incoming::{Encrypted, NeedMore, Plain};
    for (policy, dials, redials, plain, encrypted) in [
        (Policy::Plain, false, false, true, false),
        (Policy::Prefer, true, true, true, true),
        (Policy::Require, true, false, false, true),
    ] {
        assert_eq!((policy.dials_encrypted(), policy.redials_plain()), (dials, redials));
        assert_eq!((policy.accepts(Plain), policy.accepts(Encrypted)), (plain, encrypted));
        assert!(policy.accepts(NeedMore));
    }
}

#[test]
fn classifies_at_the_first_byte_that_tells() {
    let plain = handshake().encode();
    assert_eq!(classify(b""), Incoming::NeedMore);
    assert_eq!(classify(&plain[..19]), Incoming::NeedMore);
    assert_eq!(classify(&plain[..20]), Incoming::Plain);
    assert_eq!(classify(&plain), Incoming::Plain);
    assert_eq!(classify(&[0x13, 0x42, 0x43]), Incoming::Encrypted);
    assert_eq!(classify(&[0; 96]), Incoming::Encrypted);
}

/// An initiator's bytes written by hand: `after` comes behind the torrent's name, in RC4.
fn answer_to(pad: usize, after: &[u8], behind: &[u8]) -> Result<Option<BytesMut>, Error> {
    let mut rng = SmallRng::seed_from_u64(5);
    let mut responder = Responder::new(Methods::Both, Method::Plaintext, &mut rng);
    let secret = Secret::draw(&mut rng);
    let key = responder.transmit().first_chunk::<KEY_LEN>().unwrap();
    let shared = Shared(secret.agree(key).unwrap());
    let mut buf = BytesMut::from(&secret.public_key()[..]);
    buf.extend_from_slice(&vec![0x55; pad]);
    buf.extend_from_slice(&shared.mark());
    buf.extend_from_slice(&shared.mask(obfuscated(TORRENT)));
    let mut after = after.to_vec();
    shared.initiator(TORRENT).send.apply(&mut after);
    buf.extend_from_slice(&after);
    buf.extend_from_slice(behind);
    let end = feed_responder(&mut responder, &mut buf)?;
    Ok(end.map(|_| buf))
}

/// Constant, methods, padding and the length of the initial payload.
fn offer(methods: u32, pad: u16, payload: u16) -> Vec<u8> {
    let mut bytes = VC.to_vec();
    bytes.extend(methods.to_be_bytes());
    bytes.extend(pad.to_be_bytes());
    bytes.extend(vec![0; usize::from(pad)]);
    bytes.extend(payload.to_be_bytes());
    bytes
}

#[test]
fn a_responder_takes_what_is_within_its_limits() {
    for (pad, pad_c) in [(0, 0), (512, 0), (0, 512), (512, 512)] {
        let mut bytes = offer(1, pad_c, 5);
        bytes.extend(b"first");
        let received = answer_to(pad, &bytes, b" second").unwrap().expect("an end");
        assert_eq!(received, b"first second"[..], "pads of {pad} and {pad_c}");
    }
    let mut bytes = offer(2, 0, INITIAL_PAYLOAD_MAX);
    bytes.extend([7; INITIAL_PAYLOAD_MAX as usize + 9]);
    let received = answer_to(0, &bytes, b"").unwrap().expect("an end");
    assert_eq!(received, [7; INITIAL_PAYLOAD_MAX as usize + 9][..]);
    let unknown_bits = offer(0xffff_fff1, 0, 0);
    assert!(answer_to(0, &unknown_bits, b"").unwrap().is_some());
}

#[test]
fn a_responder_refuses_what_is_beyond() {
    let refused = |pad, after: &[u8]| answer_to(pad, after, b"").unwrap_err();
    assert_eq!(refused(513, &offer(2, 0, 0)), Error::NoMark);
    assert_eq!(refused(0, &offer(2, 513, 0)), Error::PadTooLong(513));
    assert_eq!(refused(0, &offer(2, u16::MAX, 0)), Error::PadTooLong(u16::MAX));
    assert_eq!(refused(0, &offer(2, 0, 16_385)), Error::PayloadTooLong(16_385));
    assert_eq!(refused(0, &offer(0, 0, 0)), Error::NothingAllowed(0));
    assert_eq!(refused(0, &offer(4, 0, 0)), Error::NothingAllowed(4));
    let mut wrong = offer(2, 0, 0);
    wrong[7] = 1;
    assert_eq!(refused(0, &wrong), Error::WrongConstant);
}

/// A responder's bytes written by hand: `after` comes behind the padding, in RC4.
fn answer_from(
    offer: Methods,
    pad: usize,
    after: &[u8],
    behind: &[u8],
) -> Result<Option<BytesMut>, Error> {
    let mut rng = SmallRng::seed_from_u64(6);
    let mut initiator = Initiator::new(&handshake(), offer, &mut rng);
    let secret = Secret::draw(&mut rng);
    let key = initiator.transmit().first_chunk::<KEY_LEN>().unwrap();
    let shared = Shared(secret.agree(key).unwrap());
    let mut buf = BytesMut::from(&secret.public_key()[..]);
    buf.extend_from_slice(&vec![0x55; pad]);
    let mut after = after.to_vec();
    shared.responder(TORRENT).send.apply(&mut after);
    buf.extend_from_slice(&after);
    buf.extend_from_slice(behind);
    let end = feed_initiator(&mut initiator, &mut buf)?;
    Ok(end.map(|_| buf))
}

/// Constant, selection and padding.
fn selection(methods: u32, pad: u16) -> Vec<u8> {
    let mut bytes = offer(methods, pad, 0);
    bytes.truncate(bytes.len() - 2);
    bytes
}

#[test]
fn an_initiator_takes_what_is_within_its_limits() {
    for (pad, pad_d) in [(0, 0), (512, 0), (0, 512), (512, 512)] {
        let plain = answer_from(Methods::Both, pad, &selection(1, pad_d), b"message").unwrap();
        assert_eq!(plain.expect("an end"), b"message"[..], "pads of {pad} and {pad_d}");
        let mut bytes = selection(2, pad_d);
        bytes.extend(b"message");
        let encrypted = answer_from(Methods::Rc4, pad, &bytes, b"").unwrap();
        assert_eq!(encrypted.expect("an end"), b"message"[..], "pads of {pad} and {pad_d}");
    }
}

#[test]
fn an_initiator_refuses_what_is_beyond() {
    let refused = |offer, pad, after: &[u8]| answer_from(offer, pad, after, &[0; 600]).unwrap_err();
    assert_eq!(refused(Methods::Both, 513, &selection(2, 0)), Error::NoMark);
    assert_eq!(refused(Methods::Both, 0, &selection(2, 513)), Error::PadTooLong(513));
    for (offer, selected) in [
        (Methods::Both, 0),
        (Methods::Both, 3),
        (Methods::Both, 4),
        (Methods::Rc4, 1),
        (Methods::Plaintext, 2),
    ] {
        assert_eq!(refused(offer, 0, &selection(selected, 0)), Error::NotOffered(selected));
    }
    let mut wrong = selection(2, 0);
    wrong[7] = 1;
    assert_eq!(refused(Methods::Both, 0, &wrong), Error::NoMark);
}

#[test]
fn unfit_keys_are_refused_and_end_the_handshake() {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut one = [0; KEY_LEN];
    one[KEY_LEN - 1] = 1;
    for key in [[0; KEY_LEN], one, [0xff; KEY_LEN]] {
        let mut initiator = Initiator::new(&handshake(), Methods::Both, &mut rng);
        let mut responder = Responder::new(Methods::Both, Method::Rc4, &mut rng);
        let mut buf = BytesMut::from(&key[..]);
        assert_eq!(initiator.receive(&mut buf.clone()).unwrap_err(), Error::UnfitKey);
        assert_eq!(initiator.receive(&mut buf.clone()).unwrap_err(), Error::Over);
        assert_eq!(responder.receive(&mut buf).unwrap_err(), Error::UnfitKey);
        responder.set_torrent(TORRENT);
        assert_eq!(responder.receive(&mut buf).unwrap_err(), Error::Over);
    }
}

#[test]
fn the_handshake_goes_along_only_where_it_is_surely_decrypted() {
    let sent = |offer| {
        let mut rng = SmallRng::seed_from_u64(8);
        let mut initiator = Initiator::new(&handshake(), offer, &mut rng);
        let mut key = BytesMut::from(&Secret::draw(&mut rng).public_key()[..]);
        initiator.transmit().clear();
        let _ = initiator.receive(&mut key);
        initiator.transmit().len()
    };
    assert_eq!(sent(Methods::Rc4), sent(Methods::Both) + HANDSHAKE_LEN);
    assert_eq!(sent(Methods::Plaintext), sent(Methods::Both));
}

#[test]
fn asks_for_the_torrent_until_it_is_told() {
    let mut rng = SmallRng::seed_from_u64(9);
    let mut initiator = Initiator::new(&handshake(), Methods::Both, &mut rng);
    let mut responder = Responder::new(Methods::Both, Method::Rc4, &mut rng);
    let _ = initiator.receive(responder.transmit()).unwrap();
    for _ in 0..2 {
        let progress = responder.receive(initiator.transmit()).unwrap();
        assert!(matches!(progress, Progress::NeedTorrent(name) if name == obfuscated(TORRENT)));
    }
    // Another torrent gives another key.
    responder.set_torrent(InfoHash([1; 20]));
    assert_eq!(responder.receive(initiator.transmit()).unwrap_err(), Error::WrongConstant);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_cuts_of_the_streams_lead_to_the_same_end(seed in any::<u64>(), step in 1_usize..700) {
        check(run(Methods::Both, Methods::Both, Method::Rc4, step, seed).unwrap(), Method::Rc4);
    }

    #[test]
    fn noise_ends_both_sides_early(
        reads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 16),
    ) {
        let mut rng = SmallRng::seed_from_u64(10);
        let mut initiator = Initiator::new(&handshake(), Methods::Both, &mut rng);
        let mut responder = Responder::new(Methods::Both, Method::Rc4, &mut rng);
        let mut bufs = [BytesMut::new(), BytesMut::new()];
        let mut ended = [false; 2];
        let mut total = 0;
        for read in reads {
            total += read.len();
            for (side, buf) in bufs.iter_mut().enumerate() {
                buf.extend_from_slice(&read);
                let result =
                    if side == 0 { initiator.receive(buf) } else { responder.receive(buf) };
                ended[side] |= result.is_err();
                prop_assert!(ended[side] || matches!(result, Ok(Progress::NeedMore)));
                prop_assert!(ended[side] || buf.len() < KEY_LEN, "it keeps no padding");
            }
        }
        let most = KEY_LEN + usize::from(PAD_MAX) + 20;
        prop_assert!(total < most || ended == [true; 2]);
    }

    #[test]
    fn noise_behind_the_torrents_name_does_not_panic(
        after in prop::collection::vec(any::<u8>(), 0..100),
        has_constant in any::<bool>(),
    ) {
        let start = if has_constant { &VC[..] } else { &[] };
        let _ = answer_to(3, &[start, &after].concat(), &after);
        let _ = answer_from(Methods::Both, 3, &[start, &after].concat(), &after);
    }
}
