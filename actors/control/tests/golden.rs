//! Events as they stand in the event log: whoever reads old ones must go on to understand them, so a
//! change of the file beside this is a change of the format.

#![allow(clippy::expect_used, reason = "a test may panic")]

use control::{Event, EventKind, TorrentId, TorrentState};
use expect_test::expect_file;

/// Every kind; a new one must be added here, or this does not compile.
fn kinds() -> Vec<EventKind> {
    let text = || "a \"quoted\" name".to_owned();
    let mut kinds = Vec::new();
    let mut next = Some(EventKind::Added { name: text() });
    while let Some(kind) = next {
        next = match &kind {
            EventKind::Added { .. } => {
                Some(EventKind::Metadata { name: text(), total_bytes: 1 << 53 })
            }
            EventKind::Metadata { .. } => {
                Some(EventKind::State { state: TorrentState::Downloading })
            }
            EventKind::State { .. } => {
                Some(EventKind::Progress { have_bytes: 16_384, wanted_bytes: 65_536 })
            }
            EventKind::Progress { .. } => Some(EventKind::Verified { have_pieces: 3 }),
            EventKind::Verified { .. } => Some(EventKind::Completed),
            EventKind::Completed => Some(EventKind::Error { message: text() }),
            EventKind::Error { .. } => Some(EventKind::Anomaly { message: text() }),
            EventKind::Anomaly { .. } => Some(EventKind::Removed { with_data: true }),
            EventKind::Removed { .. } => None,
        };
        kinds.push(kind);
    }
    kinds
}

fn events() -> Vec<Event> {
    let event = |(kind, seq)| Event {
        id: TorrentId([0xA5; 20]),
        epoch: 1,
        seq,
        at_ms: 1_700_000_000_000 + seq,
        kind,
    };
    kinds().into_iter().zip(1..).map(event).collect()
}

#[test]
fn the_json_of_every_kind_is_what_it_was() {
    let lines = events().iter().fold(String::new(), |lines, event| {
        lines + &serde_json::to_string(event).expect("an event is JSON") + "\n"
    });
    expect_file!["events.jsonl"].assert_eq(&lines);
}

#[test]
fn what_was_written_is_read_again() {
    let read: Vec<Event> = include_str!("events.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("an event of the golden file"))
        .collect();
    assert_eq!(read, events());
}

#[test]
fn a_kind_is_named_as_in_its_json() {
    for kind in kinds() {
        let json = serde_json::to_value(&kind).expect("a kind is JSON");
        let tag = json.as_str().map(str::to_owned);
        let tag = tag.or_else(|| json.as_object()?.keys().next().cloned());
        assert_eq!(tag.as_deref(), Some(kind.name()));
    }
}
