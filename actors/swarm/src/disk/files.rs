//! The files of one torrent: making them ready, reading them, their states, their end.

use std::path::PathBuf;
use std::sync::Arc;

use bittorrent::metainfo::Info;
use bittorrent::resume::FileState;
use bittorrent::{BlockRef, PieceIndex};
use bytes::{Bytes, BytesMut};
use env::disk::{DiskLane, FileSystem};

use super::DiskPool;
use super::error::StorageError;
use super::layout::Layout;
use super::prepare::prepare;
use super::read::{read_block, read_messages};

/// Bytes that are read by one job at most.
const READ_MAX: u64 = 16 << 20;

/// The files of one torrent, shared by its storage actor and the peer connections that read.
#[derive(Debug)]
pub struct TorrentFiles {
    pool: DiskPool,
    layout: Arc<Layout>,
    preallocate: bool,
}

impl Drop for TorrentFiles {
    fn drop(&mut self) {
        self.layout.close();
    }
}

impl TorrentFiles {
    /// The files of `info` below `download_dir`; nothing is touched yet. With `preallocate`,
    /// [`TorrentFiles::prepare`] takes the room on disk at once.
    #[must_use]
    pub fn new(
        pool: DiskPool,
        info: Arc<Info>,
        download_dir: PathBuf,
        preallocate: bool,
    ) -> Arc<Self> {
        let layout = pool.layout(info, download_dir);
        Arc::new(Self { pool, layout, preallocate })
    }

    /// What the torrent is.
    #[must_use]
    pub fn info(&self) -> &Arc<Info> {
        &self.layout.info
    }

    pub(super) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    pub(super) fn pool(&self) -> &DiskPool {
        &self.pool
    }

    async fn run<T: Send + 'static>(
        &self,
        lane: DiskLane,
        job: impl FnOnce(&Layout, &dyn FileSystem) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let layout = Arc::clone(&self.layout);
        self.pool.env().disk(lane, move |files| job(&layout, files)).await?
    }

    /// Makes the directories, empty files and symbolic links (BEP 47) of the files for which `wanted`, by
    /// their place, says so, and takes their room if that is asked for. Other files are not touched.
    ///
    /// # Errors
    ///
    /// There is no room for all of them, or no permission, and others.
    pub async fn prepare(&self, wanted: &[bool]) -> Result<(), StorageError> {
        let (wanted, preallocate) = (wanted.to_vec(), self.preallocate);
        let job = move |layout: &Layout, files: &dyn FileSystem| {
            prepare(layout, files, &wanted, preallocate)
        };
        self.run(DiskLane::Foreground, job).await
    }

    /// Reads blocks, laid out one after another as piece messages (BEP 3) ready to be sent, by one disk
    /// job with one call for those that lie together.
    ///
    /// `reuse` becomes the answer if it is large enough: hand back the last one as it is, neither cleared
    /// nor advanced, and no memory is taken or set to zero. Its bytes are all written over.
    ///
    /// # Errors
    ///
    /// A block is not in the torrent, or 16 MiB and more are asked for; a file is missing, too short, or
    /// cannot be read.
    pub async fn read_blocks(
        &self,
        blocks: Vec<BlockRef>,
        mut reuse: BytesMut,
    ) -> Result<BytesMut, StorageError> {
        let mut total = 0;
        for &block in &blocks {
            self.layout.check_range(block)?;
            total += u64::from(block.length);
            if total >= READ_MAX {
                return Err(StorageError::OutOfRange(block));
            }
        }
        let job = move |layout: &Layout, files: &dyn FileSystem| {
            read_messages(layout, files, &blocks, &mut reuse)?;
            Ok(reuse)
        };
        self.run(DiskLane::Foreground, job).await
    }

    /// Reads `length` bytes, 16 MiB at most, at `begin` of `piece`.
    ///
    /// # Errors
    ///
    /// As [`TorrentFiles::read_blocks`].
    pub async fn read(
        &self,
        piece: PieceIndex,
        begin: u32,
        length: u32,
    ) -> Result<Bytes, StorageError> {
        let block = BlockRef { piece, begin, length };
        self.layout.check_range(block)?;
        if u64::from(length) > READ_MAX {
            return Err(StorageError::OutOfRange(block));
        }
        let job = move |layout: &Layout, files: &dyn FileSystem| {
            let mut buf = BytesMut::zeroed(length as usize);
            read_block(layout, files, block, &mut buf)?;
            Ok(buf.freeze())
        };
        self.run(DiskLane::Foreground, job).await
    }

    /// Length and time of change of each file, by its place; `None` for pads, links and files that are
    /// not there.
    ///
    /// # Errors
    ///
    /// No permission, and others.
    pub async fn states(&self) -> Result<Vec<Option<FileState>>, StorageError> {
        self.run(DiskLane::Foreground, |layout, files| layout.states(files)).await
    }

    /// Makes durable what was written before the call, with the files' names.
    ///
    /// # Errors
    ///
    /// The disk fails; what was written may then be lost although later calls succeed.
    pub async fn sync(&self) -> Result<(), StorageError> {
        self.run(DiskLane::Foreground, |layout, files| layout.sync(files)).await
    }

    /// Syncs, then tells the states: what resume data may be written of.
    pub(super) async fn sync_and_states(&self) -> Result<Vec<Option<FileState>>, StorageError> {
        let job = |layout: &Layout, files: &dyn FileSystem| {
            layout.sync(files)?;
            layout.states(files)
        };
        self.run(DiskLane::Foreground, job).await
    }

    /// Closes the files; they are opened again when they are needed.
    ///
    /// # Errors
    ///
    /// The node is going down.
    pub async fn close(&self) -> Result<(), StorageError> {
        let job = |layout: &Layout, _: &dyn FileSystem| {
            layout.close();
            Ok(())
        };
        self.run(DiskLane::Foreground, job).await
    }

    /// Removes the torrent's files, then its directories as far as nothing else is in them. From then on
    /// nothing can be read or written.
    ///
    /// # Errors
    ///
    /// A file could not be removed; the others are gone nevertheless.
    pub async fn delete(&self) -> Result<(), StorageError> {
        self.run(DiskLane::Background, |layout, files| layout.delete(files)).await
    }
}
