//! Durations: `"10s"`, `"1h 30m"`, `"250ms"`.

use std::time::Duration;

use super::number::{scale, split};
use crate::value::{Raw, Value};

/// Units of time with their milliseconds, largest first.
const UNITS: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The longest text of a duration that is looked at, in bytes.
const TEXT_LEN_MAX: usize = 64;

fn parse(text: &str) -> Option<Duration> {
    if text.trim().is_empty() || text.len() > TEXT_LEN_MAX {
        return None;
    }
    let mut rest = text.trim();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, tail) = split(rest);
        let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at(end);
        let factor = if unit.is_empty() && scale(number, 1) == Some(0) {
            1
        } else {
            UNITS.iter().find(|(name, _)| *name == unit)?.1
        };
        total = total.checked_add(scale(number, factor)?)?;
        rest = after.trim_start();
    }
    Some(Duration::from_millis(total))
}

fn show(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut parts = Vec::new();
    for (unit, factor) in UNITS {
        // Weeks are read but not shown: "10d" is easier than "1w 3d".
        if unit != "w" && rest >= factor {
            parts.push(format!("{}{unit}", rest / factor));
            rest %= factor;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// Whole milliseconds.
impl Value for Duration {
    fn expects() -> String {
        "a duration with its unit (ms, s, m, h, d, w), as in \"10s\" or \"1h 30m\"".to_owned()
    }

    fn read(raw: &Raw<'_>) -> Option<Self> {
        if raw.integer() == Some(0) { Some(Self::ZERO) } else { parse(raw.text()?) }
    }

    fn to_toml(&self) -> String {
        format!("\"{}\"", show(*self))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(text: &str) -> Option<u128> {
        parse(text).map(|d| d.as_millis())
    }

    #[test]
    fn reads_durations() {
        assert_eq!(millis("10s"), Some(10_000));
        assert_eq!(millis("10 s"), Some(10_000));
        assert_eq!(millis("1h 30m"), Some(5_400_000));
        assert_eq!(millis("1h30m"), Some(5_400_000));
        assert_eq!(millis("0.5s"), Some(500));
        assert_eq!(millis("250ms"), Some(250));
        assert_eq!(millis("2w"), Some(1_209_600_000));
        assert_eq!(millis("0"), Some(0));
    }

    #[test]
    fn refuses_durations_without_unit_or_with_a_strange_one() {
        for text in ["10", "10 sec", "s", "", " ", "-1s", "1h 5", "0.0005s", "1s,2s"] {
            assert_eq!(millis(text), None, "{text}");
        }
        assert_eq!(millis("99999999999999999999w"), None);
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(ms in 0..u64::MAX) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse(&show(duration)), Some(duration));
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = parse(&text);
        }
    }
}
