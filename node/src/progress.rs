//! Tells a person on standard error how far something is.
//!
//! A bar on a terminal; elsewhere a line every few seconds, so that a log stays readable. Nothing at
//! all with `--quiet`.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{
    HumanBytes, HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle,
};

/// How long after a line the next one comes, where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
const STYLE: &str =
    "{prefix:<10} [{bar:32}] {percent:>3} % {bytes} of {total_bytes}, {binary_bytes_per_sec}{msg}";

/// Where progress is shown: standard error, shared with the log lines.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    bars: MultiProgress,
    mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Bars,
    Lines,
    Nothing,
}

impl Screen {
    /// Standard error; nothing is shown on it if `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        let mode = match quiet {
            true => Mode::Nothing,
            false if std::io::stderr().is_terminal() => Mode::Bars,
            false => Mode::Lines,
        };
        let target = match mode {
            Mode::Bars => ProgressDrawTarget::stderr(),
            Mode::Lines | Mode::Nothing => ProgressDrawTarget::hidden(),
        };
        Self { bars: MultiProgress::with_draw_target(target), mode }
    }

    /// Begins to show something that has `total` bytes; `what` is one word, as in "verifying".
    pub(crate) fn begin(&self, what: &'static str, total: u64) -> Progress {
        let bar = self.bars.add(ProgressBar::new(total).with_prefix(what));
        if let Ok(style) = ProgressStyle::with_template(STYLE) {
            bar.set_style(style);
        }
        Progress { bar, mode: self.mode, last_line: Duration::ZERO }
    }

    /// Writes a log line above the bars.
    pub(crate) fn write(&self, text: &[u8]) -> std::io::Result<()> {
        self.bars.suspend(|| std::io::stderr().lock().write_all(text))
    }
}

/// One thing that makes progress. Dropping it takes its bar away.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    mode: Mode,
    last_line: Duration,
}

impl Progress {
    /// Counts further bytes as done.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.bar.inc(bytes);
        self.line();
    }

    /// Sets how many bytes are done, and what is said beside it.
    pub(crate) fn set(&mut self, bytes: u64, note: &str) {
        self.bar.set_position(bytes);
        self.bar.set_message(if note.is_empty() { String::new() } else { format!(", {note}") });
        self.line();
    }

    /// Writes a line if the last one is some time ago.
    fn line(&mut self) {
        let now = self.bar.elapsed();
        if self.mode != Mode::Lines || now.saturating_sub(self.last_line) < LINE_INTERVAL {
            return;
        }
        self.last_line = now;
        // Whoever closed standard error does not want to know.
        let _ = writeln!(std::io::stderr().lock(), "{}", self.text(now));
    }

    fn text(&self, elapsed: Duration) -> String {
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
        format!(
            "{} {} of {} after {}{}",
            self.bar.prefix(),
            HumanBytes(done),
            HumanBytes(total),
            HumanDuration(elapsed),
            self.bar.message(),
        )
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
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
    fn a_line_says_how_far_it_is() {
        let screen = Screen { bars: MultiProgress::new(), mode: Mode::Nothing };
        let mut progress = screen.begin("hashing", 4 << 20);
        progress.add(1 << 20);
        let line = progress.text(Duration::from_secs(7));
        assert_eq!(line, "hashing 1.00 MiB of 4.00 MiB after 7 seconds");
        progress.set(2 << 20, "3 peers");
        assert!(
            progress
                .text(Duration::from_secs(9))
                .ends_with("2.00 MiB of 4.00 MiB after 9 seconds, 3 peers")
        );
    }
}
