//! The known key that an unknown one is most like.

/// How unlike two names may be and still be suggested, in thousandths of the longer one's length.
const DISTANCE_MAX_PER_MILLE: usize = 350;

/// The name among `known` that `unknown` was probably meant to be.
///
/// A known key that ends in the same word in another section is preferred over a similar spelling
/// in the same one only where no spelling is near.
pub(crate) fn nearest<'a>(
    unknown: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let spelling = known
        .clone()
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|(distance, name)| {
            let length = last_word(unknown).len().max(last_word(name).len());
            distance * 1000 <= length * DISTANCE_MAX_PER_MILLE
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name);
    let mut namesakes = known.filter(|name| last_word(name) == last_word(unknown));
    spelling.or_else(|| namesakes.next())
}

fn last_word(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] = [
        "engine.network.listen_port",
        "engine.network.listen_ip",
        "store.path",
        "log.level",
        "store.kind",
    ];

    fn check(unknown: &str, expected: Option<&str>) {
        assert_eq!(nearest(unknown, KNOWN.iter().copied()), expected, "{unknown}");
    }

    #[test]
    fn finds_slips_of_the_finger() {
        check("engine.network.listen_prot", Some("engine.network.listen_port"));
        check("engine.network.listenport", Some("engine.network.listen_port"));
        check("store.pth", Some("store.path"));
        check("log.lvel", Some("log.level"));
    }

    #[test]
    fn finds_the_right_word_in_the_wrong_section() {
        check("engine.listen_port", Some("engine.network.listen_port"));
        check("listen_ip", Some("engine.network.listen_ip"));
    }

    #[test]
    fn says_nothing_where_nothing_is_near() {
        check("store.compression", None);
        check("", None);
        check("kafka.brokers", None);
    }
}
