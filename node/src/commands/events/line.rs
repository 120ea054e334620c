//! A record as a line for people, or of JSON.

use std::collections::BTreeMap;

use event_log::Stored;
use serde::Serialize;
use serde_json::Value;

use crate::output::printable;

/// The header that says what kind of event it is.
const TYPE_HEADER: &str = "ce_type";

/// A record as it is shown. Its form in JSON does not change.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    topic: &'a str,
    partition: u32,
    offset: u64,
    ts_ms: u64,
    key: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Of headers that come twice, the last.
    headers: BTreeMap<&'a str, String>,
    /// JSON as it is, anything else as text; `null` says that the key is gone.
    payload: Value,
}

impl<'a> Line<'a> {
    pub(super) fn new(topic: &'a str, partition: u32, stored: &'a Stored) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let record = &stored.record;
        let headers: BTreeMap<&str, String> =
            record.headers.iter().map(|(name, value)| (name.as_str(), text(value))).collect();
        let payload = record.payload.as_ref().map_or(Value::Null, |payload| {
            serde_json::from_slice(payload).unwrap_or_else(|_| Value::String(text(payload)))
        });
        Self {
            topic,
            partition,
            offset: stored.offset,
            ts_ms: record.ts_ms,
            key: text(&record.key),
            kind: headers.get(TYPE_HEADER).cloned(),
            headers,
            payload,
        }
    }

    /// Whether it is of this type, given whole or by its last part.
    pub(super) fn is_of(&self, kind: &str) -> bool {
        self.kind.as_deref().is_some_and(|own| {
            own == kind || own.rsplit('.').next().is_some_and(|last| last == kind)
        })
    }

    /// Time, place, key, type and payload.
    pub(super) fn text(&self) -> String {
        let kind = self.kind.as_deref().unwrap_or("-");
        let payload = match &self.payload {
            Value::Null => "(gone)".to_owned(),
            Value::String(text) => text.clone(),
            json => json.to_string(),
        };
        let Self { partition, offset, .. } = self;
        let line =
            format!("{} {partition}:{offset} {} {kind} {payload}", utc(self.ts_ms), self.key);
        format!("{}\n", printable(&line))
    }

    /// One line of JSON.
    pub(super) fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self).map(|text| text + "\n")
    }
}

/// A time in milliseconds since 1970 as RFC 3339 in UTC.
fn utc(ms: u64) -> String {
    let (day_ms, days) = (ms % 86_400_000, ms / 86_400_000);
    // Years begin in March here, so that the day that may be missing is the last. 719,468 days are from
    // 0000-03-01 to 1970-01-01, 146,097 are 400 years.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (seconds, ms) = (day_ms / 1000, day_ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use event_log::Record;

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(utc(1_772_323_199_999), "2026-02-28T23:59:59.999Z");
        assert_eq!(utc(1_772_323_200_000), "2026-03-01T00:00:00.000Z");
    }

    #[test]
    fn shows_what_is_there_and_lets_nothing_move_the_cursor() {
        let mut record = Record::new("k", 0, "a\x1b[2J");
        record.headers.push(("ce_type".to_owned(), "torrentedge.torrent.added".into()));
        let stored = Stored { offset: 7, record };
        let line = Line::new("t", 1, &stored);
        assert!(line.is_of("added") && line.is_of("torrentedge.torrent.added"));
        assert!(!line.is_of("torrent"));
        let expected = "1970-01-01T00:00:00.000Z 1:7 k torrentedge.torrent.added a\u{fffd}[2J\n";
        assert_eq!(line.text(), expected);
        let json: Value = serde_json::from_str(&line.json().unwrap()).unwrap();
        assert_eq!(json["payload"], "a\u{1b}[2J");
        assert_eq!(json["offset"], 7);
    }
}
