//! The piece actor: the supervised download of a piece, or of a run of small ones.
//!
//! Owned by the member, which starts one for each 256 KiB in flight and learns of its end by
//! supervision. Blocks come straight from peer connections, a message for each run that a socket
//! delivered, and go to storage when a row of them is whole; they never pass the member. The member stops
//! it when all its pieces went to storage: if it ended itself, its supervisor would hear of the end before
//! the mailbox's last words. An actor that dies loses the bytes that it held, and the member has its pieces fetched again. All decisions are in
//! [`bittorrent::assembly`].

use std::collections::BTreeMap;

use bittorrent::PieceIndex;
use bittorrent::assembly::{PieceAssembly, Progress, WHOLE_MAX};
use bittorrent::picker::PeerKey;
use bytes::Bytes;
use env::live::Live;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tracing::debug;

use crate::disk::StorageMsg;
use crate::member::MemberMsg;

/// What a piece actor can be told.
#[derive(Debug)]
pub(crate) enum PieceMsg {
    /// Gather this piece too.
    Open {
        /// Which.
        piece: PieceIndex,
        /// Its length in bytes.
        length: u32,
        /// It failed before: its blocks' digests are wanted.
        suspect: bool,
    },
    /// A peer sent blocks of a piece. Unrequested ones were refused by its connection already.
    Blocks {
        /// Which piece.
        piece: PieceIndex,
        /// Who sent them.
        from: PeerKey,
        /// Offsets in the piece, and slices of the receive buffer.
        blocks: Vec<(u32, Bytes)>,
    },
    /// Panic, to see what the others do.
    #[cfg(test)]
    Panic,
}

/// The actor.
#[derive(Debug)]
pub(crate) struct PieceActor;

/// What it is born with.
#[derive(Debug)]
pub(crate) struct PieceArgs {
    /// Told when a piece is handed to storage.
    pub(crate) member: ActorRef<MemberMsg>,
    /// Takes whole rows.
    pub(crate) storage: ActorRef<StorageMsg>,
    /// Counts it.
    pub(crate) _live: Live,
}

/// Its state.
#[derive(Debug)]
pub(crate) struct PieceState {
    args: PieceArgs,
    open: BTreeMap<PieceIndex, Open>,
}

#[derive(Debug)]
struct Open {
    assembly: PieceAssembly,
    length: u32,
    suspect: bool,
}

impl Actor for PieceActor {
    type Msg = PieceMsg;
    type State = PieceState;
    type Arguments = PieceArgs;

    async fn pre_start(
        &self,
        _myself: ActorRef<PieceMsg>,
        args: PieceArgs,
    ) -> Result<PieceState, ActorProcessingErr> {
        Ok(PieceState { args, open: BTreeMap::new() })
    }

    async fn handle(
        &self,
        _myself: ActorRef<PieceMsg>,
        message: PieceMsg,
        state: &mut PieceState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PieceMsg::Open { piece, length, suspect } => {
                let assembly = PieceAssembly::new(length, WHOLE_MAX);
                state.open.insert(piece, Open { assembly, length, suspect });
            }
            PieceMsg::Blocks { piece, from, blocks } => on_blocks(state, piece, from, blocks)?,
            #[cfg(test)]
            PieceMsg::Panic => panic!("as the test wants it"),
        }
        Ok(())
    }
}

fn on_blocks(
    state: &mut PieceState,
    piece: PieceIndex,
    from: PeerKey,
    blocks: Vec<(u32, Bytes)>,
) -> Result<(), ActorProcessingErr> {
    let Some(open) = state.open.get_mut(&piece) else { return Ok(()) };
    for (begin, block) in blocks {
        match open.assembly.receive(begin, block, from) {
            Ok(Progress::Incomplete | Progress::Duplicate) => {}
            Ok(Progress::Row(row)) => hand_on(&state.args.storage, piece, open, row)?,
            Err(error) => debug!(%piece, %error, "block refused"),
        }
    }
    if open.assembly.is_complete() {
        let sources = open.assembly.sources();
        state.open.remove(&piece);
        state.args.member.cast(MemberMsg::PieceGathered { piece, sources })?;
    }
    Ok(())
}

/// Gives a whole row, which may be the whole piece, to storage.
fn hand_on(
    storage: &ActorRef<StorageMsg>,
    piece: PieceIndex,
    open: &mut Open,
    row: u32,
) -> Result<(), ActorProcessingErr> {
    let (begin, blocks) = open.assembly.take_row(row);
    let message = if open.length <= WHOLE_MAX {
        StorageMsg::Store { piece, blocks, digests_wanted: open.suspect }
    } else {
        StorageMsg::Row { piece, begin, blocks, digests_wanted: open.suspect }
    };
    Ok(storage.cast(message)?)
}
