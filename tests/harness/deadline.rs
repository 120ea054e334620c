//! Waiting for an event with a bound.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often an event that can only be looked for is looked for.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The moment by which something must have happened.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
    length: Duration,
}

impl Deadline {
    /// A deadline this many seconds from now.
    pub fn seconds(seconds: u64) -> Self {
        Self::after(Duration::from_secs(seconds))
    }

    /// A deadline this long from now.
    pub fn after(length: Duration) -> Self {
        Self { at: Instant::now() + length, length }
    }

    /// Whether the deadline has passed.
    pub fn passed(&self) -> bool {
        Instant::now() >= self.at
    }

    /// Time since this deadline was set.
    pub fn elapsed(&self) -> Duration {
        (Instant::now() + self.length).saturating_duration_since(self.at)
    }

    /// Looks until `look` finds something.
    ///
    /// # Errors
    ///
    /// What `look` failed with, or a sentence that names `event` when the deadline passed first.
    pub fn wait_for<T>(
        &self,
        event: &str,
        mut look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            if self.passed() {
                bail!("no sign of {event} within {} s", self.length.as_secs());
            }
            thread::park_timeout(LOOK_AGAIN_AFTER);
        }
    }
}
