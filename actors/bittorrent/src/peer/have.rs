//! What each side says that it has: bitfields, haves, and what came before the metadata (BEP 3, 6).

use crate::bitfield::Bitfield;
use crate::wire::Message;
use crate::{PieceIndex, Time};

use super::action::{Action, Layout, Violation, push_have};
use super::pieces::{PIECES_MAX, PeerPieces};
use super::{COST_FLIP, COST_IDLE, EARNED, REPLIES_MAX, Session};

/// What we say that we have when a connection starts.
#[derive(Debug, Clone, Copy)]
pub enum Offer<'a> {
    /// Nothing.
    None,
    /// Every piece.
    All,
    /// These.
    Some(&'a Bitfield),
}

/// Haves wait while so many bytes wait to be written,
const HAVES_OUT_MAX: usize = 32 * 1024;
/// and so many of them do.
const UNSAID_MAX: usize = 4_096;

impl Session {
    /// Says what we have: the first thing to do with a new session.
    pub fn start(&mut self, now: Time, offer: Offer<'_>) {
        match offer {
            Offer::All if self.capabilities.fast => self.send(now, &Message::HaveAll),
            Offer::None if self.capabilities.fast => self.send(now, &Message::HaveNone),
            // Without metadata there is nothing to have; without fast, silence says none.
            Offer::None => {}
            Offer::All => {
                if let Some(layout) = self.config.layout {
                    self.send_bitfield(now, &Bitfield::full(layout.piece_count));
                }
            }
            Offer::Some(bits) => self.send_bitfield(now, bits),
        }
    }

    /// What the peer has.
    #[must_use]
    pub const fn pieces(&self) -> &PeerPieces {
        &self.pieces
    }

    /// Tells the peer of a piece that we have now.
    pub fn announce_have(&mut self, now: Time, piece: PieceIndex) {
        self.tokens.give(now, EARNED);
        self.unsaid.push_back(piece);
        self.say_haves(now);
        if self.unsaid.len() > UNSAID_MAX {
            self.unsaid.pop_front();
        }
    }

    /// Queues haves while the peer reads what it is sent.
    ///
    /// A fast download makes more of them than a slow peer can read. They may wait; beyond
    /// [`UNSAID_MAX`] the peer doesn't learn of the oldest.
    pub(super) fn say_haves(&mut self, now: Time) {
        while self.out.len() <= HAVES_OUT_MAX
            && let Some(piece) = self.unsaid.pop_front()
        {
            self.send(now, &Message::Have(piece));
        }
    }

    /// Gives the number and size of the pieces, once the metadata is there and verified.
    ///
    /// # Errors
    ///
    /// What the peer claimed to have before does not fit the torrent.
    pub fn metadata_ready(
        &mut self,
        layout: Layout,
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        if self.config.layout.replace(layout).is_some() {
            return Ok(());
        }
        self.pieces.resolve(layout.piece_count)?;
        self.fast_from_peer.retain(|&piece| layout.has(piece));
        actions.extend(self.pieces.update().map(Action::Has));
        actions.extend(self.fast_from_peer.iter().copied().map(Action::AllowedFast));
        self.finish(actions);
        Ok(())
    }

    pub(super) fn on_have(
        &mut self,
        now: Time,
        piece: PieceIndex,
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        self.flags.bitfield_open = false;
        let piece_count = self.check_piece(piece)?;
        if !self.pieces.add(piece, piece_count) {
            return self.pay(now, COST_IDLE);
        }
        if self.config.layout.is_some() {
            push_have(actions, piece);
        }
        Ok(())
    }

    pub(super) fn on_bitfield(
        &mut self,
        now: Time,
        bits: &[u8],
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        if self.is_late() {
            return self.on_late_bitfield(now, bits, actions);
        }
        self.pieces.set_bits(bits, self.config.layout.map_or(0, |layout| layout.piece_count))?;
        actions.extend(self.pieces.update().map(Action::Has));
        Ok(())
    }

    /// A bitfield in place of many haves, as aria2 sends while it downloads fast. It adds pieces and
    /// takes none away.
    fn on_late_bitfield(
        &mut self,
        now: Time,
        bits: &[u8],
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        self.pay(now, COST_FLIP)?;
        if self.config.layout.is_some_and(|l| l.piece_count.div_ceil(8) as usize != bits.len()) {
            return Err(Violation::BadBitfield);
        }
        for (piece, _) in (0..)
            .zip(bits.iter().flat_map(|byte| (0..8).map(move |bit| (byte, bit))))
            .filter(|(_, (byte, bit))| *byte & (0x80 >> bit) != 0)
        {
            let piece = PieceIndex(piece);
            let piece_count = self.check_piece(piece).map_err(|_| Violation::BadBitfield)?;
            if self.pieces.add(piece, piece_count) && self.config.layout.is_some() {
                push_have(actions, piece);
            }
        }
        Ok(())
    }

    pub(super) fn on_all_or_none(
        &mut self,
        now: Time,
        all: bool,
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        self.need_fast(if all { "have all" } else { "have none" })?;
        if self.is_late() {
            self.pay(now, COST_FLIP)?;
            // webtorrent says that it has none when it has the metadata; it takes nothing back.
            if !all || self.pieces.is_all() {
                return Ok(());
            }
        }
        self.pieces.set_all_or_none(all);
        actions.extend(self.pieces.update().map(Action::Has));
        Ok(())
    }

    /// Checks a piece number from the wire; gives the number of pieces, zero if that is unknown.
    pub(super) fn check_piece(&self, piece: PieceIndex) -> Result<u32, Violation> {
        match self.config.layout {
            Some(layout) if layout.has(piece) => Ok(layout.piece_count),
            None if piece.0 < PIECES_MAX => Ok(0),
            _ => Err(Violation::NoSuchPiece(piece)),
        }
    }

    /// Whether the peer has told before what it has, or asked for something. By BEP 3 it is too late
    /// then, but some do it, and mean it well.
    const fn is_late(&mut self) -> bool {
        !std::mem::replace(&mut self.flags.bitfield_open, false)
    }

    fn send_bitfield(&mut self, now: Time, bits: &Bitfield) {
        if bits.count() == 0 {
            if self.capabilities.fast {
                self.send(now, &Message::HaveNone);
            }
            return;
        }
        let bytes = bits.to_bytes();
        self.out_max = REPLIES_MAX + bytes.len();
        self.send(now, &Message::Bitfield(bytes.into()));
    }
}
