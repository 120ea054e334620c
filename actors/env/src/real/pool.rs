//! A few threads that run jobs, foreground before background.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::Compute;
use crate::disk::DiskLane;

/// Jobs of type `J`, run by threads that end when the pool is dropped; what waits then is dropped too.
pub(crate) struct Pool<J: Send + 'static> {
    queue: Arc<Queue<J>>,
    threads: Vec<JoinHandle<()>>,
}

struct Queue<J> {
    jobs: Mutex<Jobs<J>>,
    wake: Condvar,
}

struct Jobs<J> {
    foreground: VecDeque<J>,
    background: VecDeque<J>,
    closed: bool,
}

impl<J: Send + 'static> std::fmt::Debug for Pool<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl<J> Queue<J> {
    fn lock(&self) -> MutexGuard<'_, Jobs<J>> {
        // The lock is held for a push or a pop only, so what it guards is whole.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<J> {
        let mut jobs = self.lock();
        loop {
            if jobs.closed {
                return None;
            }
            if let Some(job) = jobs.foreground.pop_front() {
                return Some(job);
            }
            if let Some(job) = jobs.background.pop_front() {
                return Some(job);
            }
            jobs = self.wake.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<J: Send + 'static> Pool<J> {
    /// Starts `threads` threads that hand each job to `run`.
    pub(crate) fn start(
        name: &str,
        threads: usize,
        run: impl Fn(J) + Send + Sync + Clone + 'static,
    ) -> Self {
        let jobs = Jobs { foreground: VecDeque::new(), background: VecDeque::new(), closed: false };
        let queue = Arc::new(Queue { jobs: Mutex::new(jobs), wake: Condvar::new() });
        let threads = (0..threads)
            .filter_map(|index| {
                let (queue, run) = (Arc::clone(&queue), run.clone());
                let thread = std::thread::Builder::new()
                    .name(format!("{name}-{index}"))
                    .stack_size(512 * 1024)
                    .spawn(move || {
                        while let Some(job) = queue.next() {
                            // A job that panics must not take the thread from the others; whoever
                            // waits for it sees its answer channel closed.
                            let run = std::panic::AssertUnwindSafe(|| run(job));
                            if std::panic::catch_unwind(run).is_err() {
                                tracing::error!("a pool job panicked");
                            }
                        }
                    });
                thread.inspect_err(|error| tracing::error!(%error, "no thread for the pool")).ok()
            })
            .collect();
        Self { queue, threads }
    }

    pub(crate) fn submit(&self, lane: DiskLane, job: J) {
        let mut jobs = self.queue.lock();
        match lane {
            DiskLane::Foreground => jobs.foreground.push_back(job),
            DiskLane::Background => jobs.background.push_back(job),
        }
        drop(jobs);
        self.queue.wake.notify_one();
    }
}

impl<J: Send + 'static> Drop for Pool<J> {
    fn drop(&mut self) {
        let waiting = {
            let mut jobs = self.queue.lock();
            jobs.closed = true;
            (std::mem::take(&mut jobs.foreground), std::mem::take(&mut jobs.background))
        };
        // Dropping a job may drop the last handle of this pool's owner: not under the lock.
        drop(waiting);
        self.queue.wake.notify_all();
        for thread in self.threads.drain(..) {
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a pool thread panicked");
            }
        }
    }
}

/// Threads for hashing.
#[derive(Debug)]
pub(crate) struct ComputePool {
    pool: Pool<Box<dyn FnOnce() + Send>>,
    threads: usize,
}

impl ComputePool {
    pub(crate) fn start(threads: usize) -> Self {
        let threads = threads.max(1);
        Self {
            pool: Pool::start("compute", threads, |job: Box<dyn FnOnce() + Send>| job()),
            threads,
        }
    }
}

impl Compute for ComputePool {
    fn parallelism(&self) -> usize {
        self.threads
    }

    fn submit(&self, job: Box<dyn FnOnce() + Send>) {
        self.pool.submit(DiskLane::Foreground, job);
    }
}
