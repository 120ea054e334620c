//! An end of a stream in an application's hands.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

use super::stream::StreamKey;
use crate::net::ByteStream;
use crate::sim::seen::Seen;
use crate::sim::state::{Shared, State};

/// One end; closed when dropped.
#[derive(Debug)]
pub(super) struct SimStream {
    pub(super) shared: Arc<Shared>,
    pub(super) key: StreamKey,
    pub(super) side: usize,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
}

fn wait(slot: &mut Option<Waker>, cx: &Context<'_>) -> Poll<io::Result<()>> {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
    Poll::Pending
}

impl ByteStream for SimStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.lock();
        let Some(pair) = state.net.streams.get_mut(self.key) else { return Poll::Ready(Ok(())) };
        let (mine, theirs) = pair.ends(self.side);
        if mine.reset || theirs.out.is_readable() || theirs.out.has_ended() {
            return Poll::Ready(Ok(()));
        }
        wait(&mut mine.reader, cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.lock();
        let Some(pair) = state.net.streams.get_mut(self.key) else { return Poll::Ready(Ok(())) };
        let (mine, _) = pair.ends(self.side);
        if mine.reset || mine.out.has_room() {
            return Poll::Ready(Ok(()));
        }
        wait(&mut mine.writer, cx)
    }

    fn try_read(&self, buf: &mut BytesMut) -> io::Result<usize> {
        let mut state = self.shared.lock();
        let (key, side) = (self.key, self.side);
        let pair = state.net.streams.get_mut(key).ok_or(io::ErrorKind::ConnectionReset)?;
        let (mine, theirs) = pair.ends(side);
        let was_full = !theirs.out.has_room();
        let length = theirs.out.read(buf);
        if length == 0 {
            return match (mine.reset, theirs.out.has_ended()) {
                (true, _) => Err(io::ErrorKind::ConnectionReset.into()),
                (false, true) => Ok(0),
                (false, false) => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        if was_full {
            state.tell_room(key, side);
        }
        state.see(|| Seen::Read { stream: key.number(), side, length });
        Ok(length)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.shared.lock();
        let (key, side) = (self.key, self.side);
        let State { net, seen, .. } = &mut *state;
        let pair = net.streams.get_mut(key).ok_or(io::ErrorKind::ConnectionReset)?;
        let (mine, _) = pair.ends(side);
        if mine.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        let taken = bytes.len().min(mine.out.room());
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let sent = Bytes::copy_from_slice(bytes.get(..taken).unwrap_or_default());
        if let Some(seen) = seen {
            seen.push(Seen::Sent { stream: key.number(), side, bytes: sent.clone() });
        }
        mine.out.write(sent);
        state.offer(key, side);
        Ok(taken)
    }

    fn set_read_low_water(&self, _bytes: usize) {}

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.shared.lock().close(self.key, self.side);
    }
}
