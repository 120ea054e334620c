//! The system's clock and tokio's timers.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bittorrent::Time;

use crate::{Clock, Sleep};

/// Counts from the moment it was started.
#[derive(Debug)]
pub(crate) struct SystemClock {
    start: Instant,
}

impl SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where real time comes in")]
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is where real time comes in")]
    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    #[expect(clippy::disallowed_methods, reason = "this is where real timers come in")]
    fn sleep_until(&self, deadline: Time) -> Sleep {
        let deadline = self.start + deadline.since_start().min(Duration::from_secs(86_400 * 365));
        Box::pin(tokio::time::sleep_until(deadline.into()))
    }
}
