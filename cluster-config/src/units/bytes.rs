//! Sizes in bytes and rates in bytes a second.

use std::fmt;
use std::num::NonZeroU64;

use super::number::{scale, split};
use crate::value::{Raw, Value};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Units of size with their bytes. The first spelling of a factor is the one that is shown, and the
/// largest units come first.
const SIZE_UNITS: [(&str, u64); 11] = [
    ("TiB", TIB),
    ("TB", 1_000_000_000_000),
    ("GiB", GIB),
    ("GB", 1_000_000_000),
    ("MiB", MIB),
    ("MB", 1_000_000),
    ("KiB", KIB),
    ("kiB", KIB),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Units of a line's speed with their bytes a second; bits are only accepted, never shown.
const BIT_UNITS: [(&str, u64); 3] = [("Gbit/s", 125_000_000), ("Mbit/s", 125_000), ("kbit/s", 125)];

/// A number of bytes, written as `"64 MiB"`, `"10 MB"`, `"512 B"` or `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A size of `n` bytes.
    #[must_use]
    pub const fn from_bytes(n: u64) -> Self {
        Self(n)
    }

    /// A size of `n` KiB (1024 bytes each).
    #[must_use]
    pub const fn from_kib(n: u64) -> Self {
        Self(n.saturating_mul(KIB))
    }

    /// A size of `n` MiB (1024 × 1024 bytes each).
    #[must_use]
    pub const fn from_mib(n: u64) -> Self {
        Self(n.saturating_mul(MIB))
    }

    /// The number of bytes.
    #[must_use]
    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory, or the longest there is.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text);
        if unit.is_empty() {
            return (scale(number, 1)? == 0).then_some(Self(0));
        }
        let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
        scale(number, *factor).map(Self)
    }
}

/// The largest unit that shows the size without a fraction.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in SIZE_UNITS {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{} {unit}", self.0 / factor);
            }
        }
        write!(f, "{} B", self.0)
    }
}

impl Value for ByteSize {
    fn expects() -> String {
        "a size with its unit (B, kB, KiB, MB, MiB, GB, GiB, TB, TiB), as in \"64 MiB\"".to_owned()
    }

    fn read(raw: &Raw<'_>) -> Option<Self> {
        if raw.integer() == Some(0) { Some(Self(0)) } else { Self::parse(raw.text()?) }
    }

    fn to_toml(&self) -> String {
        format!("\"{self}\"")
    }
}

/// A rate in bytes a second, or none: written as `"5 MB/s"`, `"40 Mbit/s"`, and 0 or `"unlimited"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rate(Option<NonZeroU64>);

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self(None);

    /// A limit of `n` bytes a second; 0 is none.
    #[must_use]
    pub const fn from_bytes_per_s(n: u64) -> Self {
        Self(NonZeroU64::new(n))
    }

    /// The limit in bytes a second, if there is one.
    #[must_use]
    pub const fn limit_bytes_per_s(self) -> Option<NonZeroU64> {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        if text.trim() == "unlimited" {
            return Some(Self::UNLIMITED);
        }
        let (number, unit) = split(text);
        if let Some((_, factor)) = BIT_UNITS.iter().find(|(name, _)| *name == unit) {
            return scale(number, *factor).map(Self::from_bytes_per_s);
        }
        let size = if unit.is_empty() { text } else { text.trim().strip_suffix("/s")? };
        ByteSize::parse(size).map(|size| Self::from_bytes_per_s(size.as_bytes()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("unlimited"),
            Some(rate) => write!(f, "{}/s", ByteSize(rate.get())),
        }
    }
}

impl Value for Rate {
    fn expects() -> String {
        "a rate with its unit (B/s, kB/s, MB/s, GB/s, KiB/s, MiB/s, GiB/s, kbit/s, Mbit/s, \
         Gbit/s), as in \"5 MB/s\", or 0 for unlimited"
            .to_owned()
    }

    fn read(raw: &Raw<'_>) -> Option<Self> {
        if raw.integer() == Some(0) { Some(Self::UNLIMITED) } else { Self::parse(raw.text()?) }
    }

    fn to_toml(&self) -> String {
        self.0.map_or_else(|| "0".to_owned(), |_| format!("\"{self}\""))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn size(text: &str) -> Option<u64> {
        ByteSize::read(&Raw::Text(text)).map(ByteSize::as_bytes)
    }

    fn rate(text: &str) -> Option<u64> {
        Rate::read(&Raw::Text(text)).map(|r| r.limit_bytes_per_s().map_or(0, NonZeroU64::get))
    }

    #[test]
    fn reads_sizes() {
        assert_eq!(size("64 MiB"), Some(64 << 20));
        assert_eq!(size("64MiB"), Some(64 << 20));
        assert_eq!(size("10 MB"), Some(10_000_000));
        assert_eq!(size("1.5 KiB"), Some(1536));
        assert_eq!(size("16 kiB"), Some(16_384));
        assert_eq!(size("0"), Some(0));
        assert_eq!(ByteSize::read(&Raw::Integer("0", 10)), Some(ByteSize(0)));
    }

    #[test]
    fn refuses_sizes_without_unit_or_with_a_strange_one() {
        for text in ["64", "64 Mb", "64 mb", "MiB", "-1 MiB", "1 MiB/s", "1,5 MiB", "", "1.3 B"] {
            assert_eq!(size(text), None, "{text}");
        }
        assert_eq!(ByteSize::read(&Raw::Integer("64", 10)), None);
        assert_eq!(size("99999999999 TiB"), None);
    }

    #[test]
    fn reads_rates() {
        assert_eq!(rate("5 MB/s"), Some(5_000_000));
        assert_eq!(rate("40 Mbit/s"), Some(5_000_000));
        assert_eq!(rate("512KiB/s"), Some(512 << 10));
        assert_eq!(rate("0"), Some(0));
        assert_eq!(rate("unlimited"), Some(0));
    }

    #[test]
    fn refuses_rates_without_their_time() {
        for text in ["5 MB", "5", "5 MB/min", "fast", "5 /s"] {
            assert_eq!(rate(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(n: u64) {
            prop_assert_eq!(size(&ByteSize(n).to_string()), Some(n));
            prop_assert_eq!(rate(&Rate::from_bytes_per_s(n).to_string()), Some(n));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = (size(&text), rate(&text));
        }
    }
}
