//! The disk seam: blocking file operations, and the threads that they run on.
//!
//! A job is a closure over [`FileSystem`], so that what belongs together (write, sync, rename) crosses
//! to a disk thread once. In a simulation the closure runs at once on a simulated file system and its
//! result arrives after the time that its operations took.

use std::fmt;
use std::io;
use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Which jobs wait for which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskLane {
    /// A peer or a person waits for it.
    Foreground,
    /// Rechecks, moves, deletions: never delays the foreground by more than one job a thread.
    Background,
}

/// A job for a disk thread.
pub type DiskJob = Box<dyn FnOnce(&dyn FileSystem) + Send>;

/// Disk threads.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Runs `job` on one of the threads; jobs may pass each other.
    fn submit(&self, lane: DiskLane, job: DiskJob);
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, to read.
    Read,
    /// To read and write; made, with its directories, if it is not there.
    ReadWrite,
    /// To write from its beginning; made or emptied.
    Truncate,
}

/// What is known of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Length in bytes.
    pub len: u64,
    /// When its content last changed, in nanoseconds since 1970-01-01 UTC.
    pub modified_ns: i64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// A file system. All calls block.
pub trait FileSystem: Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// As the operating system tells them, here and below.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Facts of a file or directory; symbolic links are followed.
    ///
    /// # Errors
    ///
    /// `NotFound` and others.
    fn facts(&self, path: &Path) -> io::Result<FileFacts>;
    /// Makes a directory and those above it.
    ///
    /// # Errors
    ///
    /// A file stands in the way, no room, no permission.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Renames within a file system, replacing what is there.
    ///
    /// # Errors
    ///
    /// `CrossesDevices` and others.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file or symbolic link.
    ///
    /// # Errors
    ///
    /// `NotFound` and others.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// `DirectoryNotEmpty`, `NotFound` and others.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, sorted.
    ///
    /// # Errors
    ///
    /// `NotFound` and others.
    fn list(&self, path: &Path) -> io::Result<Vec<std::ffi::OsString>>;
    /// Makes renames and new names in this directory durable.
    ///
    /// # Errors
    ///
    /// `EIO` and others.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes a symbolic link at `link` that holds `target` as it is.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` and others.
    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()>;
    /// Bytes that an unprivileged user may still write below `path`.
    ///
    /// # Errors
    ///
    /// `NotFound` and others.
    fn free_space(&self, path: &Path) -> io::Result<u64>;
}

/// An open file. All calls block; offsets and lengths are in bytes.
pub trait File: Send + Sync + fmt::Debug {
    /// Reads into the buffers in turn, once; fewer bytes than asked for is the end or a short read.
    ///
    /// # Errors
    ///
    /// As the operating system tells them, here and below.
    fn read_vectored_at(&self, bufs: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize>;
    /// Writes from the buffers in turn, once.
    ///
    /// # Errors
    ///
    /// `StorageFull`, `EIO` and others.
    fn write_vectored_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;
    /// Cuts or extends (sparse) to `len`.
    ///
    /// # Errors
    ///
    /// `FileTooLarge` and others.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Takes room on the disk for `len` bytes from the beginning.
    ///
    /// # Errors
    ///
    /// `StorageFull`, `Unsupported`.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Lets everyone who may read it run it; nothing on a file system without such a mark.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` and others.
    fn set_executable(&self) -> io::Result<()> {
        Ok(())
    }
    /// Makes content and length durable.
    ///
    /// # Errors
    ///
    /// `EIO` and others.
    fn sync(&self) -> io::Result<()>;
    /// Facts of the open file.
    ///
    /// # Errors
    ///
    /// `EIO` and others.
    fn facts(&self) -> io::Result<FileFacts>;
    /// The next range at or after `from` that may hold data, holes left out; `None` at the end.
    ///
    /// # Errors
    ///
    /// `EIO` and others.
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>>;
}

impl dyn File {
    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the file is shorter.
    pub fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_vectored_at(&mut [IoSliceMut::new(buf)], offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    buf = buf.get_mut(read..).unwrap_or_default();
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of the buffers from `offset`, with as few calls as the system allows.
    ///
    /// # Errors
    ///
    /// As [`File::write_vectored_at`]; some bytes may have been written.
    pub fn write_all_at(&self, mut bufs: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        /// `IOV_MAX` on Linux.
        const BUFS_MAX: usize = 1024;
        IoSlice::advance_slices(&mut bufs, 0);
        while !bufs.is_empty() {
            let now = bufs.get(..BUFS_MAX).unwrap_or(bufs);
            match self.write_vectored_at(now, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut bufs, written);
                    offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
