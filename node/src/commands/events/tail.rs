//! `torrentedge events tail`: records as they come.
//!
//! Partitions are read in turn, each by offset. When none has more, whichever is the first to have some ends
//! the wait, or a short time does: another process may have written to the file.

use std::time::Duration;

use env::NodeEnv;
use event_log::{EventLog, EventLogError, PageLimit};
use futures_util::future::select_all;
use tracing::warn;

use super::failure;
use super::line::Line;
use crate::cli::Beginning;
pub(super) use crate::cli::TailFlags;
use crate::failure::Failure;
use crate::{engine, output};

/// The longest wait before all partitions are looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Shows records until a signal, or `--count` of them.
///
/// # Errors
///
/// There is no such topic, or the log cannot be reached at the start. Later it may come and go.
pub(super) async fn run(log: &dyn EventLog, flags: &TailFlags) -> Result<(), Failure> {
    let mut requests = engine::requests()?;
    let world = engine::world();
    let mut tail = Tail { log, flags, next: begin(log, flags).await?, shown: 0 };
    tokio::select! {
        biased;
        () = requests.next() => Ok(()),
        ended = tail.follow(&world) => ended,
    }
}

/// The offset at which to begin, by partition.
async fn begin(log: &dyn EventLog, flags: &TailFlags) -> Result<Vec<u64>, Failure> {
    let topics = log.topics().await.map_err(Failure::failed)?;
    let found = topics.into_iter().find(|topic| topic.name == flags.topic);
    let unknown = || failure(EventLogError::UnknownTopic(flags.topic.clone()));
    let partitions = found.ok_or_else(unknown)?.partitions;
    let mut next = Vec::new();
    for partition in 0..partitions {
        let marks = log.watermarks(&flags.topic, partition).await.map_err(failure)?;
        next.push(match flags.from {
            Beginning::First => marks.low,
            Beginning::Next => marks.high,
            Beginning::Offset(offset) => offset.clamp(marks.low, marks.high),
        });
    }
    Ok(next)
}

struct Tail<'a> {
    log: &'a dyn EventLog,
    flags: &'a TailFlags,
    /// By partition.
    next: Vec<u64>,
    shown: u64,
}

impl Tail<'_> {
    /// Shows what comes, until enough was shown or nobody reads it.
    async fn follow(&mut self, world: &NodeEnv) -> Result<(), Failure> {
        if self.is_enough() {
            return Ok(());
        }
        loop {
            let mut is_quiet = true;
            for partition in 0..self.next.len() {
                let before = self.next.get(partition).copied();
                match self.show(partition).await {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(Step::Ended(failure)) => return Err(failure),
                    Err(Step::Failed(error)) => warn!(%error, "the event log is tried again"),
                }
                is_quiet &= self.next.get(partition).copied() == before;
            }
            if is_quiet {
                self.wait(world).await;
            }
        }
    }

    fn is_enough(&self) -> bool {
        self.flags.count.is_some_and(|count| self.shown >= count)
    }

    /// Shows a page of a partition and says whether to go on.
    async fn show(&mut self, partition: usize) -> Result<bool, Step> {
        let Self { log, flags, next, shown } = self;
        let Some(next) = next.get_mut(partition) else { return Ok(true) };
        let number = u32::try_from(partition).unwrap_or(u32::MAX);
        let page = match log.read(&flags.topic, number, *next, PageLimit::default()).await {
            Ok(page) => page,
            Err(EventLogError::OutOfRange { low, high, .. }) => {
                warn!(partition, from = *next, to = low, "records are gone before they were read");
                *next = low.min(high);
                return Ok(true);
            }
            Err(error) => return Err(Step::Failed(error)),
        };
        for stored in &page.records {
            let line = Line::new(&flags.topic, number, stored);
            if flags.kind.as_deref().is_some_and(|kind| !line.is_of(kind)) {
                continue;
            }
            let text = match flags.json {
                true => line.json().map_err(|error| Step::Ended(Failure::failed(error)))?,
                false => line.text(),
            };
            *shown += 1;
            let is_read = output::print_if_read(&text).map_err(Step::Ended)?;
            if !is_read || flags.count.is_some_and(|count| *shown >= count) {
                return Ok(false);
            }
        }
        *next = page.next;
        Ok(true)
    }

    /// Waits until there may be more.
    async fn wait(&self, world: &NodeEnv) {
        let waits = (0_u32..)
            .zip(&self.next)
            .map(|(partition, from)| self.log.readable(&self.flags.topic, partition, *from));
        let waits: Vec<_> = waits.collect();
        if waits.is_empty() {
            return;
        }
        let first = world.timeout(LOOK_EVERY, select_all(waits)).await;
        if first.is_some_and(|(first, ..)| first.is_err()) {
            // It fails at once while the log is away.
            world.sleep(LOOK_EVERY).await;
        }
    }
}

/// Why a page was not shown.
enum Step {
    /// The command fails.
    Ended(Failure),
    /// The log fails; it may come back.
    Failed(EventLogError),
}
