//! Where groups of readers will go on.
//!
//! A group's offsets are kept by the brokers. They are committed and asked for by a consumer that carries the
//! group's name and never joins it, so the members of a group can be anywhere.

use std::sync::{Arc, Mutex, PoisonError};

use event_log::EventLogError;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use tracing::debug;

use crate::edge::blocking;
use crate::refusal::refusal;
use crate::settings::{ANSWER_WITHIN, GROUPS_MAX, Quiet, Settings};
use crate::topics::ask;

/// The groups that were used last, each with its consumer.
pub(crate) struct Groups {
    settings: Settings,
    /// The one that was used last is at the end.
    open: Mutex<Vec<(String, Arc<BaseConsumer<Quiet>>)>>,
}

impl Groups {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, open: Mutex::default() }
    }

    fn of(&self, group: &str) -> Result<Arc<BaseConsumer<Quiet>>, EventLogError> {
        event_log::check_name("group", group)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let found = open.iter().position(|(name, _)| name == group).map(|index| open.remove(index));
        let entry = match found {
            Some(entry) => entry,
            None => {
                let config = self.settings.consumer(group);
                let made = config.create_with_context(Quiet).map_err(|error| refusal(&error))?;
                if open.len() >= GROUPS_MAX {
                    open.remove(0);
                }
                (group.to_owned(), Arc::new(made))
            }
        };
        let consumer = Arc::clone(&entry.1);
        open.push(entry);
        Ok(consumer)
    }

    /// Commits offsets of partitions of a topic, which is named in full and has them.
    pub(crate) async fn commit(
        &self,
        group: &str,
        topic: String,
        next: Vec<(i32, u64)>,
    ) -> Result<(), EventLogError> {
        let consumer = self.of(group)?;
        if next.is_empty() {
            return Ok(());
        }
        ask(move || {
            let mut list = TopicPartitionList::with_capacity(next.len());
            for (partition, offset) in &next {
                let offset = Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
                list.add_partition_offset(&topic, *partition, offset)?;
            }
            consumer.commit(&list, CommitMode::Sync)
        })
        .await
    }

    /// What a group has committed of a partition of a topic, which is named in full and has it.
    pub(crate) async fn committed(
        &self,
        group: &str,
        topic: String,
        partition: i32,
    ) -> Result<Option<u64>, EventLogError> {
        let consumer = self.of(group)?;
        ask(move || {
            let mut list = TopicPartitionList::new();
            list.add_partition(&topic, partition);
            let list = consumer.committed_offsets(list, ANSWER_WITHIN)?;
            let element = list.elements().into_iter().next();
            Ok(element.and_then(|element| match element.offset() {
                Offset::Offset(next) => u64::try_from(next).ok(),
                _ => None,
            }))
        })
        .await
    }

    /// Ends all consumers.
    pub(crate) async fn close(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        if blocking(move || drop(open)).await.is_err() {
            debug!("Kafka's consumers did not end");
        }
    }
}
