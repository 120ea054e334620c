//! The bytes that one end of a stream wrote, until the other has read them.
//!
//! They stand in one queue: first those that the other can read, then those on their way, last those that
//! wait for the uplink. What travels only moves these borders. So bytes arrive in order, none is lost or
//! doubled, whatever happens on the way.
//!
//! Invariants: `unsent` and `held` count bytes of `flight`, and what is in neither is in a parcel;
//! `outstanding` counts the bytes of `flight` and `unread`, and those that came when nobody read any more.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use crate::sim::trace::{checksum, mix};

/// Unread bytes that a direction of a stream holds.
pub(super) const WINDOW: usize = 256 * 1024;

/// Bytes from one end to the other.
#[derive(Default)]
pub(super) struct Flow {
    /// Written and not arrived.
    flight: VecDeque<Bytes>,
    /// Arrived and not read.
    unread: VecDeque<Bytes>,
    /// Of `flight`, those that wait for the uplink.
    unsent: usize,
    /// Of `flight`, those that wait for their path to heal.
    held: usize,
    /// Written and not read.
    outstanding: usize,
    /// Whether it waits in the uplink's ring.
    pub(super) queued: bool,
    /// Whether something reached a host without power, so that it will be sent again.
    pub(super) lost: bool,
    fin: Fin,
}

/// How far the news is that no more bytes come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Fin {
    /// There may be more bytes.
    #[default]
    None,
    /// It waits for the uplink.
    Due,
    Sent,
    Arrived,
}

impl Flow {
    pub(super) fn has_room(&self) -> bool {
        self.outstanding < WINDOW
    }

    /// How many more bytes may be written.
    pub(super) fn room(&self) -> usize {
        WINDOW.saturating_sub(self.outstanding)
    }

    pub(super) fn write(&mut self, bytes: Bytes) {
        self.outstanding += bytes.len();
        self.unsent += bytes.len();
        self.flight.push_back(bytes);
    }

    /// No more bytes will be written.
    pub(super) fn finish(&mut self) {
        self.fin = Fin::Due;
    }

    /// Nobody will read what has arrived.
    pub(super) fn drop_unread(&mut self) {
        self.unread = VecDeque::new();
    }

    pub(super) fn wants_to_send(&self) -> bool {
        self.unsent > 0 || self.fin == Fin::Due
    }

    /// Sends at most `quantum` bytes: how many, and whether they are the last.
    pub(super) fn depart(&mut self, quantum: usize) -> (usize, bool) {
        let length = self.unsent.min(quantum);
        self.unsent -= length;
        let fin = self.unsent == 0 && self.fin == Fin::Due;
        if fin {
            self.fin = Fin::Sent;
        }
        (length, fin)
    }

    /// Keeps back what found its path cut.
    pub(super) fn hold(&mut self, length: usize, fin: bool) {
        self.held += length;
        if fin {
            self.fin = Fin::Due;
        }
    }

    /// What was kept back, to be sent on.
    pub(super) fn take_held(&mut self) -> usize {
        std::mem::take(&mut self.held)
    }

    /// `length` more bytes have come, maybe the last; they can be read if the end is `open`. Gives their
    /// checksum.
    pub(super) fn arrive(&mut self, mut length: usize, fin: bool, open: bool) -> u64 {
        if fin {
            self.fin = Fin::Arrived;
        }
        let mut sum = 0;
        while length > 0 {
            let Some(front) = self.flight.front_mut() else { break };
            let part = front.split_to(front.len().min(length));
            if front.is_empty() {
                self.flight.pop_front();
            }
            length -= part.len();
            sum = mix(sum, checksum(&part));
            if open {
                self.unread.push_back(part);
            }
        }
        sum
    }

    /// Whether there is something to read now.
    pub(super) fn is_readable(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Whether no more bytes come.
    pub(super) fn has_ended(&self) -> bool {
        self.fin == Fin::Arrived && self.flight.is_empty()
    }

    /// Moves what can be read into the spare capacity of `buf`: how many bytes.
    pub(super) fn read(&mut self, buf: &mut BytesMut) -> usize {
        let mut room = buf.capacity() - buf.len();
        let mut read = 0;
        while let Some(front) = self.unread.front_mut().filter(|_| room > 0) {
            let taken = front.len().min(room);
            buf.extend_from_slice(front.get(..taken).unwrap_or_default());
            front.advance(taken);
            (room, read) = (room - taken, read + taken);
            if front.is_empty() {
                self.unread.pop_front();
            }
        }
        self.outstanding = self.outstanding.saturating_sub(read);
        read
    }

    /// Forgets what has not left the host: it died, or was told that nobody wants it.
    pub(super) fn cut_unsent(&mut self) {
        if self.fin == Fin::Due {
            self.fin = Fin::None;
        }
        while self.unsent > 0 {
            let Some(back) = self.flight.back_mut() else { return };
            let cut = back.len().min(self.unsent);
            back.truncate(back.len() - cut);
            self.unsent -= cut;
            self.outstanding = self.outstanding.saturating_sub(cut);
            if back.is_empty() {
                self.flight.pop_back();
            }
        }
    }
}
