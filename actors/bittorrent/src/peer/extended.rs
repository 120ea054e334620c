//! The extension protocol (BEP 10) and what goes over it: metadata (BEP 9), peer exchange (BEP 11),
//! upload-only (BEP 21) and lost pieces (BEP 54).
//!
//! Each side numbers the extensions that it takes: [`wire::extension`](crate::wire::extension) has our
//! numbers, the peer's come with its handshake. A private torrent (BEP 27) exchanges no peers: what comes
//! is ignored and nothing is sent.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::wire::metadata::METADATA_PIECE_LEN;
use crate::wire::{Message, extension, metadata, pex};
use crate::{PieceIndex, Time};

use super::action::{Action, HaveUpdate, Violation};
use super::{COST_FLIP, COST_IDLE, Session};

/// Requests that a peer takes which does not say how many (`reqq`); libtorrent's default too.
pub(super) const REQQ_DEFAULT: u32 = 250;
/// The longest message: a metadata piece of 16 KiB, or thousands of addresses, where honest peers send
/// a hundred.
pub(super) const MESSAGE_MAX: u32 = 64 * 1024;
/// Pieces of metadata that are asked of one peer at once.
const METADATA_ASKED_MAX: usize = 64;
/// After this time a piece of metadata is asked of another peer.
const METADATA_PATIENCE: Duration = Duration::from_secs(10);
/// The longest info dictionary that is taken, in bytes: as long as a metainfo file may be.
const METADATA_SIZE_MAX: u32 = 10 * 1024 * 1024;
/// Requests for metadata that wait here: 10 MB of it at once, as some clients ask.
const METADATA_QUEUE_MAX: usize = 640;
/// Metadata waits while so many bytes wait to be written.
const METADATA_OUT_MAX: usize = 32 * 1024;
/// An extension handshake: a new one now and then is fine.
const COST_HANDSHAKE: u64 = 200;
/// A list of peers: four at once, then one each 25 s. BEP 11 allows one a minute.
const COST_PEX: u64 = 2_500;
/// Metadata that nobody asked for.
const COST_METADATA_UNASKED: u64 = 200;
/// A request for metadata: 20 a second, 320 KiB/s, after the first 10 MB.
const COST_METADATA_REQUEST: u64 = 5;

/// What is known of the peer's extensions.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    /// The peer's numbers.
    ids: extension::Ids,
    client: Option<Box<str>>,
    upload_only: bool,
    metadata_size: Option<u32>,
    /// Pieces of metadata that we asked for, and when, oldest first.
    asked: VecDeque<(u32, Time)>,
    /// Pieces of metadata that the peer asked for.
    requested: VecDeque<u32>,
}

impl Extensions {
    pub(super) fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    pub(super) const fn upload_only(&self) -> bool {
        self.upload_only
    }

    pub(super) fn metadata_due(&self) -> Time {
        self.asked.front().map_or(Time::MAX, |(_, at)| *at + METADATA_PATIENCE)
    }

    /// Takes over the numbers that a handshake names; those of an earlier one stay (BEP 10).
    fn update_ids(&mut self, named: extension::Ids) {
        for (id, named) in [
            (&mut self.ids.ut_metadata, named.ut_metadata),
            (&mut self.ids.ut_pex, named.ut_pex),
            (&mut self.ids.upload_only, named.upload_only),
            (&mut self.ids.lt_donthave, named.lt_donthave),
        ] {
            if named != 0 {
                *id = named;
            }
        }
    }

    /// Gives back memory that nothing needs.
    pub(super) fn shrink(&mut self) {
        self.asked.shrink_to_fit();
        self.requested.shrink_to_fit();
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.client().map_or(0, str::len)
            + self.asked.capacity() * size_of::<(u32, Time)>()
            + self.requested.capacity() * size_of::<u32>()
    }

    /// Takes a piece of metadata off the list of those that were asked for.
    fn answered(&mut self, piece: u32) -> bool {
        let found = self.asked.iter().position(|&(other, _)| other == piece);
        found.and_then(|position| self.asked.remove(position)).is_some()
    }
}

impl Session {
    /// Sends our extension handshake, the first or a later one; of no effect on peers without the
    /// extension protocol. In a private torrent it offers no exchange of peers (BEP 27).
    pub fn send_extension_handshake(&mut self, now: Time, handshake: &extension::Handshake) {
        if !self.capabilities.extended {
            return;
        }
        let mut handshake = handshake.clone();
        if self.config.is_private {
            handshake.ids.ut_pex = 0;
        }
        self.send(now, &Message::Extended { id: 0, payload: handshake.encode() });
    }

    /// Tells the peer that we only upload, or download too (BEP 21).
    pub fn set_upload_only(&mut self, now: Time, upload_only: bool) {
        let payload = Bytes::from_static(if upload_only { &[1] } else { &[0] });
        self.send_extended(now, self.extensions.ids.upload_only, payload);
    }

    /// Tells the peer that we have a piece no longer (BEP 54).
    pub fn lose_piece(&mut self, now: Time, piece: PieceIndex) {
        let payload = Bytes::copy_from_slice(&piece.0.to_be_bytes());
        self.send_extended(now, self.extensions.ids.lt_donthave, payload);
    }

    /// Whether the peer takes addresses of others (BEP 11), and may have them.
    #[must_use]
    pub fn takes_pex(&self) -> bool {
        !self.config.is_private && self.takes(self.extensions.ids.ut_pex)
    }

    /// Tells the peer of others, if [`Session::takes_pex`].
    pub fn send_pex(&mut self, now: Time, message: &pex::Message) {
        if self.takes_pex() {
            self.send_extended(now, self.extensions.ids.ut_pex, message.encode());
        }
    }

    /// The size of the info dictionary as the peer says, in bytes, if the peer can be asked for it.
    #[must_use]
    pub fn metadata_size(&self) -> Option<u32> {
        self.extensions.metadata_size.filter(|_| self.takes(self.extensions.ids.ut_metadata))
    }

    /// Asks for pieces of the info dictionary.
    ///
    /// Those that cannot be asked for come back at once as [`Action::MetadataRefused`]: the peer does
    /// not know the extension, or 64 are asked for already. What is asked for is not asked again.
    pub fn request_metadata(&mut self, now: Time, pieces: &[u32], actions: &mut Vec<Action>) {
        let id = self.extensions.ids.ut_metadata;
        let mut refused = Vec::new();
        for &piece in pieces {
            let asked = &self.extensions.asked;
            if asked.iter().any(|&(other, _)| other == piece) {
                continue;
            }
            if asked.len() >= METADATA_ASKED_MAX || !self.takes(id) {
                refused.push(piece);
                continue;
            }
            self.send_extended(now, id, metadata::Message::Request { piece }.encode());
            self.extensions.asked.push_back((piece, now));
        }
        if !refused.is_empty() {
            actions.push(Action::MetadataRefused(refused));
        }
    }

    /// Takes the next piece of the info dictionary that the peer asks for; none while it has not read
    /// enough of what it was sent.
    pub fn next_metadata_request(&mut self) -> Option<u32> {
        if self.out.len() > METADATA_OUT_MAX {
            return None;
        }
        self.extensions.requested.pop_front()
    }

    /// Answers a request for a piece of the info dictionary of `total_size` bytes; without `data` the
    /// request is refused.
    pub fn serve_metadata(&mut self, now: Time, piece: u32, total_size: u32, data: Option<Bytes>) {
        let message = match data {
            Some(data) => metadata::Message::Data { piece, total_size, data },
            None => metadata::Message::Reject { piece },
        };
        self.send_extended(now, self.extensions.ids.ut_metadata, message.encode());
    }

    pub(super) fn on_extended(
        &mut self,
        now: Time,
        id: u8,
        payload: Bytes,
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        if !self.capabilities.extended {
            return Err(Violation::NotNegotiated("extended message"));
        }
        let ours = extension::OURS;
        match id {
            0 => self.on_handshake(now, &payload, actions),
            id if id == ours.ut_metadata => self.on_metadata(now, payload, actions),
            id if id == ours.ut_pex => self.on_pex(now, &payload, actions),
            id if id == ours.upload_only => self.on_upload_only(now, &payload, actions),
            id if id == ours.lt_donthave => self.on_dont_have(now, &payload, actions),
            _ => self.pay(now, COST_FLIP),
        }
    }

    pub(super) fn on_metadata_due(&mut self, now: Time, actions: &mut Vec<Action>) {
        let mut refused = Vec::new();
        while now >= self.extensions.metadata_due() {
            refused.extend(self.extensions.asked.pop_front().map(|(piece, _)| piece));
        }
        if !refused.is_empty() {
            actions.push(Action::MetadataRefused(refused));
        }
    }

    fn on_handshake(
        &mut self,
        now: Time,
        payload: &[u8],
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        let handshake = extension::Handshake::decode(payload)?;
        self.extensions.update_ids(handshake.ids);
        if let Some(client) = &handshake.client {
            self.extensions.client = Some(client.as_str().into());
        }
        if let Some(size) = handshake.metadata_size {
            self.extensions.metadata_size = Some(size);
        }
        if let Some(reqq) = handshake.reqq {
            self.window.set_cap(self.config.window_max.min(reqq));
        }
        let upload_only = handshake.upload_only;
        actions.push(Action::Extended(Box::new(handshake)));
        if let Some(upload_only) = upload_only {
            self.change_upload_only(upload_only, actions);
        }
        self.pay(now, COST_HANDSHAKE)
    }

    fn on_metadata(
        &mut self,
        now: Time,
        payload: Bytes,
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        // Kinds that a later BEP may add are to be ignored (BEP 9), and look like anything.
        let Ok(message) = metadata::Message::decode(payload) else {
            return self.pay(now, COST_METADATA_UNASKED);
        };
        match message {
            metadata::Message::Request { piece } => {
                if self.extensions.requested.len() < METADATA_QUEUE_MAX {
                    self.extensions.requested.push_back(piece);
                    self.flags.metadata_untold = true;
                } else {
                    self.serve_metadata(now, piece, 0, None);
                    self.doom()?;
                }
                self.pay(now, COST_METADATA_REQUEST)
            }
            metadata::Message::Data { piece, total_size, data } => {
                if !self.extensions.answered(piece) {
                    return self.pay(now, COST_METADATA_UNASKED);
                }
                if data.is_empty() || data.len() != metadata_piece_len(total_size, piece) {
                    return Err(Violation::BadMetadata { piece, total_size, actual: data.len() });
                }
                actions.push(Action::Metadata { piece, total_size, data });
                Ok(())
            }
            metadata::Message::Reject { piece } => {
                if !self.extensions.answered(piece) {
                    return self.pay(now, COST_IDLE);
                }
                actions.push(Action::MetadataRefused(vec![piece]));
                Ok(())
            }
        }
    }

    fn on_pex(
        &mut self,
        now: Time,
        payload: &[u8],
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        self.pay(now, COST_PEX)?;
        if !self.config.is_private {
            actions.push(Action::Pex(Box::new(pex::Message::decode(payload)?)));
        }
        Ok(())
    }

    fn on_upload_only(
        &mut self,
        now: Time,
        payload: &[u8],
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        let &[value] = payload else { return Err(extension::Error.into()) };
        self.change_upload_only(value != 0, actions);
        self.pay(now, COST_FLIP)
    }

    fn on_dont_have(
        &mut self,
        now: Time,
        payload: &[u8],
        actions: &mut Vec<Action>,
    ) -> Result<(), Violation> {
        let &[a, b, c, d] = payload else { return Err(extension::Error.into()) };
        let piece = PieceIndex(u32::from_be_bytes([a, b, c, d]));
        let piece_count = self.check_piece(piece)?;
        if self.pieces.remove(piece, piece_count) && self.config.layout.is_some() {
            actions.push(Action::Has(HaveUpdate::Lost(piece)));
        }
        self.pay(now, COST_FLIP)
    }

    fn change_upload_only(&mut self, upload_only: bool, actions: &mut Vec<Action>) {
        if std::mem::replace(&mut self.extensions.upload_only, upload_only) != upload_only {
            actions.push(Action::UploadOnly(upload_only));
        }
    }

    /// Whether the peer takes messages of this number of its own.
    const fn takes(&self, id: u8) -> bool {
        self.capabilities.extended && id != 0
    }

    /// Sends a message by the peer's number for it, if it has one.
    fn send_extended(&mut self, now: Time, id: u8, payload: Bytes) {
        if self.takes(id) {
            self.send(now, &Message::Extended { id, payload });
        }
    }
}

/// Length of a piece of an info dictionary of `total_size` bytes; zero if there is no such piece.
fn metadata_piece_len(total_size: u32, piece: u32) -> usize {
    let begin = u64::from(piece) * u64::from(METADATA_PIECE_LEN);
    let rest = u64::from(total_size.min(METADATA_SIZE_MAX)).saturating_sub(begin);
    usize::try_from(rest.min(u64::from(METADATA_PIECE_LEN))).unwrap_or(0)
}
