//! What is shown of a connection: written by its loop, read by the member for the choker and by people.

use std::sync::{Mutex, PoisonError};

use bittorrent::Time;
use bittorrent::rate::RateMeter;

/// Shared figures of one connection.
#[derive(Debug)]
pub(crate) struct PeerCell {
    figures: Mutex<Figures>,
}

/// Figures of one connection.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "the protocol's own flags, all independent")]
pub(crate) struct Figures {
    /// Payload from the peer.
    pub(crate) down: RateMeter,
    /// Payload to the peer.
    pub(crate) up: RateMeter,
    /// The peer's program.
    pub(crate) client: Option<String>,
    /// The stream is encrypted by RC4.
    pub(crate) encrypted: bool,
    /// The peer refuses to serve us.
    pub(crate) choked: bool,
    /// We refuse to serve the peer.
    pub(crate) choking: bool,
    /// We want something of the peer.
    pub(crate) interested: bool,
    /// The peer wants something of us.
    pub(crate) wants: bool,
    /// Pieces that it has.
    pub(crate) pieces: u32,
}

impl PeerCell {
    /// Figures of a connection on which nothing happened.
    pub(crate) fn new(now: Time) -> Self {
        Self {
            figures: Mutex::new(Figures {
                down: RateMeter::new(now),
                up: RateMeter::new(now),
                client: None,
                encrypted: false,
                choked: true,
                choking: true,
                interested: false,
                wants: false,
                pieces: 0,
            }),
        }
    }

    /// Changes the figures.
    pub(crate) fn change<T>(&self, how: impl FnOnce(&mut Figures) -> T) -> T {
        // Figures for people: whole enough after any statement.
        how(&mut self.figures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The figures now.
    pub(crate) fn figures(&self) -> Figures {
        self.change(|figures| figures.clone())
    }
}
