//! Numbers as a scenario writes them: with their unit, alone or as a range to draw from.
//!
//! Each kind of number knows what it is written like and its bounds, so that a refusal can say what
//! was expected. It must not know what the number is for.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use cluster_config::{ByteSize, Rate, Raw, Value};
use rand::RngCore;
use rand::rngs::SmallRng;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

/// A kind of number.
pub(super) trait Amount: Copy + PartialOrd {
    /// What is expected, as it stands in a refusal.
    fn expects() -> String;

    /// The number, or nothing where it is written otherwise or out of bounds.
    fn read(raw: &Raw<'_>) -> Option<Self>;

    /// One of those from `low` to `high`, both possible, by exactly one draw: so a narrower range does
    /// not shift what is drawn after it.
    fn between(low: Self, high: Self, rng: &mut SmallRng) -> Self;
}

/// A whole number from `low` to `high`, by exactly one draw.
pub(super) fn whole_between(low: u64, high: u64, rng: &mut SmallRng) -> u64 {
    let values = u128::from(high.saturating_sub(low)) + 1;
    let above = (u128::from(rng.next_u64()) * values) >> 64;
    low.saturating_add(u64::try_from(above).unwrap_or(0))
}

/// A number from 0 to 1 (which is never reached), by exactly one draw.
pub(super) fn unit(rng: &mut SmallRng) -> f64 {
    // The 53 bits that a double holds.
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

macro_rules! whole_amount {
    ($(#[doc = $doc:literal])+ $name:ident, $expects:literal, $read:expr) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) struct $name(pub(super) u64);

        impl Amount for $name {
            fn expects() -> String {
                $expects.to_owned()
            }

            fn read(raw: &Raw<'_>) -> Option<Self> {
                let read: fn(&Raw<'_>) -> Option<u64> = $read;
                read(raw).map(Self)
            }

            fn between(low: Self, high: Self, rng: &mut SmallRng) -> Self {
                Self(whole_between(low.0, high.0, rng))
            }
        }
    };
}

whole_amount! {
    /// Bytes.
    Size,
    "a size with its unit, as in \"4 MiB\", from 1 byte to 1 TiB",
    |raw| ByteSize::read(raw).map(ByteSize::as_bytes).filter(|n| (1..=1 << 40).contains(n))
}

whole_amount! {
    /// Bytes of a piece.
    PieceLength,
    "a power of two with its unit, as in \"64 KiB\", from 16 KiB to 16 MiB",
    |raw| {
        let bytes = ByteSize::read(raw).map(ByteSize::as_bytes)?;
        (bytes.is_power_of_two() && (16 << 10..=16 << 20).contains(&bytes)).then_some(bytes)
    }
}

whole_amount! {
    /// Bytes a second.
    Speed,
    "a rate with its unit, as in \"1 MiB/s\" or \"8 Mbit/s\", from 1 KiB/s to 100 GiB/s",
    |raw| {
        let bytes = Rate::read(raw)?.limit_bytes_per_s()?.get();
        (1 << 10..=100 << 30).contains(&bytes).then_some(bytes)
    }
}

whole_amount! {
    /// Milliseconds.
    Millis,
    "a duration with its unit, as in \"250ms\" or \"20s\", at most 24h",
    |raw| {
        let ms = u64::try_from(Duration::read(raw)?.as_millis()).ok()?;
        (ms <= 24 * 3_600_000).then_some(ms)
    }
}

whole_amount! {
    /// A short time in microseconds, written in milliseconds: of a link or a disk.
    Micros,
    "a duration with its unit, as in \"20ms\", at most 60s",
    |raw| {
        let ms = u64::try_from(Duration::read(raw)?.as_millis()).ok()?;
        (ms <= 60_000).then_some(ms * 1000)
    }
}

whole_amount! {
    /// How many.
    Count,
    "a whole number from 1 to 5000",
    |raw| u64::try_from(raw.integer()?).ok().filter(|n| (1..=5000).contains(n))
}

macro_rules! real_amount {
    ($(#[doc = $doc:literal])+ $name:ident, $expects:literal, $holds:expr) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
        pub(super) struct $name(pub(super) f64);

        impl Amount for $name {
            fn expects() -> String {
                $expects.to_owned()
            }

            fn read(raw: &Raw<'_>) -> Option<Self> {
                let holds: fn(f64) -> bool = $holds;
                raw.number()?.parse::<f64>().ok().filter(|n| holds(*n)).map(Self)
            }

            fn between(low: Self, high: Self, rng: &mut SmallRng) -> Self {
                // Rounding may not lead out of the range.
                Self((low.0 + (high.0 - low.0) * unit(rng)).clamp(low.0, high.0))
            }
        }
    };
}

real_amount! {
    /// A part of a whole, or a probability.
    Share,
    "a number from 0 to 1, as in 0.25",
    |n| (0.0..=1.0).contains(&n)
}

real_amount! {
    /// How many in a minute.
    PerMinute,
    "a number from 0 to 600, so many a minute",
    |n| (0.0..=600.0).contains(&n)
}

real_amount! {
    /// A multiple of what had to be.
    Multiple,
    "a number from 1 to 1000, or 0 for any",
    |n| n == 0.0 || (1.0..=1000.0).contains(&n)
}

/// A number that stands alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct One<A>(pub(super) A);

/// A number alone, or the least and the most of those to draw from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range<A> {
    pub(super) low: A,
    pub(super) high: A,
}

impl<A: Amount> Range<A> {
    /// The range of one number.
    pub(super) const fn exactly(amount: A) -> Self {
        Self { low: amount, high: amount }
    }

    /// One of them.
    pub(super) fn draw(&self, rng: &mut SmallRng) -> A {
        A::between(self.low, self.high, rng)
    }
}

fn read<A: Amount, E: Error>(raw: &Raw<'_>, shown: impl fmt::Display) -> Result<A, E> {
    A::read(raw).ok_or_else(|| E::custom(format!("expected {}, not {shown}", A::expects())))
}

struct OneVisitor<A>(PhantomData<A>);

impl<A: Amount> Visitor<'_> for OneVisitor<A> {
    type Value = One<A>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&A::expects())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<One<A>, E> {
        read(&Raw::String(text), format!("{text:?}")).map(One)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<One<A>, E> {
        read(&Raw::Integer(&number.to_string(), 10), number).map(One)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<One<A>, E> {
        read(&Raw::Float(&number.to_string()), number).map(One)
    }
}

impl<'de, A: Amount> Deserialize<'de> for One<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneVisitor(PhantomData))
    }
}

struct RangeVisitor<A>(PhantomData<A>);

impl<'de, A: Amount> Visitor<'de> for RangeVisitor<A> {
    type Value = Range<A>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or a range of them, [LEAST, MOST]", A::expects())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Range<A>, E> {
        OneVisitor(PhantomData).visit_str(text).map(|One(amount)| Range::exactly(amount))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Range<A>, E> {
        OneVisitor(PhantomData).visit_i64(number).map(|One(amount)| Range::exactly(amount))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Range<A>, E> {
        OneVisitor(PhantomData).visit_f64(number).map(|One(amount)| Range::exactly(amount))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Range<A>, S::Error> {
        let least: Option<One<A>> = seq.next_element()?;
        let most: Option<One<A>> = seq.next_element()?;
        let (Some(One(low)), Some(One(high)), None) =
            (least, most, seq.next_element::<IgnoredAny>()?)
        else {
            return Err(Error::custom("expected two values in a range, [LEAST, MOST]"));
        };
        if low > high {
            return Err(Error::custom(
                "expected a range with its least value first, [LEAST, MOST]",
            ));
        }
        Ok(Range { low, high })
    }
}

impl<'de, A: Amount> Deserialize<'de> for Range<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RangeVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    fn range<A: Amount>(text: &str) -> Result<Range<A>, String> {
        let read = toml::de::ValueDeserializer::parse(text).and_then(Range::deserialize);
        read.map_err(|error| error.message().to_owned())
    }

    #[test]
    fn reads_a_number_alone_and_a_range() {
        assert_eq!(range("\"4 MiB\""), Ok(Range::exactly(Size(4 << 20))));
        assert_eq!(range("[\"5ms\", \"1s\"]"), Ok(Range { low: Millis(5), high: Millis(1000) }));
        assert_eq!(range("\"5ms\""), Ok(Range::exactly(Micros(5000))));
        assert_eq!(range("[0, 0.5]"), Ok(Range { low: Share(0.0), high: Share(0.5) }));
        assert_eq!(range("7"), Ok(Range::exactly(Count(7))));
    }

    #[test]
    fn refuses_what_is_out_of_bounds_and_says_what_was_expected() {
        fn refused<A: Amount + fmt::Debug>(text: &str) {
            let message = range::<A>(text).unwrap_err();
            assert!(message.contains("expected"), "{text}: {message}");
        }
        refused::<Speed>("\"-1 MiB/s\"");
        refused::<Speed>("-1");
        refused::<Speed>("0");
        refused::<PieceLength>("\"48 KiB\"");
        refused::<PieceLength>("\"8 KiB\"");
        refused::<Size>("\"2 TiB\"");
        refused::<Size>("4");
        refused::<Share>("1.5");
        refused::<Share>("-0.1");
        refused::<Share>("nan");
        refused::<PerMinute>("-3");
        refused::<Count>("0");
        refused::<Count>("5001");
        refused::<Multiple>("0.5");
        refused::<Millis>("[\"2s\", \"1s\"]");
        refused::<Millis>("[\"2s\"]");
        refused::<Millis>("[\"1s\", \"2s\", \"3s\"]");
        refused::<Millis>("{ a = 1 }");
    }

    proptest! {
        #[test]
        fn what_is_drawn_lies_in_its_range(seed: u64, a: u64, b: u64, x in 0.0..1.0, y in 0.0..1.0) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!((low..=high).contains(&whole_between(low, high, &mut rng)));
            let (low, high) = (f64::min(x, y), f64::max(x, y));
            let drawn = Share::between(Share(low), Share(high), &mut rng).0;
            prop_assert!((low..=high).contains(&drawn));
        }

        #[test]
        fn a_draw_is_one_draw_whatever_the_range(seed: u64, low in 0..10_u64, width in 0..1000_u64) {
            let (mut narrow, mut wide) = (SmallRng::seed_from_u64(seed), SmallRng::seed_from_u64(seed));
            whole_between(low, low, &mut narrow);
            whole_between(low, low + width, &mut wide);
            prop_assert_eq!(narrow, wide);
        }
    }
}
