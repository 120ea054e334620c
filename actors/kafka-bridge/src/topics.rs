//! What topics there are on the brokers, and making and changing them.
//!
//! A topic's number of partitions is remembered for a while; everything else is asked when it is needed.
//! Questions are repeated within a bound while their failure is one that passes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use event_log::{EventLogError, TOPICS_MAX, TopicSpec, Watermarks};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewPartitions, NewTopic,
    OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::cleanup::{cleanup, configuration};
use crate::edge::{blocking, now, pause};
use crate::refusal::{code, is_transient, of_code, refusal};
use crate::settings::{ANSWER_WITHIN, ATTEMPT_EVERY, COUNT_FRESH, Quiet, Settings};

/// The brokers' topics whose names begin with the prefix.
pub(crate) struct Topics {
    /// A consumer: a producer that asks for a topic could make it.
    asker: Arc<BaseConsumer<Quiet>>,
    admin: AdminClient<Quiet>,
    prefix: String,
    replication: i32,
    counts: Mutex<BTreeMap<String, (u32, Instant)>>,
}

/// What the brokers say of a topic.
#[derive(Debug, Clone, Copy)]
struct Facts {
    partitions: u32,
    /// The fewest of any partition.
    replicas: u32,
    /// Whether each partition has a broker that takes its records.
    has_leaders: bool,
}

impl Topics {
    pub(crate) fn new(settings: &Settings) -> Result<Self, EventLogError> {
        let refused = |error| refusal(&error);
        let asker = settings.consumer("ask").create_with_context(Quiet).map_err(refused)?;
        let admin = settings.admin().create_with_context(Quiet).map_err(refused)?;
        let replication = match settings.replication {
            0 => -1,
            count => i32::from(count),
        };
        let (asker, prefix) = (Arc::new(asker), settings.prefix.clone());
        Ok(Self { asker, admin, prefix, replication, counts: Mutex::default() })
    }

    /// The name of a topic on the brokers.
    pub(crate) fn full(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    async fn facts(&self, topic: &str) -> Result<Option<Facts>, EventLogError> {
        let (asker, full) = (Arc::clone(&self.asker), self.full(topic));
        let found = ask(move || {
            let metadata = asker.fetch_metadata(Some(&full), ANSWER_WITHIN)?;
            facts_of(&metadata, &full)
        });
        let found = found.await?;
        if found.is_none() {
            self.forget(topic);
        }
        Ok(found)
    }

    fn forget(&self, topic: &str) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).remove(topic);
    }

    /// How many partitions a topic has.
    pub(crate) async fn count(&self, topic: &str) -> Result<u32, EventLogError> {
        let known = self.counts.lock().unwrap_or_else(PoisonError::into_inner).get(topic).copied();
        if let Some((count, asked)) = known
            && now().saturating_duration_since(asked) < COUNT_FRESH
        {
            return Ok(count);
        }
        let unknown = || EventLogError::UnknownTopic(topic.to_owned());
        let count = self.facts(topic).await?.ok_or_else(unknown)?.partitions;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= TOPICS_MAX {
            counts.clear();
        }
        counts.insert(topic.to_owned(), (count, now()));
        Ok(count)
    }

    /// Checks that there is such a partition, and says its number as Kafka writes it.
    pub(crate) async fn check(&self, topic: &str, partition: u32) -> Result<i32, EventLogError> {
        let is_there = partition < self.count(topic).await?;
        i32::try_from(partition)
            .ok()
            .filter(|_| is_there)
            .ok_or_else(|| EventLogError::UnknownPartition { topic: topic.to_owned(), partition })
    }

    /// A topic turned out not to be there although it was: says so, and asks anew next time.
    pub(crate) fn gone(&self, topic: &str) -> EventLogError {
        self.forget(topic);
        EventLogError::UnknownTopic(topic.to_owned())
    }

    pub(crate) async fn declare(&self, topic: &TopicSpec) -> Result<(), EventLogError> {
        topic.check()?;
        if self.facts(&topic.name).await?.is_none() {
            self.create(topic).await?;
        }
        let partitions = self.settled(&topic.name, 1).await?.partitions;
        if partitions != topic.partitions {
            return Err(EventLogError::Conflict { topic: topic.name.clone(), partitions });
        }
        self.set_cleanup(topic).await
    }

    async fn create(&self, topic: &TopicSpec) -> Result<(), EventLogError> {
        let (full, config) = (self.full(&topic.name), configuration(topic.cleanup));
        let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
        let replication = TopicReplication::Fixed(self.replication);
        let mut new = NewTopic::new(&full, partitions, replication);
        for (key, value) in &config {
            new = new.set(key, value);
        }
        let made = self.admin.create_topics([&new], &options()).await;
        match made.map_err(|error| refusal(&error))?.into_iter().next() {
            // Somebody else was faster: what there is now is looked at as if it had been there.
            Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) => Ok(()),
            Some(Err((_, Code::InvalidReplicationFactor))) => Err(EventLogError::Invalid(format!(
                "Kafka has too few brokers to keep {} copies of topic {}",
                self.replication, topic.name
            ))),
            Some(Err((_, code))) => Err(of_code(code)),
            None => Err(no_answer()),
        }
    }

    /// Waits until the brokers know of the topic with so many partitions and each has a leader.
    async fn settled(&self, topic: &str, partitions_min: u32) -> Result<Facts, EventLogError> {
        let until = now() + ANSWER_WITHIN;
        loop {
            let facts = self.facts(topic).await?;
            if let Some(facts) = facts.filter(|f| f.has_leaders && f.partitions >= partitions_min) {
                return Ok(facts);
            }
            if now() >= until {
                return Err(no_answer());
            }
            pause(ATTEMPT_EVERY).await;
        }
    }

    async fn set_cleanup(&self, topic: &TopicSpec) -> Result<(), EventLogError> {
        let full = self.full(&topic.name);
        let described = self.describe(std::slice::from_ref(&full)).await?;
        let current = described.first().ok_or_else(no_answer)?;
        if cleanup(|key| value(current, key)) == topic.cleanup {
            return Ok(());
        }
        // What is not named goes back to its default, so all that was set for this topic is named again.
        let is_set = |source: &ConfigSource| *source == ConfigSource::DynamicTopic;
        let mut config: BTreeMap<&str, String> = current
            .entries
            .iter()
            .filter(|entry| is_set(&entry.source))
            .filter_map(|entry| Some((entry.name.as_str(), entry.value.clone()?)))
            .collect();
        config.extend(configuration(topic.cleanup));
        let mut change = AlterConfig::new(ResourceSpecifier::Topic(&full));
        for (key, value) in &config {
            change = change.set(key, value);
        }
        let changed = self.admin.alter_configs([&change], &options()).await;
        match changed.map_err(|error| refusal(&error))?.into_iter().next() {
            Some(Ok(_)) => self.is_cleaned_up_so(topic, &full).await,
            Some(Err((_, code))) => Err(of_code(code)),
            None => Err(no_answer()),
        }
    }

    /// Waits until the brokers say that a topic is cleaned up as they were told.
    async fn is_cleaned_up_so(
        &self,
        topic: &TopicSpec,
        full: &String,
    ) -> Result<(), EventLogError> {
        let until = now() + ANSWER_WITHIN;
        loop {
            let described = self.describe(std::slice::from_ref(full)).await?;
            let current = described.first().ok_or_else(no_answer)?;
            if cleanup(|key| value(current, key)) == topic.cleanup {
                return Ok(());
            }
            if now() >= until {
                return Err(no_answer());
            }
            pause(ATTEMPT_EVERY).await;
        }
    }

    async fn describe(&self, full: &[String]) -> Result<Vec<ConfigResource>, EventLogError> {
        if full.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<_> = full.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let until = now() + ANSWER_WITHIN;
        loop {
            let described = self.admin.describe_configs(&names, &options()).await;
            let described = described.and_then(|all| {
                all.into_iter()
                    .map(|one| one.map_err(KafkaError::AdminOp))
                    .collect::<KafkaResult<_>>()
            });
            match described {
                Ok(all) => return Ok(all),
                Err(error) if may_pass(&error) && now() < until => pause(ATTEMPT_EVERY).await,
                Err(error) => return Err(refusal(&error)),
            }
        }
    }

    pub(crate) async fn list(&self) -> Result<Vec<TopicSpec>, EventLogError> {
        let (asker, prefix) = (Arc::clone(&self.asker), self.prefix.clone());
        let counts: BTreeMap<String, u32> = ask(move || {
            let metadata = asker.fetch_metadata(None, ANSWER_WITHIN)?;
            Ok(metadata.topics().iter().filter_map(|topic| ours(topic, &prefix)).collect())
        })
        .await?;
        if counts.len() > TOPICS_MAX {
            return Err(EventLogError::Full(format!(
                "{} topics of Kafka begin with {:?}, more than {TOPICS_MAX}: choose another prefix",
                counts.len(),
                self.prefix
            )));
        }
        let full: Vec<String> = counts.keys().map(|name| self.full(name)).collect();
        let mut cleanups = BTreeMap::new();
        for described in self.describe(&full).await? {
            if let OwnedResourceSpecifier::Topic(name) = &described.specifier {
                cleanups.insert(name.clone(), cleanup(|key| value(&described, key)));
            }
        }
        let specs = counts.into_iter().filter_map(|(name, partitions)| {
            let cleanup = *cleanups.get(&self.full(&name))?;
            Some(TopicSpec { name, partitions, cleanup })
        });
        Ok(specs.collect())
    }

    pub(crate) async fn grow(&self, topic: &str, partitions: u32) -> Result<(), EventLogError> {
        let now_has = self.facts(topic).await?.ok_or_else(|| self.gone(topic))?.partitions;
        if partitions <= now_has {
            return Err(EventLogError::Conflict { topic: topic.to_owned(), partitions: now_has });
        }
        TopicSpec::new(topic, partitions).check()?;
        let full = self.full(topic);
        let change = NewPartitions::new(&full, partitions as usize);
        let grown = self.admin.create_partitions([&change], &options()).await;
        match grown.map_err(|error| refusal(&error))?.into_iter().next() {
            Some(Ok(_)) => {}
            Some(Err((_, code))) => return Err(of_code(code)),
            None => return Err(no_answer()),
        }
        self.forget(topic);
        self.settled(topic, partitions).await.map(drop)
    }

    pub(crate) async fn replication(&self, topic: &str) -> Result<u32, EventLogError> {
        let facts = self.facts(topic).await?;
        facts.map(|facts| facts.replicas).ok_or_else(|| self.gone(topic))
    }

    pub(crate) async fn watermarks(
        &self,
        topic: &str,
        partition: u32,
    ) -> Result<Watermarks, EventLogError> {
        let number = self.check(topic, partition).await?;
        let (asker, full) = (Arc::clone(&self.asker), self.full(topic));
        ask(move || {
            let (low, high) = asker.fetch_watermarks(&full, number, ANSWER_WITHIN)?;
            let offset = |raw: i64| u64::try_from(raw).unwrap_or(0);
            Ok(Watermarks { low: offset(low), high: offset(high) })
        })
        .await
    }
}

/// Asks on a thread of its own, and again while what failed may pass.
pub(crate) async fn ask<T: Send + 'static>(
    question: impl Fn() -> KafkaResult<T> + Send + Sync + 'static,
) -> Result<T, EventLogError> {
    let (question, until) = (Arc::new(question), now() + ANSWER_WITHIN);
    loop {
        let question = Arc::clone(&question);
        match blocking(move || question()).await? {
            Ok(answer) => return Ok(answer),
            Err(error) if may_pass(&error) && now() < until => pause(ATTEMPT_EVERY).await,
            Err(error) => return Err(refusal(&error)),
        }
    }
}

fn may_pass(error: &KafkaError) -> bool {
    code(error).is_some_and(is_transient)
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_WITHIN)).operation_timeout(Some(ANSWER_WITHIN))
}

fn no_answer() -> EventLogError {
    let within = ANSWER_WITHIN.as_secs();
    EventLogError::Unavailable(format!("Kafka did not get it done within {within} s"))
}

fn value(described: &ConfigResource, key: &str) -> Option<String> {
    described.get(key)?.value.clone()
}

/// A topic's name without the prefix and its number of partitions, unless it is Kafka's own or another's.
fn ours(topic: &MetadataTopic, prefix: &str) -> Option<(String, u32)> {
    let name = topic.name().strip_prefix(prefix)?;
    let is_ours = topic.error().is_none() && !topic.name().starts_with("__");
    is_ours.then(|| (name.to_owned(), u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX)))
}

fn facts_of(metadata: &Metadata, full: &str) -> KafkaResult<Option<Facts>> {
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == full) else {
        return Ok(None);
    };
    match topic.error().map(Code::from) {
        None => {}
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(None),
        Some(code) => return Err(KafkaError::MetadataFetch(code)),
    }
    let length = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let parts = topic.partitions();
    Ok(Some(Facts {
        partitions: length(parts.len()),
        replicas: parts.iter().map(|part| length(part.replicas().len())).min().unwrap_or(0),
        has_leaders: !parts.is_empty() && parts.iter().all(|part| part.leader() >= 0),
    }))
}
