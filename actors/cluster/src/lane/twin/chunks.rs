//! A lane's bytes on a simulated stream: in chunks, so that an empty one can say "still here".

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use env::NodeEnv;
use env::net::AsyncStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};

use crate::lane::OpenError;

/// The most bytes of a chunk.
const CHUNK_LEN_MAX: usize = 16 * 1024;
/// Bytes of a chunk's length.
const LENGTH_LEN: usize = 2;

/// Why a connection ended, once it has.
#[derive(Debug, Default)]
pub(super) struct End(Mutex<Option<OpenError>>);

impl End {
    fn set(&self, why: OpenError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    pub(super) fn get(&self) -> Option<OpenError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends what the lane writes, and empty chunks while it writes nothing.
pub(super) async fn send(
    env: NodeEnv,
    mut from: ReadHalf<DuplexStream>,
    mut to: AsyncStream,
    keep_alive: Duration,
) {
    let mut chunk = BytesMut::with_capacity(LENGTH_LEN + CHUNK_LEN_MAX);
    let mut bytes = vec![0; CHUNK_LEN_MAX];
    loop {
        let length = match env.timeout(keep_alive, from.read(&mut bytes)).await {
            None => 0,
            Some(Ok(length)) if length > 0 => length,
            Some(_) => return,
        };
        chunk.clear();
        chunk.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
        chunk.put_slice(bytes.get(..length).unwrap_or_default());
        if to.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

/// Hands what comes to the lane, until nothing comes for the idle timeout.
pub(super) async fn receive(
    env: NodeEnv,
    mut come: BytesMut,
    mut from: AsyncStream,
    mut to: WriteHalf<DuplexStream>,
    idle: Duration,
    end: std::sync::Arc<End>,
) {
    loop {
        while let Some(chunk) = whole_chunk(&come) {
            let length = chunk.len();
            if to.write_all(chunk).await.is_err() {
                return;
            }
            come.advance(LENGTH_LEN + length);
        }
        come.reserve(LENGTH_LEN + CHUNK_LEN_MAX);
        let why = match env.timeout(idle, from.read_buf(&mut come)).await {
            Some(Ok(read)) if read > 0 => continue,
            Some(Ok(_)) => OpenError::Closed,
            Some(Err(_)) => OpenError::Unreachable,
            None => OpenError::Timeout,
        };
        end.set(why);
        return;
    }
}

fn whole_chunk(come: &[u8]) -> Option<&[u8]> {
    let (length, rest) = come.split_first_chunk::<LENGTH_LEN>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}
