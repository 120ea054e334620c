//! [`Database`]: a handle to the threads of one file.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::Error;
use crate::open::{Schema, open_reader, open_writer};
use crate::threads::{GROUP_LEN_MAX, ReadJob, WriteJob, serve_reads, serve_writes};

/// The most reads that wait; further ones wait for room.
const READ_QUEUE_LEN: usize = 1024;

/// The most bytes of writes that wait, in KiB; further ones wait for room.
const WRITE_QUEUE_KIB: u32 = 32 << 10;

/// The stack of a database thread in bytes.
const STACK_LEN: usize = 512 << 10;

/// An open file with its two threads, which end (after what is queued) when it is closed or dropped.
#[derive(Debug)]
pub struct Database {
    queues: Mutex<Option<Queues>>,
    write_credit: Arc<Semaphore>,
    ended: watch::Receiver<()>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug, Clone)]
struct Queues {
    writes: mpsc::Sender<Box<dyn WriteJob>>,
    reads: mpsc::Sender<ReadJob>,
}

impl Database {
    /// Opens the file, made if it is not there, and brings it to the newest schema.
    ///
    /// Blocks on the disk: call it where that is allowed.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, is damaged, of another program, or of a newer version of this one.
    pub fn open(path: &Path, schema: &Schema) -> Result<Self, Error> {
        let writer = open_writer(path, schema)?;
        let reader = open_reader(path)?;
        let (writes, write_queue) = mpsc::channel(GROUP_LEN_MAX);
        let (reads, read_queue) = mpsc::channel(READ_QUEUE_LEN);
        let (alive, ended) = watch::channel(());
        let alive = Arc::new(alive);
        let guard = Arc::clone(&alive);
        let threads = vec![
            start("db-write", move || {
                serve_writes(&writer, write_queue);
                drop((writer, guard));
            })?,
            start("db-read", move || {
                serve_reads(&reader, read_queue);
                drop((reader, alive));
            })?,
        ];
        Ok(Self {
            queues: Mutex::new(Some(Queues { writes, reads })),
            write_credit: Arc::new(Semaphore::new(WRITE_QUEUE_KIB as usize)),
            ended,
            threads: Mutex::new(threads),
        })
    }

    /// Runs `job` in a transaction and waits until it is on disk. `bytes` is about what it holds in
    /// memory while it waits. If `job` fails, nothing of it is kept.
    ///
    /// A write that was queued happens even if the one who waits for it goes away.
    ///
    /// # Errors
    ///
    /// That of `job`; or of the commit, and then nothing was kept.
    pub async fn write<T, E>(
        &self,
        bytes: usize,
        job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let queues = self.queues().ok_or(Error::Closed)?;
        let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).clamp(1, WRITE_QUEUE_KIB);
        let credit = Arc::clone(&self.write_credit).acquire_many_owned(kib).await;
        let credit = credit.map_err(|_| Error::Closed)?;
        let (done, result) = oneshot::channel();
        let write = Write { job: Some(job), result: None, done, _credit: credit };
        queues.writes.send(Box::new(write)).await.map_err(|_| Error::Closed)?;
        // A queue that is held open would keep the thread from ending.
        drop(queues);
        result.await.map_err(|_| Error::Closed)?
    }

    /// Runs `job`, which sees all writes that were acknowledged before.
    ///
    /// # Errors
    ///
    /// That of `job`, or [`Error::Closed`].
    pub async fn read<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let queues = self.queues().ok_or(Error::Closed)?;
        let (done, result) = oneshot::channel();
        let job: ReadJob = Box::new(move |connection| {
            // The one who asked may have gone; then nobody wants the result.
            let _ = done.send(job(connection));
        });
        queues.reads.send(job).await.map_err(|_| Error::Closed)?;
        drop(queues);
        result.await.map_err(|_| Error::Closed)?
    }

    /// Finishes what is queued and ends the threads; later calls give [`Error::Closed`].
    pub async fn close(&self) {
        self.shut();
        // An error says that both threads have dropped the sender: they have ended.
        let _ = self.ended.clone().changed().await;
        self.join();
    }

    fn queues(&self) -> Option<Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn shut(&self) {
        drop(self.queues.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn join(&self) {
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A job may own the last handle; a thread cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a database thread panicked");
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.shut();
        self.join();
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let builder = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_LEN);
    builder.spawn(work).map_err(|error| Error::Io(format!("no thread: {error}")))
}

/// A write with the one who waits for it.
struct Write<F, T, E> {
    job: Option<F>,
    result: Option<Result<T, E>>,
    done: oneshot::Sender<Result<T, E>>,
    _credit: OwnedSemaphorePermit,
}

impl<F, T, E> WriteJob for Write<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        self.result = self.job.take().map(|job| job(connection));
        matches!(self.result, Some(Ok(_)))
    }

    fn finish(self: Box<Self>, commit: Result<(), Error>) {
        let result = match (self.result, commit) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(_)) | None, Err(error)) => Err(error.into()),
            (Some(Ok(value)), Ok(())) => Ok(value),
            // It panicked.
            (None, Ok(())) => Err(Error::Closed.into()),
        };
        // The one who asked may have gone.
        let _ = self.done.send(result);
    }
}

#[cfg(test)]
mod tests;
