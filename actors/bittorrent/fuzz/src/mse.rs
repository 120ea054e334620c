//! Encrypted handshakes (MSE): sides that hear anything, and pairs whose streams are cut and damaged.

use bittorrent::encryption::{
    Established, INITIAL_PAYLOAD_MAX, Incoming, Initiator, Method, Methods, PAD_MAX, Progress,
    Responder, classify, obfuscated,
};
use bittorrent::wire::{Handshake, Reserved};
use bittorrent::{InfoHash, PeerId};
use bytes::BytesMut;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::Seed;
use crate::input::Input;

const INFO_HASH: InfoHash = InfoHash([7; 20]);
/// Bytes that may wait while more are needed: the payload or the padding, and what is before it.
const WAITING_MAX: usize = INITIAL_PAYLOAD_MAX as usize + PAD_MAX as usize + 256;

/// The first byte chooses what is allowed and who hears what; the second a length of steps.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = input.byte();
    let step = usize::from(input.byte()).max(1);
    let seed = u64::from(input.byte());
    let (ours, theirs) = (methods(choice >> 2), methods(choice >> 4));
    let mut rng = SmallRng::seed_from_u64(seed);
    let handshake =
        Handshake { reserved: Reserved::OURS, info_hash: INFO_HASH, peer_id: PeerId([1; 20]) };
    let initiator = Initiator::new(&handshake, ours, &mut rng);
    let preferred = if choice & 0x40 == 0 { Method::Plaintext } else { Method::Rc4 };
    let responder = Responder::new(theirs, preferred, &mut rng);
    match choice % 4 {
        0 => hear(Side::Initiator(initiator), input.rest(), step),
        1 => hear(Side::Responder(responder), input.rest(), step),
        _ => {
            let damage = (choice % 4 == 3).then(|| usize::from(input.number()));
            let agree = [Method::Plaintext, Method::Rc4]
                .into_iter()
                .any(|method| ours.contains(method) && theirs.contains(method));
            pair(initiator, responder, step, damage, agree);
        }
    }
}

const fn methods(choice: u8) -> Methods {
    match choice % 3 {
        0 => Methods::Both,
        1 => Methods::Plaintext,
        _ => Methods::Rc4,
    }
}

enum Side {
    Initiator(Initiator),
    Responder(Responder),
}

impl Side {
    /// Hears bytes; `Err` when the connection is to be closed.
    fn receive(&mut self, buf: &mut BytesMut) -> Result<Option<Established>, ()> {
        loop {
            let progress = match self {
                Self::Initiator(side) => side.receive(buf),
                Self::Responder(side) => side.receive(buf),
            };
            match (progress.map_err(|_| ())?, &mut *self) {
                (Progress::NeedMore, _) => {
                    assert!(buf.len() <= WAITING_MAX, "{} bytes wait", buf.len());
                    return Ok(None);
                }
                (Progress::Complete(established), _) => return Ok(Some(established)),
                (Progress::NeedTorrent(name), Self::Responder(side)) => {
                    if name != obfuscated(INFO_HASH) {
                        return Err(());
                    }
                    side.set_torrent(INFO_HASH);
                }
                (Progress::NeedTorrent(_), Self::Initiator(_)) => panic!("we named it"),
            }
        }
    }

    fn transmit(&mut self) -> BytesMut {
        match self {
            Self::Initiator(side) => side.transmit().split(),
            Self::Responder(side) => side.transmit().split(),
        }
    }
}

/// A peer that says anything, in steps.
fn hear(mut side: Side, bytes: &[u8], step: usize) {
    if classify(bytes) == Incoming::Plain {
        return;
    }
    let mut buf = BytesMut::new();
    for part in bytes.chunks(step) {
        buf.extend_from_slice(part);
        match side.receive(&mut buf) {
            Ok(None) => {}
            Ok(Some(_)) | Err(()) => break,
        }
        assert!(side.transmit().len() <= WAITING_MAX);
    }
}

/// Both sides, with their streams cut in steps and perhaps a byte of what the initiator sends damaged.
fn pair(a: Initiator, b: Responder, step: usize, damage: Option<usize>, agree: bool) {
    let (mut a, mut b) = (Side::Initiator(a), Side::Responder(b));
    let (mut at_a, mut at_b) = (BytesMut::new(), BytesMut::new());
    let (mut to_a, mut to_b) = (BytesMut::new(), BytesMut::new());
    let (mut of_a, mut of_b, mut sent) = (None, None, 0);
    loop {
        let mut more = a.transmit();
        if let Some(damaged) = damage.and_then(|at| at.checked_sub(sent))
            && let Some(byte) = more.get_mut(damaged)
        {
            *byte ^= 0x55;
        }
        sent += more.len();
        to_b.extend_from_slice(&more);
        to_a.extend_from_slice(&b.transmit());
        if to_a.is_empty() && to_b.is_empty() {
            break;
        }
        at_a.extend_from_slice(&to_a.split_to(step.min(to_a.len())));
        at_b.extend_from_slice(&to_b.split_to(step.min(to_b.len())));
        for (side, buf, end) in [(&mut a, &mut at_a, &mut of_a), (&mut b, &mut at_b, &mut of_b)] {
            if end.is_none() && !buf.is_empty() {
                match side.receive(buf) {
                    Ok(established) => *end = established,
                    Err(()) => {
                        assert!(damage.is_some() || !agree, "two honest sides do not agree");
                        return;
                    }
                }
            }
        }
    }
    if damage.is_none() && agree {
        let (of_a, of_b) = (of_a.expect("a is done"), of_b.expect("b is done"));
        assert_eq!(of_a.method(), of_b.method());
        assert_eq!(of_b.info_hash, INFO_HASH);
    }
}

/// Pairs that agree on each method or on none, damaged ones, and other protocols.
pub fn seeds() -> Vec<Seed> {
    vec![
        ("pair", vec![2, 255, 1]),
        ("pair_rc4", vec![2 | 2 << 2 | 0x40, 7, 2]),
        ("pair_nothing", vec![2 | 1 << 2 | 2 << 4, 255, 3]),
        ("pair_damaged", vec![3, 64, 4, 0, 100]),
        ("http", [&[1, 16, 0], &b"GET / HTTP/1.1\r\n\r\n"[..]].concat()),
        ("key", [&[1, 255, 0], &[0x42; 700][..]].concat()),
        ("to_initiator", [&[0, 255, 0], &[0x42; 700][..]].concat()),
        ("unfit_key", [&[1, 255, 0], &[0; 96][..]].concat()),
    ]
}
