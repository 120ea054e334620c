//! How many records a second go to Kafka and come back, and what that costs this process.
//!
//! `KAFKA_BROKERS=… cargo run --release -p kafka-bridge --example throughput [RECORDS]`
#![allow(clippy::disallowed_methods, reason = "real time is what is measured")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use event_log::{EventLog, PageLimit, Record, TopicSpec};
use kafka_bridge::{KafkaLog, Settings};

const PARTITIONS: u32 = 12;
/// Records of an append, as the publisher makes them.
const BATCH: u64 = 512;
/// Appends at once.
const WRITERS: u64 = 4;
/// Bytes of a record's payload.
const PAYLOAD_LEN: usize = 150;
const RECORDS: u64 = 200_000;
/// Ticks of `/proc` in a second.
const TICKS: f64 = 100.0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let records: u64 = std::env::args().nth(1).map_or(Ok(RECORDS), |text| text.parse())?;
    let brokers = std::env::var("KAFKA_BROKERS").map_err(|_| "KAFKA_BROKERS is not set")?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let log = Arc::new(KafkaLog::new(Settings {
        brokers: brokers.split(',').map(str::to_owned).collect(),
        prefix: format!("throughput-{:x}.", since.as_micros()),
        ..Settings::default()
    })?);
    log.declare(&TopicSpec::new("t", PARTITIONS)).await?;

    let (begun, cpu) = (Instant::now(), cpu_s()?);
    let writers = (0..WRITERS).map(|writer| {
        let (log, batches) = (Arc::clone(&log), records / BATCH / WRITERS);
        tokio::spawn(async move {
            for batch in 0..batches {
                log.append("t", records_of(writer, batch)).await?;
            }
            Ok::<u64, event_log::EventLogError>(batches * BATCH)
        })
    });
    let mut appended = 0;
    for writer in writers.collect::<Vec<_>>() {
        appended += writer.await??;
    }
    report("appended", appended, begun, cpu_s()? - cpu);

    let (begun, cpu) = (Instant::now(), cpu_s()?);
    let mut read = 0;
    for partition in 0..PARTITIONS {
        let (mut next, high) = (0, log.watermarks("t", partition).await?.high);
        while next < high {
            let page = log.read("t", partition, next, PageLimit::default()).await?;
            read += u64::try_from(page.records.len())?;
            next = page.next;
        }
    }
    report("read", read, begun, cpu_s()? - cpu);
    log.close().await;
    Ok(())
}

fn records_of(writer: u64, batch: u64) -> Vec<Record> {
    (0..BATCH)
        .map(|n| {
            let text = format!("{{\"writer\":{writer},\"batch\":{batch},\"n\":{n}}}");
            Record::new(format!("{:040x}", n * WRITERS + writer), 1, format!("{text:PAYLOAD_LEN$}"))
        })
        .collect()
}

/// What this process has used of processors, in seconds.
fn cpu_s() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().ok_or("no name")?;
    let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
}

#[expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "it is what it is for")]
fn report(what: &str, records: u64, begun: Instant, cpu: f64) {
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{what} {records} records in {seconds:.2} s: {:.0}/s, {cpu:.2} CPU-s",
        records as f64 / seconds
    );
}
