//! Consumers that read by offset.
//!
//! A consumer stands at one place of one partition and fetches ahead from there, so whoever reads on gets
//! the one that stands where it left off. There are at most [`READERS_MAX`]; who needs one more waits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use event_log::{EventLogError, Record, Stored};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

use crate::edge::{blocking, now, within};
use crate::refusal::{code, is_transient, refusal};
use crate::settings::{Quiet, READERS_MAX};

/// The consumers.
pub(crate) struct Readers {
    config: ClientConfig,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Idle>>,
}

#[derive(Default)]
struct Idle {
    /// Those that nobody uses, the one that was used last at the end.
    readers: Vec<Reader>,
    /// All that there are.
    made: usize,
}

/// A consumer and the place where it stands.
struct Reader {
    consumer: StreamConsumer<Quiet>,
    /// Topic, partition, and the offset that it gives next.
    at: Option<(String, i32, u64)>,
    /// A record that was received and not taken.
    held: Option<Stored>,
}

/// A consumer on loan; it goes back by itself.
pub(crate) struct Lease {
    reader: Option<Reader>,
    idle: Arc<Mutex<Idle>>,
    _permit: OwnedSemaphorePermit,
}

/// Why a consumer gives no record.
#[derive(Debug)]
pub(crate) enum Nothing {
    /// Not within the time.
    Late,
    /// The offset is not there any more, or not yet.
    OutOfRange,
    /// The topic was removed.
    Gone,
    /// Anything else.
    Failed(EventLogError),
}

fn lock(idle: &Mutex<Idle>) -> MutexGuard<'_, Idle> {
    // Whole after every statement.
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Readers {
    pub(crate) fn new(config: ClientConfig) -> Self {
        Self { config, permits: Arc::new(Semaphore::new(READERS_MAX)), idle: Arc::default() }
    }

    /// A consumer that stands at an offset of a partition of a topic, which is named in full.
    pub(crate) async fn at(
        &self,
        topic: &str,
        partition: i32,
        from: u64,
    ) -> Result<Lease, EventLogError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| EventLogError::Closed)?;
        let place = (topic.to_owned(), partition, from);
        let reader = self.find(&place).map_err(|error| refusal(&error))?;
        let idle = Arc::clone(&self.idle);
        let mut lease = Lease { reader: Some(reader), idle, _permit: permit };
        lease.go_to(place).map_err(|error| refusal(&error))?;
        Ok(lease)
    }

    /// The idle one that stands there, else a new one, else the one that was not used for longest.
    fn find(&self, place: &(String, i32, u64)) -> Result<Reader, KafkaError> {
        let mut idle = lock(&self.idle);
        let stands = idle.readers.iter().position(|reader| reader.at.as_ref() == Some(place));
        match stands {
            Some(index) => Ok(idle.readers.remove(index)),
            None if idle.made >= READERS_MAX && !idle.readers.is_empty() => {
                Ok(idle.readers.remove(0))
            }
            None => {
                let consumer = self.config.create_with_context(Quiet)?;
                idle.made += 1;
                Ok(Reader { consumer, at: None, held: None })
            }
        }
    }

    /// Ends all consumers.
    pub(crate) async fn close(&self) {
        self.permits.close();
        let readers = std::mem::take(&mut lock(&self.idle).readers);
        // Each says goodbye to its broker, which blocks.
        if blocking(move || drop(readers)).await.is_err() {
            debug!("Kafka's consumers did not end");
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            lock(&self.idle).readers.push(reader);
        }
    }
}

impl Lease {
    fn go_to(&mut self, place: (String, i32, u64)) -> Result<(), KafkaError> {
        let Some(reader) = self.reader.as_mut().filter(|reader| reader.at.as_ref() != Some(&place))
        else {
            return Ok(());
        };
        (reader.at, reader.held) = (None, None);
        let (topic, partition, from) = &place;
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(*from).unwrap_or(i64::MAX));
        list.add_partition_offset(topic, *partition, offset)?;
        reader.consumer.assign(&list)?;
        reader.at = Some(place);
        Ok(())
    }

    /// Takes the next record, if `take` says so of it; one that is not taken comes again.
    pub(crate) async fn next_if(
        &mut self,
        limit: Duration,
        take: impl FnOnce(&Stored) -> bool,
    ) -> Result<Option<Stored>, Nothing> {
        self.await_next(limit).await?;
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let taken = reader.held.take_if(|held| take(held));
        if let (Some(stored), Some((_, _, next))) = (&taken, &mut reader.at) {
            *next = stored.offset + 1;
        }
        Ok(taken)
    }

    /// Waits until there is a next record. Errors that pass do not end it.
    pub(crate) async fn await_next(&mut self, limit: Duration) -> Result<(), Nothing> {
        let until = now() + limit;
        let Some(reader) = &mut self.reader else { return Err(Nothing::Late) };
        while reader.held.is_none() {
            let left = until.saturating_duration_since(now());
            match within(left, reader.consumer.recv()).await {
                None => return Err(Nothing::Late),
                Some(Ok(message)) => {
                    reader.held = reader.at.as_ref().and_then(|at| fit(at, &message))
                }
                Some(Err(error)) => {
                    if let Some(nothing) = fatal(&error) {
                        // Where it stands is no longer known.
                        reader.at = None;
                        return Err(nothing);
                    }
                    debug!(%error, "a consumer goes on");
                }
            }
        }
        Ok(())
    }
}

/// What ends a wait, of what a consumer is told.
fn fatal(error: &KafkaError) -> Option<Nothing> {
    match code(error) {
        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Some(Nothing::OutOfRange),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Some(Nothing::Gone),
        Some(code) if is_transient(code) => None,
        _ => Some(Nothing::Failed(refusal(error))),
    }
}

/// The message as a record, unless it is one that the consumer was sent for the place where it stood before.
fn fit(at: &(String, i32, u64), message: &BorrowedMessage<'_>) -> Option<Stored> {
    let offset = u64::try_from(message.offset()).ok()?;
    let (topic, partition, next) = at;
    let fits = message.partition() == *partition && offset >= *next && message.topic() == topic;
    fits.then(|| Stored { offset, record: record(message) })
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    Record {
        key: Bytes::copy_from_slice(message.key().unwrap_or_default()),
        ts_ms: message.timestamp().to_millis().and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0),
        headers: headers(message),
        payload: message.payload().map(Bytes::copy_from_slice),
    }
}

/// The headers; none if a name is no UTF-8. Ours are, but others write to the brokers, too, and the library
/// panics at theirs without another way to look: the one place where a panic is caught.
fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, Bytes)> {
    let read = || {
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let owned = headers.map(|header| {
            (header.key.to_owned(), Bytes::copy_from_slice(header.value.unwrap_or_default()))
        });
        owned.collect()
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        warn!(offset = message.offset(), "headers that are no UTF-8 were left out");
        Vec::new()
    })
}
