//! A stream between two hosts, as the observer follows it: what each side has said, and how much of it
//! the other has read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::wire::Wire;

/// What a side must have read before it can know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    Choke,
    Unchoke,
    Interested(bool),
    Block { piece: u32, begin: u32, length: u32 },
    Reject { piece: u32, begin: u32 },
    AllowedFast(u32),
}

/// One end of a stream.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) host: usize,
    pub(super) open: bool,
    pub(super) wire: Wire,
    /// Bytes that it sent, and how many of them the other has read.
    pub(super) sent: u64,
    pub(super) read: u64,
    /// What it said and the other has not read, by the offset at which it ends.
    unread: VecDeque<(u64, Notice)>,
    /// It speaks the fast extension (BEP 6).
    pub(super) fast: bool,
    /// It has shaken hands.
    pub(super) shook: bool,
    /// What it said of itself last.
    pub(super) choking: bool,
    pub(super) interested: bool,
    /// What it has read of the other.
    pub(super) choked_since: Option<u64>,
    pub(super) wanted: bool,
    pub(super) allowed: BTreeSet<u32>,
    /// What it has asked for: the length of each block.
    pub(super) asked: BTreeMap<(u32, u32), u32>,
}

impl Side {
    fn new(host: usize, now_ns: u64) -> Self {
        Self {
            host,
            open: true,
            wire: Wire::default(),
            sent: 0,
            read: 0,
            unread: VecDeque::new(),
            fast: false,
            shook: false,
            choking: true,
            interested: false,
            choked_since: Some(now_ns),
            wanted: false,
            allowed: BTreeSet::new(),
            asked: BTreeMap::new(),
        }
    }

    /// The other will know this when it has read so far.
    pub(super) fn said(&mut self, end: u64, notice: Notice) {
        self.unread.push_back((end, notice));
    }

    /// The other has read further: what it knows now.
    pub(super) fn was_read(&mut self, length: usize) {
        self.read += length as u64;
    }

    /// The next thing that the other has read to its end.
    pub(super) fn next_read(&mut self) -> Option<Notice> {
        let (_, notice) = *self.unread.front().filter(|(end, _)| *end <= self.read)?;
        self.unread.pop_front();
        Some(notice)
    }

    /// Bytes that it sent and the other has not read.
    pub(super) const fn in_flight(&self) -> u64 {
        self.sent - self.read
    }
}

/// A stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) sides: [Side; 2],
}

impl Stream {
    pub(super) fn new(dialler: usize, acceptor: usize, now_ns: u64) -> Self {
        Self { sides: [Side::new(dialler, now_ns), Side::new(acceptor, now_ns)] }
    }

    /// A side and the other one; `None` for what is no side.
    pub(super) fn both(&mut self, side: usize) -> Option<(&mut Side, &mut Side)> {
        let [dialler, acceptor] = &mut self.sides;
        match side {
            0 => Some((dialler, acceptor)),
            1 => Some((acceptor, dialler)),
            _ => None,
        }
    }
}
