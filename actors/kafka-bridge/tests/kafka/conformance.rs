//! The suite that every event log has to pass, on real brokers.

use std::sync::Arc;

use event_log::EventLog;
use event_log::conformance::{Keeps, check_what_it_keeps};

use crate::fresh;

#[tokio::test]
async fn keeps_what_an_event_log_promises() {
    // Retention and compaction are Kafka's own, in its own time; `check_clean_up` asks for them by call.
    let keeps = Keeps { earliest_ms: 1 };
    check_what_it_keeps(keeps, async || Arc::new(fresh()) as Arc<dyn EventLog>).await;
}
