//! The `Range` header (RFC 9110 §14).

use std::ops::Range;

/// What of a file a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All: there is no range, one that is not well-formed, of another unit, or several at once, all of
    /// which a server may ignore.
    Whole,
    /// These bytes, as far as the file has them; never empty unless it begins at the last number.
    From(Range<u64>),
    /// As many bytes from its end, as far as the file has them.
    Last(u64),
}

/// Reads the value of a `Range` header.
pub(super) fn parse(text: &str) -> Wanted {
    let Some((unit, set)) = text.split_once('=') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    // A set of several has commas, which no number has.
    let Some((first, last)) = set.trim().split_once('-') else { return Wanted::Whole };
    match (first, number(first), last, number(last)) {
        ("", _, _, Some(count)) => Wanted::Last(count),
        (_, Some(first), "", _) => Wanted::From(first..u64::MAX),
        (_, Some(first), _, Some(last)) if first <= last => {
            Wanted::From(first..last.saturating_add(1))
        }
        _ => Wanted::Whole,
    }
}

/// A number of any length; those beyond `u64` are beyond the end of every file.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Wanted) {
        assert_eq!(parse(text), expected, "{text}");
    }

    #[test]
    fn reads_one_range() {
        check("bytes=0-0", Wanted::From(0..1));
        check("bytes=10-19", Wanted::From(10..20));
        check("Bytes = 10-19 ", Wanted::From(10..20));
        check("bytes=10-", Wanted::From(10..u64::MAX));
        check("bytes=-5", Wanted::Last(5));
        check("bytes=-0", Wanted::Last(0));
    }

    #[test]
    fn numbers_beyond_all_files_are_read() {
        check("bytes=0-99999999999999999999999", Wanted::From(0..u64::MAX));
        check("bytes=99999999999999999999999-", Wanted::From(u64::MAX..u64::MAX));
        check("bytes=-99999999999999999999999", Wanted::Last(u64::MAX));
    }

    #[test]
    fn ignores_what_is_no_range_or_several() {
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-4",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1--2",
            "bytes=0-1,3-4",
            "bytes=-1,-2",
            "items=0-1",
            "bytes=1 -2",
            "bytes=0x1-2",
            "bytes=١-٢",
        ] {
            check(text, Wanted::Whole);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_range_is_inverted(text in "(bytes=)?[-0-9, a-z]{0,40}|.{0,40}") {
            if let Wanted::From(range) = parse(&text) {
                prop_assert!(range.start < range.end || range.start == u64::MAX);
            }
        }

        #[test]
        fn every_range_is_read_as_it_was_written(first: u64, length in 0..u64::MAX) {
            let last = first.saturating_add(length);
            let expected = Wanted::From(first..last.saturating_add(1));
            prop_assert_eq!(parse(&format!("bytes={first}-{last}")), expected);
        }
    }
}
