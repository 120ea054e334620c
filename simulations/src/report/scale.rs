//! Axes with round ticks, and numbers in the units that a person reads.

use indicatif::{DecimalBytes, HumanCount};

/// Steps between ticks of time, in milliseconds; beyond the last it doubles.
const TIME_STEPS_MS: &[u64] = &[
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000,
    120_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 43_200_000,
];
/// The most steps on an axis of time.
const TIME_STEPS_MAX: u64 = 10;
/// About how many steps another axis has.
const STEPS: f64 = 4.0;
/// No axis has more ticks, whatever its figures.
const TICKS_MAX: u32 = 24;

/// An axis from 0.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    /// The value at its far end, more than 0.
    pub(super) end: f64,
    /// Where ticks are, and what stands there.
    pub(super) ticks: Vec<(f64, String)>,
    /// What the numbers are.
    pub(super) unit: &'static str,
}

impl Axis {
    /// Simulated time, in milliseconds.
    pub(super) fn time(end_ms: u64) -> Self {
        let end_ms = end_ms.max(1);
        let mut step = 0;
        for &candidate in TIME_STEPS_MS {
            step = candidate;
            if end_ms / step <= TIME_STEPS_MAX {
                break;
            }
        }
        while end_ms / step > TIME_STEPS_MAX {
            step *= 2;
        }
        let (unit, decimals, word) = match step {
            3_600_000.. => (3_600_000.0, 0, "h"),
            60_000.. => (60_000.0, 0, "min"),
            1_000.. => (1_000.0, 0, "s"),
            100.. => (1_000.0, 1, "s"),
            10.. => (1_000.0, 2, "s"),
            _ => (1_000.0, 3, "s"),
        };
        let label = |at: f64| format!("{:.decimals$} {word}", at / unit);
        let ticks = (0..=end_ms / step).map(|n| (n * step) as f64).map(|at| (at, label(at)));
        Self { end: end_ms as f64, ticks: ticks.collect(), unit: "simulated time" }
    }

    /// Whole things: hosts, copies.
    pub(super) fn count(max: f64, unit: &'static str) -> Self {
        Self::linear(max, round_step(max).max(1.0), 1.0, unit)
    }

    /// Shares from 0 to 1, shown in per cent.
    pub(super) fn share(unit: &'static str) -> Self {
        Self::linear(1.0, 0.25, 0.01, unit)
    }

    /// Bytes a second.
    pub(super) fn rate(max: f64) -> Self {
        let (scale, unit) = match positive(max) {
            max if max >= 1e9 => (1e9, "GB/s"),
            max if max >= 1e6 => (1e6, "MB/s"),
            max if max >= 1e3 => (1e3, "kB/s"),
            _ => (1.0, "B/s"),
        };
        Self::linear(max, round_step(max), scale, unit)
    }

    /// Ticks at multiples of `step`, up to the first that is not below `max`; labels are in `scale`.
    fn linear(max: f64, step: f64, scale: f64, unit: &'static str) -> Self {
        let decimals = match step / scale {
            step if step >= 1.0 => 0,
            step if step >= 0.1 => 1,
            step if step >= 0.01 => 2,
            _ => 3,
        };
        let mut ticks = Vec::new();
        let mut end = step;
        for n in 0..TICKS_MAX {
            let at = f64::from(n) * step;
            ticks.push((at, format!("{:.decimals$}", at / scale)));
            end = at.max(step);
            if end >= positive(max) * (1.0 - 1e-9) && n > 0 {
                break;
            }
        }
        Self { end, ticks, unit }
    }
}

/// A step of 1, 2 or 5 times a power of ten that divides `max` into about [`STEPS`].
fn round_step(max: f64) -> f64 {
    let raw = positive(max) / STEPS;
    let power = 10_f64.powf(raw.log10().floor());
    let factor = match raw / power {
        part if part <= 1.0 => 1.0,
        part if part <= 2.0 => 2.0,
        part if part <= 5.0 => 5.0,
        _ => 10.0,
    };
    factor * power
}

/// A figure that an axis can end at; what is not a number, or not more than nothing, is 1.
fn positive(value: f64) -> f64 {
    if value.is_finite() && value > 0.0 { value.clamp(1e-6, 1e18) } else { 1.0 }
}

/// A duration in words, of milliseconds.
pub(super) fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..120 => format!("{}.{} s", seconds, ms % 1_000 / 100),
        120..7_200 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// Seconds with the digits that matter.
pub(super) fn seconds(value: f64) -> String {
    match finite(value) {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 1_000.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// A share in per cent.
pub(super) fn percent(share: f64) -> String {
    let percent = finite(share) * 100.0;
    let decimals = usize::from(percent > 0.0 && percent < 10.0);
    format!("{percent:.decimals$} %")
}

/// A whole number with commas.
pub(super) fn count(value: u64) -> String {
    HumanCount(value).to_string()
}

/// Bytes with a decimal prefix.
pub(super) fn bytes(value: u64) -> String {
    DecimalBytes(value).to_string()
}

/// Bytes a second with a decimal prefix.
pub(super) fn rate(value: f64) -> String {
    match finite(value) {
        value if value >= 1e9 => format!("{:.1} GB/s", value / 1e9),
        value if value >= 1e6 => format!("{:.1} MB/s", value / 1e6),
        value if value >= 1e3 => format!("{:.1} kB/s", value / 1e3),
        value => format!("{value:.0} B/s"),
    }
}

/// A noun with its number: "1 host", "2 hosts".
pub(super) fn several(number: u64, noun: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {noun}{end}", count(number))
}

/// What is not a number is 0.
pub(super) fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> String {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(&Axis::count(60.0, "hosts")), "0 20 40 60");
        assert_eq!(labels(&Axis::count(3.0, "hosts")), "0 1 2 3");
        assert_eq!(labels(&Axis::count(0.0, "hosts")), "0 1");
        assert_eq!(labels(&Axis::share("%")), "0 25 50 75 100");
        assert_eq!(labels(&Axis::rate(1.2e6)), "0.0 0.5 1.0 1.5");
        assert_eq!(Axis::rate(1.2e6).unit, "MB/s");
        assert_eq!(labels(&Axis::rate(900.0)), "0 500 1000");
    }

    #[test]
    fn time_is_in_the_unit_of_its_steps() {
        assert_eq!(labels(&Axis::time(31_200)), "0 s 5 s 10 s 15 s 20 s 25 s 30 s");
        assert_eq!(
            labels(&Axis::time(400)),
            "0.00 s 0.05 s 0.10 s 0.15 s 0.20 s 0.25 s 0.30 s 0.35 s 0.40 s"
        );
        assert_eq!(
            labels(&Axis::time(240_000)),
            "0 s 30 s 60 s 90 s 120 s 150 s 180 s 210 s 240 s"
        );
        assert!(labels(&Axis::time(86_400_000)).ends_with("18 h 24 h"));
        assert_eq!(labels(&Axis::time(0)), "0.000 s 0.001 s");
    }

    #[test]
    fn no_figure_makes_an_axis_without_end() {
        for max in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE, 1e-8] {
            for axis in [Axis::count(max, "x"), Axis::rate(max)] {
                assert!(axis.end.is_finite() && axis.end > 0.0, "{max}: {axis:?}");
                assert!(axis.ticks.len() <= TICKS_MAX as usize, "{max}: {axis:?}");
            }
        }
        assert!(Axis::time(u64::MAX).ticks.len() <= TICKS_MAX as usize);
    }

    #[test]
    fn numbers_are_in_words() {
        assert_eq!(duration(345), "345 ms");
        assert_eq!(duration(31_250), "31.2 s");
        assert_eq!(duration(125_000), "2 min 5 s");
        assert_eq!(duration(7_260_000), "2 h 1 min");
        assert_eq!(percent(0.004), "0.4 %");
        assert_eq!(percent(f64::NAN), "0 %");
        assert_eq!(several(1, "host"), "1 host");
        assert_eq!(several(1_234, "host"), "1,234 hosts");
        assert_eq!(rate(2_345_678.0), "2.3 MB/s");
        assert_eq!(seconds(f64::NAN), "0.00");
    }
}
