//! `[engine]`: the BitTorrent engine, a sub-section for each of its parts.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::section::section;
use crate::units::{ByteSize, Limit, Rate, Ratio};
use crate::value::choice;

section! {
    /// The BitTorrent engine.
    pub struct EngineConfig {
        keys {
            /// Where torrents are downloaded to, unless one says otherwise; a relative path is taken from
            /// node.data_dir.
            download_dir: PathBuf = PathBuf::from("downloads");
        }
        sections {
            /// Connections to peers.
            network: NetworkConfig;
            /// Who may download from us.
            choker: ChokerConfig;
            /// Limits of speed.
            rates: RatesConfig;
            /// Limits of memory.
            memory: MemoryConfig;
            /// Reading and writing of torrents' files.
            disk: DiskConfig;
            /// When a torrent has been seeded enough.
            seeding: SeedingConfig;
            /// How many torrents run at once.
            queue: QueueConfig;
        }
    }
}

section! {
    /// Connections to peers.
    pub struct NetworkConfig {
        keys {
            /// The address on which peers reach us; "0.0.0.0" is every IPv4 address, "::" every address.
            listen_ip: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            /// The port on which peers reach us; 0 is any free one.
            listen_port: u16 = 6881;
            /// Whether peer connections are encrypted (MSE): "plain" never, "prefer" where the peer can,
            /// "require" always.
            encryption: Encryption = Encryption::Prefer;
            /// Whether peers at loopback and private addresses are spoken to: needed in a local network,
            /// refused by default because a tracker could make us knock on doors inside it.
            allow_private_peers: bool = false;
            /// Networks whose peers are spoken to although they are private, as in ["192.168.0.0/16"].
            allowed_networks: Vec<IpNet> = Vec::new();
            /// The most connections to peers, of all torrents together.
            max_connections: u32 = 500, in 1..=1_000_000;
            /// The most connections to peers of one torrent.
            max_connections_per_torrent: u32 = 100, in 1..=1_000_000;
            /// The most connections that we are opening at once.
            max_half_open: u32 = 50, in 1..=10_000;
            /// How long a peer may take from connecting to the end of its handshake.
            handshake_timeout: Duration = Duration::from_secs(10),
                in Duration::from_secs(1)..=Duration::from_secs(120);
            /// A file with further certificate authorities (PEM), trusted in fetches over HTTPS (trackers,
            /// .torrent files) beside the usual ones.
            extra_ca_file: Option<PathBuf> = None;
        }
    }
}

section! {
    /// Who may download from us.
    pub struct ChokerConfig {
        keys {
            /// How many peers of a torrent may download at once: "fixed" always upload_slots, "rate" as
            /// many as our upload can serve well.
            mode: ChokerMode = ChokerMode::Fixed;
            /// How many peers of a torrent may download at once; with mode "rate" the least.
            upload_slots: u32 = 8, in 1..=1000;
            /// How many of these slots go to peers by chance, so that newcomers get their first pieces.
            optimistic_slots: u32 = 1, in 0..=100;
            /// Who may download from a torrent that is complete: "round_robin" each in turn,
            /// "fastest_upload" those who take the most, "anti_leech" those who have just begun or have
            /// almost finished.
            seed_mode: SeedMode = SeedMode::RoundRobin;
        }
    }
}

section! {
    /// Limits of speed. 0 is unlimited.
    pub struct RatesConfig {
        keys {
            /// How fast this node downloads, all torrents together.
            down: Rate = Rate::UNLIMITED;
            /// How fast this node uploads, all torrents together.
            up: Rate = Rate::UNLIMITED;
            /// How fast one torrent downloads, unless it says otherwise.
            torrent_down: Rate = Rate::UNLIMITED;
            /// How fast one torrent uploads, unless it says otherwise.
            torrent_up: Rate = Rate::UNLIMITED;
        }
    }
}

section! {
    /// Limits of memory.
    pub struct MemoryConfig {
        keys {
            /// The most bytes that were requested from peers and are not yet written, all torrents
            /// together. More lets fast, distant peers be used better.
            unwritten: ByteSize = ByteSize::from_mib(16),
                in ByteSize::from_mib(1)..=ByteSize::from_mib(1 << 20);
            /// The most bytes that were requested from peers and are not yet written, of one torrent.
            unwritten_per_torrent: ByteSize = ByteSize::from_mib(16),
                in ByteSize::from_mib(1)..=ByteSize::from_mib(1 << 20);
        }
    }
}

section! {
    /// Reading and writing of torrents' files.
    pub struct DiskConfig {
        keys {
            /// Whether a file takes its whole space at once ("full"), which keeps it in one place and finds
            /// a full disk early, or as its pieces arrive ("sparse").
            preallocate: Preallocate = Preallocate::Sparse;
            /// How many threads read and write, of the whole node.
            threads: u32 = 4, in 1..=256;
            /// The most files that are kept open.
            max_open_files: u32 = 512, in 8..=1_000_000;
            /// How long a verified piece may be missing in the resume data; after a crash, at most the
            /// pieces of this time are hashed again.
            resume_flush_interval: Duration = Duration::from_secs(30),
                in Duration::from_secs(1)..=Duration::from_secs(3600);
            /// How many torrents are rechecked at once; 0 is one a core.
            verify_concurrency: u32 = 0, in 0..=256;
        }
    }
}

section! {
    /// When a torrent has been seeded enough, unless it says otherwise. It stops at the first goal.
    pub struct SeedingConfig {
        keys {
            /// Uploaded to downloaded bytes at which seeding ends; 0 is never.
            ratio: Ratio = Ratio::NONE;
            /// How long a torrent is seeded; 0 is for ever.
            time: Duration = Duration::ZERO;
        }
    }
}

section! {
    /// How many torrents run at once; the others wait for their turn. 0 is unlimited.
    pub struct QueueConfig {
        keys {
            /// How many torrents download at once.
            active_downloads: Limit = Limit::at_most(8);
            /// How many torrents seed at once.
            active_seeds: Limit = Limit::UNLIMITED;
            /// How many torrents download or seed at once.
            active_total: Limit = Limit::UNLIMITED;
        }
    }
}

choice! {
    /// Whether peer connections are encrypted (MSE).
    pub enum Encryption {
        /// Never: encrypted connections are refused.
        Plain = "plain",
        /// Where the peer can; else plain.
        Prefer = "prefer",
        /// Always: plain connections are refused.
        Require = "require",
    }
}

choice! {
    /// How many peers of a torrent may download at once.
    pub enum ChokerMode {
        /// Always the same number.
        Fixed = "fixed",
        /// As many as the upload can serve well.
        Rate = "rate",
    }
}

choice! {
    /// Who may download from a torrent that is complete.
    pub enum SeedMode {
        /// Each interested peer in turn.
        RoundRobin = "round_robin",
        /// Those to whom we upload fastest.
        FastestUpload = "fastest_upload",
        /// Those who have just begun or have almost finished, and so will give most.
        AntiLeech = "anti_leech",
    }
}

choice! {
    /// When a file takes its space.
    pub enum Preallocate {
        /// As its pieces arrive.
        Sparse = "sparse",
        /// At once.
        Full = "full",
    }
}
