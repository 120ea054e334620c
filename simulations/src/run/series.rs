//! How a run goes over time, for its report.

use crate::outcome::Series;

/// Moments that are kept; when there are more, every second one goes.
const MOMENTS_MAX: usize = 600;

/// A moment.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) at_ms: u64,
    /// Hosts that want the torrent, and those of them that have it.
    pub(super) present: u32,
    pub(super) complete: u32,
    /// Payload that arrived since the beginning, in bytes.
    pub(super) arrived: u64,
    /// Payload that was sent since the beginning, in bytes.
    pub(super) sent: u64,
    /// Uplinks of all running engines, in bytes a second.
    pub(super) uplinks: u64,
    /// Copies of each piece.
    pub(super) copies: Vec<u32>,
}

/// Collects moments.
#[derive(Debug)]
pub(super) struct Recorder {
    series: Series,
    last: Option<(u64, u64, u64)>,
    /// Moments that are passed over between two that are kept.
    every: u32,
    skip: u32,
}

impl Recorder {
    pub(super) fn new() -> Self {
        Self { series: Series::default(), last: None, every: 1, skip: 0 }
    }

    /// Whether the next moment will be kept.
    pub(super) const fn wants(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.skip = self.every - 1;
        true
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(super) fn add(&mut self, mut moment: Moment) {
        let (at, arrived, sent) = self.last.unwrap_or((0, 0, 0));
        let seconds = moment.at_ms.saturating_sub(at) as f64 / 1000.0;
        let rate = |bytes: u64| if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 };
        let (down, up) = (rate(moment.arrived - arrived), rate(moment.sent - sent));
        self.last = Some((moment.at_ms, moment.arrived, moment.sent));
        let series = &mut self.series;
        series.at_ms.push(moment.at_ms);
        series.present.push(moment.present);
        series.complete.push(moment.complete);
        series.throughput.push(down);
        let share = if moment.uplinks > 0 { up / moment.uplinks as f64 } else { 0.0 };
        series.upload_use.push(share.clamp(0.0, 1.0));
        moment.copies.sort_unstable();
        let copies = &moment.copies;
        series.rarest.push(copies.first().copied().unwrap_or(0));
        let sum: u64 = copies.iter().map(|&count| u64::from(count)).sum();
        series.mean_copies.push(sum as f64 / copies.len().max(1) as f64);
        let tenth = |n: usize| copies.get(n * copies.len().saturating_sub(1) / 10).copied();
        series.rarity.push(std::array::from_fn(|n| tenth(n).unwrap_or(0)));
        if series.at_ms.len() >= MOMENTS_MAX {
            self.thin();
        }
    }

    fn thin(&mut self) {
        fn half<T: Clone>(values: &mut Vec<T>) {
            *values = values.iter().skip(1).step_by(2).cloned().collect();
        }
        let series = &mut self.series;
        half(&mut series.at_ms);
        half(&mut series.present);
        half(&mut series.complete);
        half(&mut series.throughput);
        half(&mut series.upload_use);
        half(&mut series.rarest);
        half(&mut series.mean_copies);
        half(&mut series.rarity);
        self.every *= 2;
        self.skip = self.every - 1;
    }

    pub(super) fn finish(self) -> Series {
        self.series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_a_bounded_number_of_moments() {
        let mut recorder = Recorder::new();
        for at in 0..10_000_u64 {
            if recorder.wants() {
                let moment = Moment {
                    at_ms: at * 500,
                    present: 2,
                    complete: 1,
                    arrived: at * 1000,
                    sent: at * 1000,
                    uplinks: 4000,
                    copies: vec![3, 1, 2],
                };
                recorder.add(moment);
            }
        }
        let series = recorder.finish();
        let kept = series.at_ms.len();
        assert!((MOMENTS_MAX / 2..MOMENTS_MAX).contains(&kept), "{kept}");
        assert!(series.at_ms.is_sorted());
        assert_eq!(series.rarity.last(), Some(&[1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3]));
        assert!((series.throughput[10] - 2000.0).abs() < 1.0, "{:?}", series.throughput[10]);
        assert!((series.upload_use[10] - 0.5).abs() < 0.01);
    }
}
