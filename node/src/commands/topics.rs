//! `torrentedge topics create`, `check` and `apply`: the topics of the event log, and what the configuration
//! declares of them.
//!
//! All three look first at how each declared topic differs from what there is ([`Difference`]); the rest of
//! what each does is what it does about that.

use std::fmt::Write;
use std::time::Duration;

use cluster_config::{Config, Retention, TopicDeclaration, Value};
use event_log::{Cleanup, EventLog, EventLogError, TopicSpec};

use crate::cli::{Global, TopicsCommand};
use crate::failure::{Exit, Failure};
use crate::progress::Screen;
use crate::{engine, output, startup};

/// Makes, compares or changes the topics.
///
/// # Errors
///
/// The configuration is wrong, the log cannot be reached, or (`check`, `apply`) a topic differs at the end.
pub(crate) fn run(
    global: &Global,
    command: &TopicsCommand,
    screen: &Screen,
) -> Result<(), Failure> {
    let (TopicsCommand::Create(flags) | TopicsCommand::Check(flags) | TopicsCommand::Apply(flags)) =
        command;
    let config = startup::start(global, flags, Vec::new(), screen)?;
    engine::run(async {
        let log = engine::open_log(&config)?;
        let done = match command {
            TopicsCommand::Create(_) => create(&*log, &config).await,
            TopicsCommand::Check(_) => check(&*log, &config).await,
            TopicsCommand::Apply(_) => apply(&*log, &config).await,
        };
        log.close().await;
        done
    })
}

/// A topic as declared, and as it is.
struct Comparison {
    declared: TopicDeclaration,
    wanted: TopicSpec,
    found: Option<Found>,
}

/// A topic as it is.
struct Found {
    spec: TopicSpec,
    /// `None` where there is one machine.
    replication: Option<u32>,
}

/// A way in which a topic is not as declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    Missing,
    TooFewPartitions,
    TooManyPartitions,
    Replication,
    Retention,
}

impl Comparison {
    fn differences(&self) -> Vec<Difference> {
        let Some(Found { spec, replication }) = &self.found else {
            return vec![Difference::Missing];
        };
        let declared_copies = u32::from(self.declared.replication);
        let is_other_copies =
            declared_copies > 0 && replication.is_some_and(|copies| copies != declared_copies);
        [
            (spec.partitions < self.wanted.partitions, Difference::TooFewPartitions),
            (spec.partitions > self.wanted.partitions, Difference::TooManyPartitions),
            (is_other_copies, Difference::Replication),
            (spec.cleanup != self.wanted.cleanup, Difference::Retention),
        ]
        .into_iter()
        .filter_map(|(is_so, difference)| is_so.then_some(difference))
        .collect()
    }

    /// A line of the table: each value as declared, with what it is instead.
    fn row(&self) -> [String; 5] {
        let differences = self.differences();
        let has = |difference| differences.contains(&difference);
        let spec = self.found.as_ref().map(|found| &found.spec);
        let cell = |declared: String, is_other: bool, actual: Option<String>| match actual {
            Some(actual) if is_other => format!("{declared}, is {actual}"),
            _ => declared,
        };
        let is_counted = has(Difference::TooFewPartitions) || has(Difference::TooManyPartitions);
        let replication = self.found.as_ref().map(|found| found.replication);
        let copies = match (replication, self.declared.replication) {
            (Some(None), _) => "1".to_owned(),
            (_, 0) => "any".to_owned(),
            (_, count) => count.to_string(),
        };
        let actual_copies = replication.flatten().map(|count| count.to_string());
        [
            self.wanted.name.clone(),
            cell(
                self.wanted.partitions.to_string(),
                is_counted,
                spec.map(|spec| spec.partitions.to_string()),
            ),
            cell(copies, has(Difference::Replication), actual_copies),
            cell(
                keeps(self.wanted.cleanup),
                has(Difference::Retention),
                spec.map(|spec| keeps(spec.cleanup)),
            ),
            match differences.as_slice() {
                [] => "as declared",
                [Difference::Missing] => "missing",
                _ => "differs",
            }
            .to_owned(),
        ]
    }
}

async fn compare(log: &dyn EventLog, config: &Config) -> Result<Vec<Comparison>, Failure> {
    let there = log.topics().await.map_err(Failure::failed)?;
    let mut comparisons = Vec::new();
    for declared in config.event_log.topics() {
        let wanted = spec_of(&declared);
        let found = match there.iter().find(|spec| spec.name == wanted.name) {
            Some(spec) => {
                let replication = log.replication(&wanted.name).await.map_err(Failure::failed)?;
                Some(Found { spec: spec.clone(), replication })
            }
            None => None,
        };
        comparisons.push(Comparison { declared, wanted, found });
    }
    Ok(comparisons)
}

async fn create(log: &dyn EventLog, config: &Config) -> Result<(), Failure> {
    let (mut made, mut differ) = (0_usize, 0_usize);
    for comparison in compare(log, config).await? {
        match comparison.differences().as_slice() {
            [] => {}
            [Difference::Missing] => {
                log.declare(&comparison.wanted).await.map_err(Failure::failed)?;
                output::print(&format!("created {}\n", comparison.wanted.name))?;
                made += 1;
            }
            _ => differ += 1,
        }
    }
    let hint = match differ {
        0 => String::new(),
        count => format!("; {count} differ from the configuration: `topics check` shows how"),
    };
    output::print(&format!("topics created: {made}{hint}\n"))
}

async fn check(log: &dyn EventLog, config: &Config) -> Result<(), Failure> {
    let comparisons = compare(log, config).await?;
    output::print(&table(&comparisons))?;
    settled(&comparisons, "`torrentedge topics apply` changes what can be changed")
}

async fn apply(log: &dyn EventLog, config: &Config) -> Result<(), Failure> {
    for comparison in compare(log, config).await? {
        let Comparison { wanted, found, .. } = &comparison;
        for difference in comparison.differences() {
            let done = match difference {
                Difference::Missing => log.declare(wanted).await.map(|()| "created"),
                Difference::TooFewPartitions => {
                    log.grow(&wanted.name, wanted.partitions).await.map(|()| "got more partitions")
                }
                Difference::Retention => {
                    let has = now_has(log, wanted, found.as_ref()).await;
                    let spec = TopicSpec { partitions: has, ..wanted.clone() };
                    log.declare(&spec).await.map(|()| "got another retention")
                }
                // Nobody can: what is left of it is told at the end.
                Difference::TooManyPartitions | Difference::Replication => continue,
            };
            match done {
                Ok(done) => output::print(&format!("{} {done}\n", wanted.name))?,
                Err(EventLogError::Conflict { .. }) => {}
                Err(error) => return Err(Failure::failed(error)),
            }
        }
    }
    let comparisons = compare(log, config).await?;
    settled(
        &comparisons,
        "partitions are never taken away, a file's not raised, and copies are moved by Kafka's own tools; \
         `torrentedge topics check` shows them",
    )
}

/// How many partitions a topic has, which may just have been raised.
async fn now_has(log: &dyn EventLog, wanted: &TopicSpec, found: Option<&Found>) -> u32 {
    let there = log.topics().await.ok().and_then(|all| {
        all.into_iter().find(|spec| spec.name == wanted.name).map(|spec| spec.partitions)
    });
    there.or(found.map(|found| found.spec.partitions)).unwrap_or(wanted.partitions)
}

/// Fails where a topic is not as declared.
fn settled(comparisons: &[Comparison], hint: &str) -> Result<(), Failure> {
    let differing: Vec<&str> = comparisons
        .iter()
        .filter(|comparison| !comparison.differences().is_empty())
        .map(|comparison| comparison.wanted.name.as_str())
        .collect();
    if differing.is_empty() {
        return output::print(&format!("topics as declared: {}\n", comparisons.len()));
    }
    let names = differing.join(", ");
    Err(Failure::new(Exit::Failed, format_args!("not as declared: {names}; {hint}")))
}

fn spec_of(declared: &TopicDeclaration) -> TopicSpec {
    let cleanup = match declared.retention {
        Retention::Newest { age, partition_bytes } => Cleanup::Delete { age, partition_bytes },
        Retention::NewestOfKey { gone_age } => Cleanup::Compact { gone_age },
    };
    TopicSpec::new(declared.name.clone(), declared.partitions).with_cleanup(cleanup)
}

/// What is kept, in words.
fn keeps(cleanup: Cleanup) -> String {
    let time = |time: Duration| time.to_toml().replace('"', "");
    match cleanup {
        Cleanup::Delete { age: None, partition_bytes: None } => "all".to_owned(),
        Cleanup::Delete { age, partition_bytes } => {
            let bytes = partition_bytes.map(|bytes| indicatif::BinaryBytes(bytes).to_string());
            let parts: Vec<String> = age.map(time).into_iter().chain(bytes).collect();
            parts.join(" or ")
        }
        Cleanup::Compact { gone_age } => format!("newest of key, gone {}", time(gone_age)),
    }
}

/// The topics, a line each, in columns.
fn table(comparisons: &[Comparison]) -> String {
    let head = ["topic", "partitions", "copies", "keeps", ""].map(str::to_owned);
    let rows: Vec<[String; 5]> =
        std::iter::once(head).chain(comparisons.iter().map(Comparison::row)).collect();
    let mut widths = [0_usize; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a String cannot fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(partitions: u32, copies: Option<u32>, cleanup: Cleanup) -> Comparison {
        let retention = Retention::Newest { age: None, partition_bytes: None };
        let name = "t".to_owned();
        let declared = TopicDeclaration { name, partitions: 2, replication: 3, retention };
        let spec = TopicSpec::new("t", partitions).with_cleanup(cleanup);
        let wanted = spec_of(&declared);
        Comparison { declared, wanted, found: Some(Found { spec, replication: copies }) }
    }

    #[test]
    fn tells_how_a_topic_differs() {
        let all = Cleanup::Delete { age: None, partition_bytes: None };
        let week = Some(Duration::from_secs(7 * 24 * 3600));
        let less = Cleanup::Delete { age: week, partition_bytes: Some(64 << 20) };
        assert_eq!(comparison(2, Some(3), all).differences(), []);
        assert_eq!(comparison(2, None, all).differences(), [], "one machine keeps one copy");
        let other = comparison(1, Some(1), less);
        let expected =
            [Difference::TooFewPartitions, Difference::Replication, Difference::Retention];
        assert_eq!(other.differences(), expected);
        assert_eq!(
            table(&[other]),
            "topic  partitions  copies   keeps\n\
             t      2, is 1     3, is 1  all, is 7d or 64.00 MiB  differs\n"
        );
        let missing = Comparison { found: None, ..comparison(2, None, all) };
        assert_eq!(missing.differences(), [Difference::Missing]);
    }
}
