//! The two threads of a database: one commits writes in groups, one reads.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::Error;

/// The most writes that share a commit. More save nothing that shows, and make the first wait.
pub(crate) const GROUP_LEN_MAX: usize = 2048;

/// A write that waits for its turn.
pub(crate) trait WriteJob: Send {
    /// Does it inside a savepoint, and says whether it is to be kept.
    fn run(&mut self, connection: &Connection) -> bool;

    /// Tells the one who waits, after the commit or its failure.
    fn finish(self: Box<Self>, commit: Result<(), Error>);
}

/// A read that waits for its turn.
pub(crate) type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

/// Commits what is queued until the queue is closed and empty.
pub(crate) fn serve_writes(connection: &Connection, mut queue: mpsc::Receiver<Box<dyn WriteJob>>) {
    while let Some(first) = queue.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP_LEN_MAX
            && let Ok(next) = queue.try_recv()
        {
            group.push(next);
        }
        let commit = commit_group(connection, &mut group);
        for job in group {
            job.finish(commit.clone());
        }
    }
}

/// Answers reads until the queue is closed and empty.
pub(crate) fn serve_reads(connection: &Connection, mut queue: mpsc::Receiver<ReadJob>) {
    while let Some(job) = queue.blocking_recv() {
        // Whoever waits for a job that panics sees its answer channel closed; the others go on.
        if catch_unwind(AssertUnwindSafe(|| job(connection))).is_err() {
            tracing::error!("a database read panicked");
        }
    }
}

fn commit_group(connection: &Connection, group: &mut [Box<dyn WriteJob>]) -> Result<(), Error> {
    let result = run_group(connection, group);
    if result.is_err() && !connection.is_autocommit() {
        // Nothing is gained from a second error; the next BEGIN would tell it.
        let _ = connection.execute_batch("ROLLBACK");
    }
    result
}

fn run_group(connection: &Connection, group: &mut [Box<dyn WriteJob>]) -> Result<(), Error> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    for job in group {
        connection.prepare_cached("SAVEPOINT job")?.execute([])?;
        let keep = catch_unwind(AssertUnwindSafe(|| job.run(connection))).unwrap_or_else(|_| {
            tracing::error!("a database write panicked");
            false
        });
        if connection.is_autocommit() {
            // A full or failing disk made SQLite roll back all of the group.
            return Err(Error::Io("the disk failed and the writes were rolled back".to_owned()));
        }
        if !keep {
            connection.prepare_cached("ROLLBACK TO job")?.execute([])?;
        }
        connection.prepare_cached("RELEASE job")?.execute([])?;
    }
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}
