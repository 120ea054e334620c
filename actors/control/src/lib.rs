//! The language between nodes, gateways and events.
//!
//! Types only: [`Command`]s and questions go in through [`Engine`], [`TorrentSnapshot`]s,
//! [`Event`]s and [`EngineError`]s come out. All are serialisable (postcard between nodes, JSON on the
//! outside), so that whoever answers may be in this process or on another node. Content of files is a
//! stream handle of [`Engine`], never a message.
//!
//! This crate must not know the engine, the gateway or any transport.

mod command;
mod engine;
mod error;
mod event;
mod ownership;
mod settings;
mod snapshot;

pub use bittorrent::{InfoHash, InfoHashV2, PeerId, PieceIndex, TorrentId};
pub use cluster_config::NodeName;
pub use command::{AddTorrent, Command, RemoveTorrent, Reply, Source};
pub use engine::{Content, ContentStream, Engine, EventFeed};
pub use error::{EngineError, ErrorCode};
pub use event::{Event, EventKind};
pub use ownership::{Epoch, Holder, Incarnation, NodeRow, NodeState, TorrentRow};
pub use settings::{FilePriority, SeedGoals, TorrentSettings};
pub use snapshot::{
    FileSnapshot, NodeSnapshot, PeerSnapshot, TorrentDetail, TorrentSnapshot, TorrentState,
    TrackerSnapshot, TrackerStatus,
};

#[cfg(test)]
mod tests {
    use super::*;

    /// What one node sends, another of the same version reads.
    fn round_trip<T>(value: &T)
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let bytes = postcard::to_stdvec(value).unwrap();
        assert_eq!(&postcard::from_bytes::<T>(&bytes).unwrap(), value);
        let json = serde_json::to_string(value).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value);
    }

    #[test]
    fn commands_and_replies_cross_a_wire() {
        let id = TorrentId([7; 20]);
        round_trip(&Command::Add(AddTorrent {
            source: Source::Magnet("magnet:?xt=urn:btih:00".to_owned()),
            settings: TorrentSettings::default(),
            stopped: false,
            peers: vec!["10.0.0.1:6881".parse().unwrap()],
        }));
        round_trip(&Command::Remove(RemoveTorrent { id, with_data: true }));
        round_trip(&Command::SetPriorities { id, files: vec![(0, FilePriority::HIGH)] });
        round_trip(&Reply::Added(id));
        let kind = EventKind::Progress { have_bytes: 1, wanted_bytes: 2 };
        round_trip(&Event { id, epoch: 1, seq: 1, at_ms: 0, kind });
        round_trip(&EngineError::new(ErrorCode::NotFound, "no torrent 00"));
    }
}
