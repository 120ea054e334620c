//! What waits to be written to a peer: control messages, then a run of blocks.
//!
//! A run that was begun is finished before control messages follow, or messages would be torn. At most
//! one run is being written and one waits.

use std::io;

use bittorrent::peer::Session;
use bytes::{Buf, BytesMut};
use env::net::ByteStream;

use super::handshake::Cipher;

/// Blocks with their headers, ready to be written.
#[derive(Debug)]
pub(super) struct Run {
    /// The wire bytes.
    pub(super) bytes: BytesMut,
    /// How many bytes of them are payload.
    pub(super) payload: u64,
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    current: Option<Run>,
    next: Option<Run>,
    /// A buffer of the last run, to be used again.
    spare: BytesMut,
}

impl Outgoing {
    /// Whether a further run may be read from disk.
    pub(super) const fn takes_run(&self) -> bool {
        self.next.is_none()
    }

    /// Queues a run.
    pub(super) fn push_run(&mut self, run: Run) {
        self.next = Some(run);
    }

    /// A buffer to fill.
    pub(super) fn spare(&mut self) -> BytesMut {
        std::mem::take(&mut self.spare)
    }

    /// Whether something waits.
    pub(super) fn is_pending(&self, session: &mut Session) -> bool {
        self.current.is_some() || self.next.is_some() || !session.transmit().is_empty()
    }

    /// Writes what the stream takes now, and says how many bytes of payload were finished.
    pub(super) fn write(
        &mut self,
        stream: &dyn ByteStream,
        session: &mut Session,
        cipher: &mut Option<Cipher>,
    ) -> io::Result<u64> {
        let mut finished = 0;
        loop {
            let Some(run) = self.front(session, cipher) else { return Ok(finished) };
            match stream.try_write(&run.bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => run.bytes.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(finished),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if run.bytes.is_empty() {
                finished += run.payload;
                self.retire();
            }
        }
    }

    fn front(&mut self, session: &mut Session, cipher: &mut Option<Cipher>) -> Option<&mut Run> {
        if self.current.is_none() {
            let control = session.transmit();
            let mut run = if control.is_empty() {
                self.next.take()?
            } else {
                Run { bytes: control.split(), payload: 0 }
            };
            if let Some(cipher) = cipher {
                cipher.send.apply(&mut run.bytes);
            }
            self.current = Some(run);
        }
        self.current.as_mut()
    }

    fn retire(&mut self) {
        if let Some(run) = self.current.take()
            && run.payload > 0
        {
            self.spare = run.bytes;
        }
    }
}
