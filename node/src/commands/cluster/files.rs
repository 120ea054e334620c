//! Writes files that were not there, and keys so that their owner alone reads them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The longest file of a certificate or key, in bytes.
const FILE_LEN_MAX: u64 = 64 * 1024;

/// A file that is to be written. It may hold a key, so it has no `Debug`.
pub(super) struct NewFile {
    path: PathBuf,
    mode: u32,
    text: String,
}

impl NewFile {
    /// For its owner alone.
    pub(super) fn secret(path: PathBuf, text: String) -> Self {
        Self { path, mode: 0o600, text }
    }

    /// For everybody to read.
    pub(super) fn public(path: PathBuf, text: String) -> Self {
        Self { path, mode: 0o644, text }
    }

    fn write(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(self.mode).open(&self.path)?;
        let written = file.write_all(self.text.as_bytes()).and_then(|()| file.sync_all());
        if written.is_err() {
            // Half a file is none; the first error is the one to tell.
            let _ = fs::remove_file(&self.path);
        }
        written
    }
}

/// Makes a directory for its owner alone, if it is not there.
///
/// # Errors
///
/// It cannot be made.
pub(super) fn make_dir(path: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Failure::file(path, "make this directory", &error))
}

/// Writes all of them, or none.
///
/// # Errors
///
/// One of them is there already, or cannot be written.
pub(super) fn write_all(files: &[NewFile]) -> Result<(), Failure> {
    if let Some(file) = files.iter().find(|file| file.path.symlink_metadata().is_ok()) {
        return Err(Failure::failed(format_args!(
            "{}: is there already and is not overwritten",
            file.path.display()
        )));
    }
    for (nth, file) in files.iter().enumerate() {
        if let Err(error) = file.write() {
            for written in files.iter().take(nth) {
                let _ = fs::remove_file(&written.path);
            }
            return Err(Failure::file(&file.path, "write", &error));
        }
    }
    Ok(())
}

/// The text of a file.
///
/// # Errors
///
/// It cannot be read, is no text, or is longer than any of ours.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let cannot = |error: io::Error| Failure::file(path, "read", &error);
    let mut text = String::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(FILE_LEN_MAX).read_to_string(&mut text).map_err(cannot)?;
    Ok(text)
}
