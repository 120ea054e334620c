//! Bencode (BEP 3): what is read is canonical, so writing it again gives the same bytes.

use bittorrent::bencode::{Encoder, Kind, Limits, Value, parse, parse_lenient, parse_prefix};

use crate::Seed;

/// Dictionaries beyond this length are not searched for each of their keys, which takes quadratic time.
const SEARCHED_MAX: usize = 64;

/// Reads a value, writes it again, and looks every key up.
pub fn check(bytes: &[u8]) {
    for limits in [Limits::MESSAGE, Limits::METAINFO] {
        let Ok((document, length)) = parse_prefix(bytes, limits) else {
            assert!(parse(bytes, limits).is_err(), "whole but not a prefix");
            check_lenient(bytes, limits);
            continue;
        };
        assert!(document.len() <= limits.values && !document.is_empty());
        let mut out = Encoder::new();
        write(document.root(), &mut out, limits.depth);
        assert_eq!(out.finish(), bytes[..length], "not what was read");
        assert_eq!(document.root().span(), 0..length);
        assert_eq!(parse(bytes, limits).is_ok(), length == bytes.len());
        assert!(parse(&bytes[..length], limits).is_ok());
        // No beginning of a value is a value.
        assert!(parse(&bytes[..length - 1], limits).is_err());
    }
}

/// What a careless writer may send: the values are within the input, and keys are found in any order.
fn check_lenient(bytes: &[u8], limits: Limits) {
    let Ok(document) = parse_lenient(bytes, limits) else { return };
    let span = document.root().span();
    assert!(span.start == 0 && span.end <= bytes.len() && document.len() <= limits.values);
    if let Some(dict) = document.root().dict() {
        dict.iter().take(SEARCHED_MAX).for_each(|(key, _)| {
            let text = std::str::from_utf8(key).ok();
            assert!(text.is_none_or(|key| dict.get(key).is_some()), "a key is found");
        });
    }
}

fn write(value: Value<'_>, out: &mut Encoder, depth: usize) {
    match value.kind() {
        Kind::Int => _ = out.int(value.int().expect("an integer fits 64 bits")),
        Kind::Bytes => _ = out.bytes(value.bytes().expect("a string has bytes")),
        Kind::List => {
            let depth = depth.checked_sub(1).expect("no more levels than the limit");
            out.list();
            let list = value.list().expect("a list");
            list.iter().for_each(|member| write(member, out, depth));
            out.end();
        }
        Kind::Dict => {
            let depth = depth.checked_sub(1).expect("no more levels than the limit");
            out.dict();
            let dict = value.dict().expect("a dictionary");
            let mut before: Option<&[u8]> = None;
            for (index, (key, member)) in dict.iter().enumerate() {
                assert!(before.replace(key).is_none_or(|before| before < key), "keys in order");
                if let Ok(key) = std::str::from_utf8(key)
                    && index < SEARCHED_MAX
                {
                    let found = dict.get(key).expect("a key is found");
                    assert_eq!(found.span(), member.span());
                }
                out.bytes(key);
                write(member, out, depth);
            }
            out.end();
        }
    }
}

/// Values of each kind, and what is not canonical.
pub fn seeds() -> Vec<Seed> {
    vec![
        ("int", b"i-42e".to_vec()),
        ("largest_int", b"i9223372036854775807e".to_vec()),
        ("string", b"4:spam".to_vec()),
        ("list", b"l4:spami7elee".to_vec()),
        ("dict", b"d1:ad1:bl1:cee1:di0ee".to_vec()),
        ("empty_dict", b"de".to_vec()),
        ("deep", [vec![b'l'; 17], vec![b'e'; 17]].concat()),
        ("trailing", b"i1ei2e".to_vec()),
        ("minus_zero", b"i-0e".to_vec()),
        ("leading_zero", b"03:abc".to_vec()),
        ("unsorted", b"d1:bi0e1:ai0ee".to_vec()),
        ("longer_than_memory", b"18446744073709551615:".to_vec()),
    ]
}
