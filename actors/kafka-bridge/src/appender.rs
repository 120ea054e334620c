//! The producer: one for the life of the log, idempotent, within a bound of bytes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use event_log::{EventLogError, Position, Record, TOPICS_MAX, partition};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, ClientContext};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

use crate::edge::blocking;
use crate::refusal::{code, refusal};
use crate::settings::{ANSWER_WITHIN, FLUSH_WITHIN, Quiet, RECORD_OVERHEAD, WAITING_BYTES_MAX};
use crate::topics::ask;

/// Appends records.
pub(crate) struct Appender {
    config: ClientConfig,
    /// Made when it is first needed, and anew after a fatal error.
    producer: Mutex<Option<Arc<ThreadedProducer<Deliveries>>>>,
    room: Arc<Semaphore>,
    /// The partitions that the producer knows of, by topic.
    known: Mutex<BTreeMap<String, u32>>,
}

/// What became of the record at a place of its append.
type Outcome = (usize, Result<Position, KafkaError>);

/// Where the answer for a record goes. Holds the record's share of the bytes that may wait.
pub(crate) struct Delivery {
    place: usize,
    told: UnboundedSender<Outcome>,
    _room: OwnedSemaphorePermit,
}

/// Hands out the brokers' answers.
struct Deliveries;

impl ClientContext for Deliveries {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, line: &str) {
        Quiet.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Quiet.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        let outcome = match result {
            Ok(message) => position(message.partition(), message.offset()),
            Err((error, _)) => Err(error.clone()),
        };
        // An append that was given up does not want to know.
        let _ = delivery.told.send((delivery.place, outcome));
    }
}

fn position(partition: i32, offset: i64) -> Result<Position, KafkaError> {
    match (u32::try_from(partition), u64::try_from(offset)) {
        (Ok(partition), Ok(offset)) => Ok(Position { partition, offset }),
        _ => Err(KafkaError::MessageProduction(Code::BadMessage)),
    }
}

impl Appender {
    pub(crate) fn new(config: ClientConfig) -> Self {
        let room = Arc::new(Semaphore::new(WAITING_BYTES_MAX as usize));
        Self { config, producer: Mutex::default(), room, known: Mutex::default() }
    }

    fn producer(&self) -> Result<Arc<ThreadedProducer<Deliveries>>, EventLogError> {
        if self.room.is_closed() {
            return Err(EventLogError::Closed);
        }
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = producer.as_ref() {
            return Ok(Arc::clone(producer));
        }
        let made = self.config.create_with_context(Deliveries).map_err(|error| refusal(&error))?;
        Ok(Arc::clone(producer.insert(Arc::new(made))))
    }

    /// Has the producer learn of partitions that are new to it: it looks by itself only now and then, and
    /// until then refuses records for them.
    async fn learn(
        &self,
        producer: &Arc<ThreadedProducer<Deliveries>>,
        topic: &str,
        partitions: u32,
    ) -> Result<(), EventLogError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known().get(topic).is_some_and(|&count| count >= partitions) {
            return Ok(());
        }
        let (client, name) = (Arc::clone(producer), topic.to_owned());
        ask(move || client.client().fetch_metadata(Some(&name), ANSWER_WITHIN).map(drop)).await?;
        let mut known = known();
        if known.len() >= TOPICS_MAX {
            known.clear();
        }
        known.insert(topic.to_owned(), partitions);
        Ok(())
    }

    /// Appends records, which were checked, to a topic of `partitions` partitions.
    ///
    /// # Errors
    ///
    /// Of the first record that failed; others may have been appended. The code is there so that the
    /// caller can tell an unknown topic.
    pub(crate) async fn append(
        &self,
        topic: &str,
        partitions: u32,
        records: &[Record],
    ) -> Result<Vec<Position>, (EventLogError, Option<Code>)> {
        let producer = self.producer().map_err(|error| (error, None))?;
        self.learn(&producer, topic, partitions).await.map_err(|error| (error, None))?;
        let (told, mut outcomes) = unbounded_channel();
        for (place, record) in records.iter().enumerate() {
            let bytes = u32::try_from(record.len()).unwrap_or(u32::MAX);
            let bytes = bytes.saturating_add(RECORD_OVERHEAD).min(WAITING_BYTES_MAX);
            let room = Arc::clone(&self.room).acquire_many_owned(bytes).await;
            let room = room.map_err(|_| (EventLogError::Closed, None))?;
            let delivery = Box::new(Delivery { place, told: told.clone(), _room: room });
            let sent = producer.send(outgoing(topic, partitions, record, delivery));
            sent.map_err(|(error, _)| self.failed(&producer, &error))?;
        }
        drop(told);
        let mut positions = vec![None; records.len()];
        while let Some((place, outcome)) = outcomes.recv().await {
            let position = outcome.map_err(|error| self.failed(&producer, &error))?;
            if let Some(slot) = positions.get_mut(place) {
                *slot = Some(position);
            }
        }
        let all: Option<Vec<Position>> = positions.into_iter().collect();
        all.ok_or((EventLogError::Unavailable("Kafka's client ended".to_owned()), None))
    }

    /// Says what failed. A producer that can do nothing more is let go: the next append makes another.
    fn failed(
        &self,
        producer: &Arc<ThreadedProducer<Deliveries>>,
        error: &KafkaError,
    ) -> (EventLogError, Option<Code>) {
        if let Some((code, _)) = producer.client().fatal_error() {
            let mut current = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
            if current.take_if(|current| Arc::ptr_eq(current, producer)).is_some() {
                self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
                warn!(%code, "Kafka's producer is made anew");
            }
        }
        (refusal(error), code(error))
    }

    /// Waits, within a bound, until the brokers have what was appended, and ends the producer.
    pub(crate) async fn close(&self) {
        self.room.close();
        let producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(producer) = producer else { return };
        let flushed = blocking(move || producer.flush(FLUSH_WITHIN)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            warn!("records that waited for Kafka were dropped");
        }
    }
}

/// A record as the producer takes it.
fn outgoing<'a>(
    topic: &'a str,
    partitions: u32,
    record: &'a Record,
    delivery: Box<Delivery>,
) -> BaseRecord<'a, [u8], [u8], Box<Delivery>> {
    let partition = i32::try_from(partition(&record.key, partitions)).unwrap_or(0);
    // The client takes 0 for "now".
    let ts_ms = i64::try_from(record.ts_ms).unwrap_or(i64::MAX).max(1);
    let mut out = BaseRecord::with_opaque_to(topic, delivery)
        .partition(partition)
        .key(record.key.as_ref())
        .timestamp(ts_ms);
    if let Some(payload) = &record.payload {
        out = out.payload(payload.as_ref());
    }
    if !record.headers.is_empty() {
        let empty = OwnedHeaders::new_with_capacity(record.headers.len());
        out = out.headers(record.headers.iter().fold(empty, |headers, (name, value)| {
            headers.insert(Header { key: name, value: Some(value.as_ref()) })
        }));
    }
    out
}
