//! Counts that may be unlimited, and ratios.

use std::fmt;
use std::num::NonZeroU32;

use super::number::scale;
use crate::value::{Raw, Value};

/// How many there may be, or no limit: written as a number, and 0 or `"unlimited"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Limit(Option<NonZeroU32>);

impl Limit {
    /// No limit.
    pub const UNLIMITED: Self = Self(None);

    /// At most `n`; 0 is no limit.
    #[must_use]
    pub const fn at_most(n: u32) -> Self {
        Self(NonZeroU32::new(n))
    }

    /// The limit, if there is one.
    #[must_use]
    pub const fn get(self) -> Option<NonZeroU32> {
        self.0
    }
}

impl Value for Limit {
    fn expects() -> String {
        "a whole number, or 0 for unlimited".to_owned()
    }

    fn read(raw: &Raw<'_>) -> Option<Self> {
        if raw.text().is_some_and(|text| text.trim() == "unlimited") {
            return Some(Self::UNLIMITED);
        }
        u32::try_from(raw.integer()?).ok().map(Self::at_most)
    }

    fn to_toml(&self) -> String {
        self.0.map_or(0, NonZeroU32::get).to_string()
    }
}

/// Uploaded to downloaded, in thousandths, or none: written as `1.5` or `2`, and 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ratio(Option<NonZeroU32>);

impl Ratio {
    /// No ratio is asked for.
    pub const NONE: Self = Self(None);

    /// A ratio of `n` thousandths; 0 is none.
    #[must_use]
    pub const fn from_per_mille(n: u32) -> Self {
        Self(NonZeroU32::new(n))
    }

    /// The ratio in thousandths, if there is one.
    #[must_use]
    pub const fn per_mille(self) -> Option<NonZeroU32> {
        self.0
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0.map_or(0, NonZeroU32::get);
        let fraction = format!("{:03}", n % 1000);
        let fraction = fraction.trim_end_matches('0');
        write!(f, "{}.{}", n / 1000, if fraction.is_empty() { "0" } else { fraction })
    }
}

impl Value for Ratio {
    fn expects() -> String {
        "a number with at most three decimals, as in 1.5, or 0 for none".to_owned()
    }

    fn read(raw: &Raw<'_>) -> Option<Self> {
        let thousandths = scale(raw.number()?.trim(), 1000)?;
        u32::try_from(thousandths).ok().map(Self::from_per_mille)
    }

    fn to_toml(&self) -> String {
        self.0.map_or_else(|| "0".to_owned(), |_| self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(text: &str) -> Option<u32> {
        Ratio::read(&Raw::Text(text)).map(|r| r.per_mille().map_or(0, NonZeroU32::get))
    }

    #[test]
    fn reads_and_shows_ratios() {
        assert_eq!(ratio("1.5"), Some(1500));
        assert_eq!(ratio("2"), Some(2000));
        assert_eq!(ratio("0"), Some(0));
        assert_eq!(Ratio::read(&Raw::Float("0.25")), Some(Ratio::from_per_mille(250)));
        assert_eq!(Ratio::read(&Raw::Integer("3", 10)), Some(Ratio::from_per_mille(3000)));
        assert_eq!(Ratio::from_per_mille(1050).to_toml(), "1.05");
        assert_eq!(Ratio::from_per_mille(2000).to_toml(), "2.0");
        assert_eq!(Ratio::NONE.to_toml(), "0");
    }

    #[test]
    fn refuses_other_ratios() {
        for text in ["-1", "inf", "nan", "1.0001", "1:2", "", "5000000.0"] {
            assert_eq!(ratio(text), None, "{text}");
        }
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!(Limit::read(&Raw::Text("0")), Some(Limit::UNLIMITED));
        assert_eq!(Limit::read(&Raw::Text("unlimited")), Some(Limit::UNLIMITED));
        assert_eq!(Limit::read(&Raw::Integer("3", 10)), Some(Limit::at_most(3)));
        assert_eq!(Limit::read(&Raw::Text("-1")), None);
    }
}
