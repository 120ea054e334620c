//! Making a torrent's files ready: directories, empty files, symbolic links, room.

use std::io;
use std::path::{Path, PathBuf};

use bittorrent::metainfo::File as TorrentFile;
use env::disk::FileSystem;

use super::error::StorageError;
use super::handles::Access;
use super::layout::Layout;

/// Makes ready the files for which `wanted` says so.
pub(super) fn prepare(
    layout: &Layout,
    files: &dyn FileSystem,
    wanted: &[bool],
    preallocate: bool,
) -> Result<(), StorageError> {
    make_directory(files, &layout.root)?;
    let all = layout.info.files().iter().enumerate();
    let wanted = all
        .filter(|(index, file)| !file.is_pad() && wanted.get(*index).copied().unwrap_or_default());
    let wanted: Vec<_> = wanted.collect();
    if preallocate {
        check_room(layout, files, &wanted)?;
    }
    let mut made = PathBuf::new();
    for (index, file) in wanted {
        let path = layout.path(file);
        if let Some(directory) = path.parent().filter(|directory| *directory != made) {
            make_directory(files, directory)?;
            made = directory.to_owned();
        }
        if let Some(target) = file.symlink() {
            link(files, file, target, &path)?;
        } else if file.length() == 0 {
            layout.touch(index);
            layout.open(files, index, Access::Write)?;
        } else if preallocate {
            layout.touch(index);
            allocate(layout, files, index, file.length())?;
        }
    }
    Ok(())
}

fn make_directory(files: &dyn FileSystem, path: &Path) -> Result<(), StorageError> {
    files.create_dir_all(path).map_err(|error| StorageError::new(path, &error))
}

/// Finds a full disk before the first byte is taken. Room that sparse files do not have yet is found by
/// [`allocate`].
fn check_room(
    layout: &Layout,
    files: &dyn FileSystem,
    wanted: &[(usize, &TorrentFile)],
) -> Result<(), StorageError> {
    let path = &layout.root;
    let room = files.free_space(path).map_err(|error| StorageError::new(path, &error))?;
    let mut needed = 0_u64;
    for (_, file) in wanted {
        let there = files.facts(&layout.path(file)).map_or(0, |facts| facts.len);
        needed = needed.saturating_add(file.length().saturating_sub(there));
    }
    if needed > room { Err(StorageError::Full { path: path.clone() }) } else { Ok(()) }
}

fn allocate(
    layout: &Layout,
    files: &dyn FileSystem,
    index: usize,
    length: u64,
) -> Result<(), StorageError> {
    let file = layout.open(files, index, Access::Write)?;
    match file.allocate(length) {
        Ok(()) => Ok(()),
        // Some file systems cannot; the file then grows as its pieces arrive.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(error) => Err(StorageError::new(&layout.path_at(index), &error)),
    }
}

/// Makes a link that leads to `target`, which counts from the torrent's directory, wherever that is moved.
fn link(
    files: &dyn FileSystem,
    file: &TorrentFile,
    target: &[String],
    path: &Path,
) -> Result<(), StorageError> {
    // The metainfo holds no `..`, so what leads up goes to the torrent's directory and no further.
    let Some(depth) = file.path().len().checked_sub(2) else { return Ok(()) };
    let mut to: PathBuf = std::iter::repeat_n("..", depth).collect();
    to.extend(target);
    match files.symlink(&to, path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StorageError::new(path, &error)),
    }
}
