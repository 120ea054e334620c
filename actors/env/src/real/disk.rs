//! The system's files.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, SeekFrom};

use super::pool::Pool;
use crate::disk::{Disk, DiskJob, DiskLane, File, FileFacts, FileSystem, OpenMode};

/// Disk threads over the system's files.
#[derive(Debug)]
pub(crate) struct SystemDisk {
    pool: Pool<DiskJob>,
}

impl SystemDisk {
    pub(crate) fn start(threads: usize) -> Self {
        Self { pool: Pool::start("disk", threads, |job: DiskJob| job(&SystemFiles)) }
    }
}

impl Disk for SystemDisk {
    fn submit(&self, lane: DiskLane, job: DiskJob) {
        self.pool.submit(lane, job);
    }
}

struct SystemFiles;

#[derive(Debug)]
struct SystemFile(fs::File);

fn facts_of(metadata: &fs::Metadata) -> FileFacts {
    let modified_ns =
        metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
    FileFacts { len: metadata.len(), modified_ns, is_dir: metadata.is_dir() }
}

impl FileSystem for SystemFiles {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        match mode {
            OpenMode::Read => options.read(true),
            OpenMode::ReadWrite => options.read(true).write(true).create(true).truncate(false),
            OpenMode::Truncate => options.read(true).write(true).create(true).truncate(true),
        };
        let opened = options.open(path).or_else(|error| {
            let Some(parent) = path.parent() else { return Err(error) };
            if mode == OpenMode::Read || error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            fs::create_dir_all(parent)?;
            options.open(path)
        })?;
        Ok(Arc::new(SystemFile(opened)))
    }

    fn facts(&self, path: &Path) -> io::Result<FileFacts> {
        fs::metadata(path).map(|metadata| facts_of(&metadata))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let names = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.file_name()));
        let mut names = names.collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(target, link)
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        let facts = rustix::fs::statvfs(path)?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
    }
}

impl File for SystemFile {
    fn read_vectored_at(&self, bufs: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::preadv(&self.0, bufs, offset)?)
    }

    fn write_vectored_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(&self.0, bufs, offset)?)
    }

    fn set_executable(&self) -> io::Result<()> {
        let mut permissions = self.0.metadata()?.permissions();
        let mode = permissions.mode();
        permissions.set_mode(mode | (mode & 0o444) >> 2);
        self.0.set_permissions(permissions)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        Ok(rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len)?)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn facts(&self) -> io::Result<FileFacts> {
        self.0.metadata().map(|metadata| facts_of(&metadata))
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        match rustix::fs::seek(&self.0, SeekFrom::Data(from)) {
            Ok(start) => {
                let end = rustix::fs::seek(&self.0, SeekFrom::Hole(start))?;
                Ok(Some(start..end))
            }
            Err(rustix::io::Errno::NXIO) => Ok(None),
            // A file system that knows no holes: everything may be data.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => {
                let len = self.0.metadata()?.len();
                Ok((from < len).then_some(from..len))
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_reads_and_tells_holes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/file");
        let file = SystemFiles.open(&path, OpenMode::ReadWrite).unwrap();
        let mut bufs = [IoSlice::new(b"hello "), IoSlice::new(b"world")];
        file.write_all_at(&mut bufs, 1 << 20).unwrap();
        let mut back = [0; 11];
        file.read_exact_at(&mut back, 1 << 20).unwrap();
        assert_eq!(&back, b"hello world");
        let data = file.next_data(0).unwrap().unwrap();
        assert!(data.start > 0 && data.end >= (1 << 20) + 11, "{data:?}");
        let error = file.read_exact_at(&mut [0; 12], 1 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(SystemFiles.free_space(dir.path()).unwrap() > 0);
        assert_eq!(SystemFiles.list(&dir.path().join("a/b")).unwrap(), ["file"]);
    }
}
