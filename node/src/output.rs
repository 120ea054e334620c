//! Standard output and input, and files that come from outside.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use bittorrent::metainfo::METAINFO_MAX;
use bytes::Bytes;
use serde::Serialize;

use crate::failure::Failure;

/// Writes a command's result. A reader that has gone (`| head`) is no failure.
///
/// # Errors
///
/// Standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_if_read(text).map(drop)
}

/// As [`print()`], and says whether somebody still reads.
///
/// # Errors
///
/// Standard output cannot be written.
pub(crate) fn print_if_read(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            Err(Failure::failed(format_args!("cannot write to standard output: {error}")))
        }
    }
}

/// Writes a command's result as JSON.
///
/// # Errors
///
/// Standard output cannot be written.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::failed)?;
    print(&format!("{text}\n"))
}

/// Text from outside for a terminal: what could move the cursor or change colours is replaced.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The whole of a file, if it is not longer than a `.torrent` file may be.
///
/// # Errors
///
/// It cannot be read, or is longer.
pub(crate) fn read_file(path: &Path) -> Result<Bytes, Failure> {
    let file = File::open(path).map_err(|error| Failure::file(path, "open", &error))?;
    match read_limited(file).map_err(|error| Failure::file(path, "read", &error))? {
        Some(bytes) => Ok(bytes),
        None => Err(Failure::failed(format_args!(
            "{}: longer than {METAINFO_MAX} bytes, more are not read",
            path.display()
        ))),
    }
}

/// The whole of `source`, or `None` if it is longer than a `.torrent` file may be.
///
/// # Errors
///
/// It cannot be read.
pub(crate) fn read_limited(source: impl Read) -> io::Result<Option<Bytes>> {
    let mut bytes = Vec::new();
    source.take(METAINFO_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= METAINFO_MAX).then(|| bytes.into()))
}
