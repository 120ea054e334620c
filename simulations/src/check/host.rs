//! What the observer knows of a host, from what it says on the wire and what stands on its disk.

use std::collections::{BTreeMap, BTreeSet};

use bittorrent::PieceIndex;
use bittorrent::bitfield::Bitfield;
use env::sim::SimDisk;

use crate::content::Content;

/// The limits that a host was set to, and must keep.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bounds {
    /// Peers of the torrent that may download at once; `None` where it is not a fixed number.
    pub slots: Option<usize>,
    /// Bytes a second that it may send; 0 is no limit.
    pub up_bytes_per_s: u64,
    /// Bytes that it may have asked for and not received.
    pub unwritten: u64,
    /// Connections of the torrent.
    pub connections: usize,
}

/// What a host is to the observer.
#[derive(Debug)]
pub struct Subject {
    /// Its name.
    pub name: String,
    /// It runs the engine and means well: the invariants hold for it.
    pub honest: bool,
    /// Its disk.
    pub disk: SimDisk,
    /// What it was set to.
    pub bounds: Bounds,
    /// It knows these hosts from the beginning.
    pub knows: BTreeSet<usize>,
    /// It learns of peers from a tracker.
    pub has_tracker: bool,
}

/// A host as it was seen.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) is: Subject,
    /// How often it was started.
    pub(super) lives: u32,
    /// Pieces that it claims to peers.
    pub(super) claims: Bitfield,
    /// Pieces whose bytes were seen on its disk in this life.
    proven: Bitfield,
    /// Pieces that were damaged on its disk behind its back, and when, in nanoseconds.
    pub(super) damaged: BTreeMap<u32, u64>,
    /// Its open streams.
    pub(super) streams: BTreeSet<u64>,
    /// Payload that it sent and received, in bytes.
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Streams that ended: a run of blocks may have been under way in each.
    pub(super) ended: u64,
    /// Blocks that it waits for, and from how many peers.
    pub(super) waits_for: BTreeMap<(u32, u32), u32>,
    /// Bytes that it waits for, each block once, from however many peers.
    pub(super) outstanding: u64,
    /// What it sent since the beginning of a window of time.
    pub(super) window: (u64, u64),
    /// Since when it serves more than it has slots, in nanoseconds.
    pub(super) too_many_since: Option<u64>,
}

impl Host {
    /// A block that was asked for is waited for no longer.
    pub(super) fn answered(&mut self, block: (u32, u32), length: u32) {
        let Some(peers) = self.waits_for.get_mut(&block) else { return };
        *peers -= 1;
        if *peers == 0 {
            self.waits_for.remove(&block);
            self.outstanding = self.outstanding.saturating_sub(u64::from(length));
        }
    }

    pub(super) fn new(is: Subject, pieces: u32) -> Self {
        Self {
            is,
            lives: 0,
            claims: Bitfield::new(pieces),
            proven: Bitfield::new(pieces),
            damaged: BTreeMap::new(),
            streams: BTreeSet::new(),
            sent: 0,
            received: 0,
            ended: 0,
            waits_for: BTreeMap::new(),
            outstanding: 0,
            window: (0, 0),
            too_many_since: None,
        }
    }

    /// A life begins: what it asked for and proved before does not count.
    pub(super) fn begin_life(&mut self, pieces: u32) {
        self.lives += 1;
        self.claims = Bitfield::new(pieces);
        self.forget_proofs(pieces);
        self.waits_for.clear();
        self.outstanding = 0;
        self.streams.clear();
        self.too_many_since = None;
    }

    /// What was seen on the disk may not be there any more.
    pub(super) fn forget_proofs(&mut self, pieces: u32) {
        self.proven = Bitfield::new(pieces);
    }

    /// Whether a piece that the host claims is on its disk, as far as it could know.
    pub(super) fn can_claim(&mut self, piece: u32, content: &Content) -> bool {
        let index = PieceIndex(piece);
        if !self.is.honest || self.damaged.contains_key(&piece) || self.proven.contains(index) {
            return true;
        }
        let there = has_piece(&self.is.disk, content, piece);
        if there {
            self.proven.insert(index);
        }
        there
    }
}

/// Whether a piece stands on a disk as it should.
#[must_use]
pub fn has_piece(disk: &SimDisk, content: &Content, piece: u32) -> bool {
    content.parts(content.range(piece)).all(|(path, at, bytes)| disk.matches(path, at, bytes))
}
