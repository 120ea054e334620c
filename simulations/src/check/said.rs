//! What hosts say to each other, message by message: I1, I7 and I9 where one message is enough to see it.

use std::sync::Arc;

use bittorrent::wire::Message;
use bittorrent::{BlockRef, PieceIndex};

use super::stream::{Notice, Side, Stream};
use super::wire::Said;
use super::{BLOCKED_AT, GRACE_NS, Observer, RATE_SLACK, RATE_WINDOW_NS, REQUESTS_MAX};

impl Observer {
    pub(super) fn on_said(&mut self, of: &mut Stream, side: usize, end: u64, said: Said) {
        let Some((speaker, other)) = of.both(side) else { return };
        match said {
            Said::Handshake(reserved) => {
                speaker.shook = true;
                speaker.fast = reserved.0[7] & 0x04 != 0;
                self.messages += 1;
            }
            Said::Part { piece, at, bytes } => self.on_payload(speaker, piece, at, &bytes),
            Said::Block(BlockRef { piece, begin, length }) => {
                self.messages += 1;
                speaker.said(end, Notice::Block { piece: piece.0, begin, length });
            }
            Said::Message(message) => {
                self.messages += 1;
                self.on_message(speaker, other, end, message);
            }
        }
    }

    fn on_payload(&mut self, speaker: &Side, piece: u32, at: u32, bytes: &[u8]) {
        let (index, now_ns) = (speaker.host, self.now_ns);
        let is_true = self.content.piece(piece).get(at as usize..at as usize + bytes.len());
        let is_true = is_true == Some(bytes);
        let Some(host) = self.hosts.get_mut(index) else { return };
        host.sent += bytes.len() as u64;
        if now_ns - host.window.0 > RATE_WINDOW_NS {
            host.window = (now_ns, 0);
        }
        host.window.1 += bytes.len() as u64;
        if !host.is.honest {
            return;
        }
        let rate = host.is.bounds.up_bytes_per_s;
        let may = rate * (RATE_WINDOW_NS / 1_000_000_000) + rate / 2 + RATE_SLACK;
        let (sent, damaged) = (host.window.1, host.damaged.contains_key(&piece));
        if rate > 0 && sent > may {
            let message = format!("sent {sent} bytes in 10 s, at most {rate} a second are allowed");
            self.fail("I9", Some(index), message);
        }
        if !is_true && !damaged {
            let message = format!("sent bytes of piece {piece} at {at} that are not the torrent's");
            self.fail("I1", Some(index), message);
        }
    }

    fn on_message(&mut self, speaker: &mut Side, other: &Side, end: u64, message: Message) {
        match message {
            Message::Choke => {
                speaker.choking = true;
                speaker.said(end, Notice::Choke);
            }
            Message::Unchoke => {
                speaker.choking = false;
                speaker.said(end, Notice::Unchoke);
            }
            Message::Interested | Message::NotInterested => {
                speaker.interested = message == Message::Interested;
                speaker.said(end, Notice::Interested(speaker.interested));
            }
            Message::Have(piece) => self.claims(speaker.host, std::iter::once(piece.0)),
            Message::HaveAll => {
                self.reached("have-all");
                self.claims(speaker.host, self.content.pieces());
            }
            Message::HaveNone => self.reached("have-none"),
            Message::Bitfield(bits) => {
                let bit = |piece: u32| {
                    bits.get(piece as usize / 8)
                        .is_some_and(|byte| byte >> (7 - piece % 8) & 1 == 1)
                };
                self.claims(speaker.host, self.content.pieces().filter(|&piece| bit(piece)));
            }
            Message::Request(block) => self.on_request(speaker, other, block),
            Message::Cancel(block) => {
                self.reached("cancelled-request");
                if let Some(length) = speaker.asked.remove(&(block.piece.0, block.begin)) {
                    self.answered(speaker.host, (block.piece.0, block.begin), length);
                }
            }
            Message::RejectRequest(block) => {
                self.reached("rejected-request");
                let (piece, begin) = (block.piece.0, block.begin);
                speaker.said(end, Notice::Reject { piece, begin });
            }
            Message::AllowedFast(piece) => {
                self.reached("allowed-fast");
                speaker.said(end, Notice::AllowedFast(piece.0));
            }
            Message::Extended { id, payload } => self.on_extended(speaker, other, id, &payload),
            Message::KeepAlive
            | Message::Piece { .. }
            | Message::Port(_)
            | Message::SuggestPiece(_) => {}
        }
    }

    fn on_extended(&mut self, speaker: &Side, other: &Side, id: u8, payload: &[u8]) {
        let honest = |side: &Side| self.hosts.get(side.host).is_some_and(|host| host.is.honest);
        // Only engines give these numbers, and all give the same.
        if !honest(speaker) || !honest(other) {
            return;
        }
        let ours = bittorrent::wire::extension::OURS;
        if id == ours.ut_pex && self.private {
            let message = "exchanged peers of a private torrent".to_owned();
            self.fail("I9", Some(speaker.host), message);
        }
        // A message with a part of the metadata holds more than its dictionary.
        if id == ours.ut_metadata && payload.len() > 100 {
            self.reached("metadata-by-peers");
        }
    }

    /// A host says that it has these pieces: they are on its disk.
    pub fn claims(&mut self, index: usize, pieces: impl Iterator<Item = u32>) {
        let content = Arc::clone(&self.content);
        let Some(host) = self.hosts.get_mut(index) else { return };
        let mut wrong = None;
        for piece in pieces {
            host.claims.insert(PieceIndex(piece));
            if wrong.is_none() && !host.can_claim(piece, &content) {
                wrong = Some(piece);
            }
        }
        let invariant = if host.lives > 1 { "I2" } else { "I1" };
        if let Some(piece) = wrong {
            let message = format!("claims piece {piece}, which is not on its disk");
            self.fail(invariant, Some(index), message);
        }
    }

    fn on_request(&mut self, speaker: &mut Side, other: &Side, block: BlockRef) {
        let (key, index) = ((block.piece.0, block.begin), speaker.host);
        let wrong = self.wrong_request(speaker, block);
        let again = speaker.asked.insert(key, block.length).is_some();
        let Some(host) = self.hosts.get_mut(index) else { return };
        if !again {
            let peers = host.waits_for.entry(key).or_default();
            *peers += 1;
            match *peers {
                1 => host.outstanding += u64::from(block.length),
                2 => *self.sometimes.entry("endgame").or_default() += 1,
                _ => {}
            }
        }
        if !host.is.honest {
            return;
        }
        let (asked, may) = (host.outstanding, host.is.bounds.unwritten);
        if let Some(message) = wrong {
            let peer = self.hosts.get(other.host).map_or("?", |host| &host.is.name);
            let message = format!("{message}, from {peer}");
            self.fail("I7", Some(index), message);
        } else if again {
            self.fail("I7", Some(index), format!("asked for {} twice", shown(block)));
        } else if asked > may {
            let message = format!("{asked} bytes are asked for, at most {may} may be");
            self.fail("I9", Some(index), message);
        }
    }

    fn wrong_request(&self, speaker: &Side, block: BlockRef) -> Option<String> {
        if !speaker.interested {
            return Some(format!("asked for {} without interest", shown(block)));
        }
        if speaker.asked.len() >= REQUESTS_MAX {
            return Some(format!("{} requests are in flight", speaker.asked.len() + 1));
        }
        let since = speaker.choked_since?;
        let is_late = self.now_ns - since > GRACE_NS && speaker.in_flight() < BLOCKED_AT;
        if !is_late || speaker.allowed.contains(&block.piece.0) {
            return None;
        }
        let seconds = (self.now_ns - since) / 1_000_000_000;
        Some(format!("asked for {}, choked since {seconds} s", shown(block)))
    }

    fn answered(&mut self, host: usize, block: (u32, u32), length: u32) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.answered(block, length);
        }
    }

    /// `reader` has read what `speaker` said.
    pub(super) fn on_read(&mut self, reader: &mut Side, speaker: &Side, notice: Notice) {
        match notice {
            Notice::Choke => {
                reader.choked_since.get_or_insert(self.now_ns);
                if !reader.asked.is_empty() {
                    self.reached("choked-in-mid-piece");
                }
                // With the fast extension every request is still answered.
                if !(reader.fast && speaker.fast) {
                    for (block, length) in std::mem::take(&mut reader.asked) {
                        self.answered(reader.host, block, length);
                    }
                }
            }
            Notice::Unchoke => reader.choked_since = None,
            Notice::Interested(wants) => reader.wanted = wants,
            Notice::AllowedFast(piece) => {
                reader.allowed.insert(piece);
            }
            Notice::Block { piece, begin, length } => {
                if let Some(host) = self.hosts.get_mut(reader.host) {
                    host.received += u64::from(length);
                }
                if let Some(length) = reader.asked.remove(&(piece, begin)) {
                    self.answered(reader.host, (piece, begin), length);
                }
            }
            Notice::Reject { piece, begin } => {
                if let Some(length) = reader.asked.remove(&(piece, begin)) {
                    self.answered(reader.host, (piece, begin), length);
                }
            }
        }
    }
}

fn shown(block: BlockRef) -> String {
    format!("piece {} at {}", block.piece.0, block.begin)
}
