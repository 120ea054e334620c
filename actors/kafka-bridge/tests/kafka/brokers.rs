//! Where the brokers of these tests are.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use kafka_bridge::Settings;

/// Settings for the brokers of the environment, with a prefix that nobody has used.
pub(crate) fn settings() -> Settings {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let brokers = std::env::var("KAFKA_BROKERS")
        .expect("KAFKA_BROKERS is not set: start a broker with `tests/services.sh up kafka`");
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    let (micros, count) = (since.as_micros(), COUNT.fetch_add(1, Ordering::Relaxed));
    Settings {
        brokers: brokers.split(',').map(str::to_owned).collect(),
        prefix: format!("test-{micros:x}-{}-{count}.", std::process::id()),
        ..Settings::default()
    }
}
