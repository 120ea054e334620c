//! Tells a person on standard error how far the seeds are.
//!
//! A bar on a terminal; elsewhere a line every few seconds, so that a log stays readable.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::batch::Tally;
use super::output::note;

/// How long after a line the next one comes, where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// How often the bar shows that time goes on.
const TICK: Duration = Duration::from_millis(250);
const STYLE: &str = "[{bar:32}] {pos} of {len} seeds, {elapsed}{msg}";

/// How far the seeds are. Dropping it takes its bar away.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    has_lines: bool,
    last_line: Duration,
}

impl Progress {
    /// Begins to show something that has so many seeds.
    pub(super) fn new(seeds: u64) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target =
            if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(seeds), target);
        if let Ok(style) = ProgressStyle::with_template(STYLE) {
            bar.set_style(style);
        }
        if is_terminal {
            bar.enable_steady_tick(TICK);
        }
        Self { bar, has_lines: !is_terminal && seeds > 1, last_line: Duration::ZERO }
    }

    /// Shows what is done.
    pub(super) fn show(&mut self, tally: Tally) {
        self.bar.set_position(tally.done);
        self.bar.set_message(words(tally));
        let now = self.bar.elapsed();
        if self.has_lines && now.saturating_sub(self.last_line) >= LINE_INTERVAL {
            self.last_line = now;
            let (done, asked) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let elapsed = HumanDuration(now);
            note(&format!("{done} of {asked} seeds after {elapsed}{}", words(tally)));
        }
    }

    /// Does something that writes, with the bar out of the way.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn words(tally: Tally) -> String {
    let failed = match tally.not_passed {
        0 => String::new(),
        number => format!(", {number} failed"),
    };
    if tally.cpu_s > 0.0 {
        let speed = tally.simulated_s / tally.cpu_s;
        format!("{failed}, {speed:.0} simulated s per CPU-s")
    } else {
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_of_the_bar_is_right() {
        ProgressStyle::with_template(STYLE).unwrap();
    }

    #[test]
    fn says_what_failed_and_how_fast_it_is() {
        let tally = Tally { done: 2, not_passed: 1, simulated_s: 40.0, cpu_s: 0.5 };
        assert_eq!(words(tally), ", 1 failed, 80 simulated s per CPU-s");
        assert_eq!(words(Tally::default()), "");
    }
}
