//! `torrentedge events tail` and `send`: looking into the event log, and writing to it.

mod line;
mod tail;

use bytes::Bytes;
use event_log::{EventLog, EventLogError, Record};

use crate::cli::{EventsCommand, Global, SendFlags};
use crate::failure::{Exit, Failure};
use crate::progress::Screen;
use crate::{engine, output, startup};

/// Shows records, or appends one.
///
/// # Errors
///
/// The configuration is wrong, the log cannot be reached, or there is no such topic.
pub(crate) fn run(
    global: &Global,
    command: &EventsCommand,
    screen: &Screen,
) -> Result<(), Failure> {
    let (EventsCommand::Tail(tail::TailFlags { config, .. })
    | EventsCommand::Send(SendFlags { config, .. })) = command;
    let config = startup::start(global, config, Vec::new(), screen)?;
    engine::run(async {
        let log = engine::open_log(&config)?;
        let done = match command {
            EventsCommand::Tail(flags) => tail::run(&*log, flags).await,
            EventsCommand::Send(flags) => send(&*log, flags).await,
        };
        log.close().await;
        done
    })
}

async fn send(log: &dyn EventLog, flags: &SendFlags) -> Result<(), Failure> {
    let now_ms = engine::world().unix_ms();
    let mut record = Record::new(flags.key.clone(), now_ms, flags.payload.clone());
    let headers = flags.header.iter().cloned();
    record.headers = headers.map(|(name, value)| (name, Bytes::from(value))).collect();
    let positions = log.append(&flags.topic, vec![record]).await.map_err(failure)?;
    let places = positions.iter().map(|place| {
        format!("{} partition {} offset {}\n", flags.topic, place.partition, place.offset)
    });
    output::print(&places.collect::<String>())
}

/// Exit code 3 where there is no such topic.
fn failure(error: EventLogError) -> Failure {
    match error {
        EventLogError::UnknownTopic(topic) => Failure::new(
            Exit::NotFound,
            format_args!(
                "no topic {topic}: `torrentedge topics create` makes those that there are"
            ),
        ),
        other => Failure::failed(other),
    }
}
