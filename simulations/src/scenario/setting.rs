//! Random but legal configuration of a host: what is not pinned is drawn.
//!
//! Everything is drawn, also what is pinned, so that a pin does not shift the rest; then what was drawn
//! gives way to what is pinned, so that no two values contradict each other. Only values with which a
//! swarm must still work are drawn.

use std::collections::BTreeMap;

use cluster_config::{ByteSize, Raw, Value};
use rand::rngs::SmallRng;

use super::amount::whole_between;

const UPLOAD_SLOTS: &str = "engine.choker.upload_slots";
const OPTIMISTIC_SLOTS: &str = "engine.choker.optimistic_slots";
const UNWRITTEN: &str = "engine.memory.unwritten";
const UNWRITTEN_PER_TORRENT: &str = "engine.memory.unwritten_per_torrent";
const MAX_CONNECTIONS: &str = "engine.network.max_connections";
const MAX_HALF_OPEN: &str = "engine.network.max_half_open";
const CONNECTIONS_PER_TORRENT: &str = "engine.network.max_connections_per_torrent";

/// How many hosts of a hundred speak plainly; the others encrypt where the peer can.
const PLAIN_PERCENT: u64 = 85;

/// The configuration of a host of which `pinned` is given.
pub(super) fn setting(
    pinned: BTreeMap<String, String>,
    rng: &mut SmallRng,
) -> BTreeMap<String, String> {
    let mut drawn = BTreeMap::new();
    let mut draw = |key: &str, value: String| drop(drawn.insert(key.to_owned(), value));
    draw("engine.choker.mode", word(&["fixed", "rate"], rng));
    draw("engine.choker.seed_mode", word(&["round_robin", "fastest_upload", "anti_leech"], rng));
    let slots = bounded(whole_between(2, 8, rng), number(&pinned, OPTIMISTIC_SLOTS), None);
    draw(UPLOAD_SLOTS, slots.to_string());
    let slots = number(&pinned, UPLOAD_SLOTS).unwrap_or(slots);
    let optimistic = bounded(whole_between(1, 2, rng), None, Some(slots));
    draw(OPTIMISTIC_SLOTS, optimistic.to_string());
    draw("engine.disk.preallocate", word(&["sparse", "sparse", "full"], rng));
    draw("engine.disk.resume_flush_interval", format!("{}s", whole_between(1, 30, rng)));
    let unwritten =
        bounded(whole_between(1, 16, rng), mebibytes(&pinned, UNWRITTEN_PER_TORRENT), None);
    draw(UNWRITTEN, format!("{unwritten} MiB"));
    // Rounded down, so that the part is never more than the whole.
    let whole = size(&pinned, UNWRITTEN).map_or(unwritten, |size| size.as_bytes() >> 20);
    draw(UNWRITTEN_PER_TORRENT, format!("{} MiB", whole_between(1, whole.max(1), rng)));
    let connections = number(&pinned, MAX_CONNECTIONS);
    draw(MAX_HALF_OPEN, bounded(whole_between(2, 50, rng), None, connections).to_string());
    draw(
        CONNECTIONS_PER_TORRENT,
        bounded(whole_between(8, 100, rng), None, connections).to_string(),
    );
    let is_plain = whole_between(0, 99, rng) < PLAIN_PERCENT;
    draw("engine.network.encryption", if is_plain { "plain" } else { "prefer" }.to_owned());
    drawn.extend(pinned);
    drawn
}

fn word(words: &[&str], rng: &mut SmallRng) -> String {
    let last = u64::try_from(words.len().saturating_sub(1)).unwrap_or(0);
    let index = usize::try_from(whole_between(0, last, rng)).unwrap_or(0);
    words.get(index).copied().unwrap_or_default().to_owned()
}

/// `n`, but no less than `least` and no more than `most`.
fn bounded(n: u64, least: Option<u64>, most: Option<u64>) -> u64 {
    n.max(least.unwrap_or(0)).min(most.unwrap_or(u64::MAX))
}

fn number(pinned: &BTreeMap<String, String>, key: &str) -> Option<u64> {
    pinned.get(key).and_then(|value| value.trim().parse().ok())
}

fn size(pinned: &BTreeMap<String, String>, key: &str) -> Option<ByteSize> {
    pinned.get(key).and_then(|value| ByteSize::read(&Raw::Text(value)))
}

/// A size in MiB, rounded up.
fn mebibytes(pinned: &BTreeMap<String, String>, key: &str) -> Option<u64> {
    size(pinned, key).map(|size| size.as_bytes().div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;
    use crate::scenario::sense::check_config;

    fn pins() -> impl Strategy<Value = BTreeMap<String, String>> {
        let pin = |key: &'static str, values: &'static [&'static str]| {
            prop::option::of(prop::sample::select(values))
                .prop_map(move |value| value.map(|value| (key.to_owned(), value.to_owned())))
        };
        let all = (
            pin(UPLOAD_SLOTS, &["2", "3", "40"]),
            pin(OPTIMISTIC_SLOTS, &["0", "1", "2"]),
            pin(UNWRITTEN, &["5 MiB", "6.5 MiB", "100 MiB"]),
            pin(UNWRITTEN_PER_TORRENT, &["1 MiB", "1.5 MiB", "5 MiB"]),
            pin(MAX_CONNECTIONS, &["50", "60", "500"]),
            pin(MAX_HALF_OPEN, &["1", "50"]),
            pin(CONNECTIONS_PER_TORRENT, &["5", "50"]),
        );
        all.prop_map(|(a, b, c, d, e, f, g)| [a, b, c, d, e, f, g].into_iter().flatten().collect())
    }

    proptest! {
        #[test]
        fn what_is_drawn_is_legal_with_whatever_is_pinned(seed: u64, pinned in pins()) {
            let drawn = setting(pinned.clone(), &mut SmallRng::seed_from_u64(seed));
            prop_assert_eq!(check_config(&drawn), Ok(()), "{:?}", drawn);
            for (key, value) in &pinned {
                prop_assert_eq!(drawn.get(key), Some(value));
            }
        }

        #[test]
        fn a_pin_shifts_no_other_key(seed: u64) {
            let free = setting(BTreeMap::new(), &mut SmallRng::seed_from_u64(seed));
            let pin = BTreeMap::from([("engine.choker.mode".to_owned(), "fixed".to_owned())]);
            let pinned = setting(pin, &mut SmallRng::seed_from_u64(seed));
            let mut others = free.iter().filter(|(key, _)| *key != "engine.choker.mode");
            prop_assert!(others.all(|(key, value)| pinned.get(key) == Some(value)));
        }
    }
}
