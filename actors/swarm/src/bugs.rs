//! Mistakes that can be switched on, to see that the checks of simulations find them.
//!
//! Only with the feature `seeded-bugs`, which optimised builds refuse, can one be planted. Without it
//! `has` is a constant `false`, and what stands behind it costs nothing. Each call site is a mistake
//! that somebody could have made there.

#[cfg(all(feature = "seeded-bugs", not(debug_assertions)))]
compile_error!("the feature seeded-bugs is for tests: an optimised build must not have it");

use bittorrent::peer::{Action, Session};
use bittorrent::wire::{Message, codec};
use bittorrent::{BlockRef, Time};
use bytes::BytesMut;

/// A mistake.
#[cfg_attr(
    not(feature = "seeded-bugs"),
    expect(unreachable_pub, reason = "the module is public only with the feature")
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A piece counts as right whatever its hash is.
    SkipsTheHashCheck,
    /// What was written is claimed without waiting for the disk.
    ForgetsToSync,
    /// A piece is announced and served as soon as its blocks are there.
    ServesUnverified,
    /// What is sent is counted when it is read and when it is written.
    CountsTwice,
    /// A torrent's actor is not ended when the torrent is removed.
    LeaksAnActor,
    /// A choke is not heeded.
    IgnoresChokes,
    /// The first block of each round of requests is requested twice.
    RequestsTwice,
    /// Whoever becomes interested is served, whether a slot is free or not.
    UnchokesTooMany,
    /// The limit on what is sent is not looked at.
    BreaksTheRateLimit,
    /// Resume data claims pieces that are still on their way.
    ClaimsTooEarly,
    /// It says that one request more may wait for it than may. No harm, and no invariant: one byte of what
    /// is said is another, so the trace must be another.
    SaysAnotherByte,
}

/// Whether this mistake is made: the one that was planted, if any.
#[cfg(feature = "seeded-bugs")]
pub(crate) fn has(bug: Bug) -> bool {
    planted::is(bug)
}

/// Whether this mistake is made: never.
#[cfg(not(feature = "seeded-bugs"))]
pub(crate) const fn has(_: Bug) -> bool {
    false
}

/// Makes a session believe that its peer serves us.
pub(crate) fn unchoke(session: &mut Session, now: Time, actions: &mut Vec<Action>) {
    let mut message = BytesMut::new();
    codec::encode(&Message::Unchoke, &mut message);
    // A session that ends says so at its next call too.
    let _ = session.receive(now, &mut message, actions);
}

/// Requests a block behind its session's back.
pub(crate) fn request(session: &mut Session, block: BlockRef) {
    codec::encode(&Message::Request(block), session.transmit());
}

#[cfg(feature = "seeded-bugs")]
pub use planted::{UnknownBug, plant};

#[cfg(feature = "seeded-bugs")]
mod planted {
    use std::fmt;
    use std::str::FromStr;
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Bug;

    /// The planted one's number; 0 is none.
    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// Plants a mistake in all engines of this process, instead of the one before; `None` plants none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.store(bug.map_or(0, Bug::number), Ordering::Relaxed);
    }

    pub(super) fn is(bug: Bug) -> bool {
        PLANTED.load(Ordering::Relaxed) == bug.number()
    }

    /// No mistake has this name.
    #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
    #[error("no bug is called {0:?}")]
    pub struct UnknownBug(String);

    impl Bug {
        /// All that can be planted.
        pub const ALL: [Self; 11] = [
            Self::SkipsTheHashCheck,
            Self::ForgetsToSync,
            Self::ServesUnverified,
            Self::CountsTwice,
            Self::LeaksAnActor,
            Self::IgnoresChokes,
            Self::RequestsTwice,
            Self::UnchokesTooMany,
            Self::BreaksTheRateLimit,
            Self::ClaimsTooEarly,
            Self::SaysAnotherByte,
        ];

        /// Its name on a command line.
        #[must_use]
        pub const fn name(self) -> &'static str {
            match self {
                Self::SkipsTheHashCheck => "skips-the-hash-check",
                Self::ForgetsToSync => "forgets-to-sync",
                Self::ServesUnverified => "serves-unverified",
                Self::CountsTwice => "counts-twice",
                Self::LeaksAnActor => "leaks-an-actor",
                Self::IgnoresChokes => "ignores-chokes",
                Self::RequestsTwice => "requests-twice",
                Self::UnchokesTooMany => "unchokes-too-many",
                Self::BreaksTheRateLimit => "breaks-the-rate-limit",
                Self::ClaimsTooEarly => "claims-too-early",
                Self::SaysAnotherByte => "says-another-byte",
            }
        }

        const fn number(self) -> u8 {
            self as u8 + 1
        }
    }

    impl fmt::Display for Bug {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.name())
        }
    }

    impl FromStr for Bug {
        type Err = UnknownBug;

        fn from_str(name: &str) -> Result<Self, UnknownBug> {
            let found = Self::ALL.into_iter().find(|bug| bug.name() == name);
            found.ok_or_else(|| UnknownBug(name.to_owned()))
        }
    }

    #[cfg(test)]
    mod tests {
        use std::collections::BTreeSet;

        use super::*;

        #[test]
        fn every_bug_has_a_name_and_a_number_of_its_own() {
            for bug in Bug::ALL {
                assert_eq!(bug.to_string().parse(), Ok(bug));
            }
            assert_eq!("none".parse::<Bug>(), Err(UnknownBug("none".to_owned())));
            let numbers: BTreeSet<u8> = Bug::ALL.into_iter().map(Bug::number).collect();
            assert!(numbers.len() == Bug::ALL.len() && !numbers.contains(&0));
        }
    }
}
