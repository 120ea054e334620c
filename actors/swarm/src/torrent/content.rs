//! Reading a file's content while it is being downloaded.

use std::ops::Range;
use std::sync::Arc;

use bittorrent::PieceIndex;
use bytes::Bytes;
use control::{Content, EngineError, ErrorCode};
use futures_util::stream;
use ractor::ActorRef;
use tokio::sync::oneshot;

use super::{Meta, Torrent};
use crate::disk::TorrentFiles;
use crate::have::SharedHave;
use crate::member::MemberMsg;

/// Bytes that are read and handed on at once.
const READ_LEN: u64 = 256 * 1024;
/// Pieces ahead of the one that is read which are fetched too.
const AHEAD: u32 = 8;

/// Where a reader is.
struct Reader {
    member: ActorRef<MemberMsg>,
    files: Arc<TorrentFiles>,
    have: Arc<SharedHave>,
    piece_length: u64,
    at: u64,
    end: u64,
    failed: bool,
}

impl Torrent {
    /// Opens part of a file.
    pub(super) fn on_content(
        &mut self,
        file: u32,
        range: Option<Range<u64>>,
        reply: oneshot::Sender<Result<Content, EngineError>>,
    ) {
        let place = self.place(file, range);
        let (Some(member), Ok((offset, content))) = (self.member.clone(), &place) else {
            let error = place.map_or_else(|error| error, |_| self.not_now());
            let _ = reply.send(Err(error));
            return;
        };
        let (ask, view) = oneshot::channel();
        if member.cast(MemberMsg::View(ask)).is_err() {
            let _ = reply.send(Err(self.not_now()));
            return;
        }
        let (range, file_length, name) = content.clone();
        let (offset, not_now) = (*offset, self.not_now());
        let piece_length = match &self.meta {
            Meta::Metainfo(metainfo) => u64::from(metainfo.info.piece_length()),
            Meta::Magnet(_) => 1,
        };
        self.answers.retain(|task| !task.is_finished());
        self.answers.push(self.env.spawn("content", async move {
            let content = view.await.ok().and_then(|view| view.content);
            let answer = content.ok_or(not_now).map(|(files, have)| {
                let at = offset + range.start;
                let end = offset + range.end;
                let reader = Reader { member, files, have, piece_length, at, end, failed: false };
                let bytes = Box::pin(stream::unfold(reader, Reader::next));
                Content { range, file_length, name, bytes }
            });
            let _ = reply.send(answer);
        }));
    }

    /// Where the file begins among the pieces, and what of it is read.
    #[expect(clippy::type_complexity, reason = "taken apart at once by the only caller")]
    fn place(
        &self,
        file: u32,
        range: Option<Range<u64>>,
    ) -> Result<(u64, (Range<u64>, u64, String)), EngineError> {
        let id = self.record.id;
        let Meta::Metainfo(metainfo) = &self.meta else {
            let why = format!("the files of torrent {id} are not known yet");
            return Err(EngineError::new(ErrorCode::Conflict, why));
        };
        let found = metainfo.info.files().get(file as usize).filter(|file| !file.is_pad());
        let Some(found) = found else {
            let why = format!("torrent {id} has no file {file}");
            return Err(EngineError::new(ErrorCode::NotFound, why));
        };
        let length = found.length();
        let range = range.unwrap_or(0..length);
        let range = range.start..range.end.min(length);
        if range.start >= length && length > 0 || range.start > range.end {
            let why = format!("file {file} of torrent {id} has {length} bytes");
            return Err(EngineError::new(ErrorCode::RangeNotSatisfiable, why));
        }
        let name = found.path().last().cloned().unwrap_or_default();
        Ok((found.offset(), (range, length, name)))
    }
}

impl Reader {
    /// The next bytes, as soon as they are verified.
    async fn next(mut self) -> Option<(Result<Bytes, EngineError>, Self)> {
        if self.at >= self.end || self.failed {
            return None;
        }
        let bytes = self.read().await;
        self.failed = bytes.is_err();
        Some((bytes, self))
    }

    async fn read(&mut self) -> Result<Bytes, EngineError> {
        let stopped = || EngineError::new(ErrorCode::Conflict, "the torrent was stopped");
        let number = self.at / self.piece_length;
        let piece = PieceIndex(u32::try_from(number).map_err(|_| stopped())?);
        if !self.have.has(piece) {
            let (reply, there) = oneshot::channel();
            let need = MemberMsg::Need { piece, ahead: AHEAD, reply };
            self.member.cast(need).map_err(|_| stopped())?;
            there.await.map_err(|_| stopped())?;
        }
        let begin = self.at - number * self.piece_length;
        let length = READ_LEN.min(self.end - self.at).min(self.piece_length - begin);
        let (from, count) = (u32::try_from(begin), u32::try_from(length));
        let (Ok(from), Ok(count)) = (from, count) else { return Err(stopped()) };
        let bytes = self.files.read(piece, from, count).await;
        let bytes =
            bytes.map_err(|error| EngineError::new(ErrorCode::Storage, error.to_string()))?;
        self.at += length;
        Ok(bytes)
    }
}
