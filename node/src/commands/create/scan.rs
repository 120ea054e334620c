//! The files that a torrent is made of, as they are on this machine.
//!
//! Regular files are taken, hidden ones too, in the order of their paths' bytes. A link to a file
//! counts as the file. A link to a directory (it could lead in a circle), a device, a socket or a pipe is
//! refused, and so is a name that a torrent cannot carry to every system. Directories without files
//! are left out, since a torrent has no place for them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure};
use crate::hashing::Stamp;

/// Files of a torrent at most, as when it is read.
const FILES_MAX: usize = 500_000;
/// Directories within each other at most, as when a torrent is read.
const DEPTH_MAX: usize = 100;

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The torrent's name: that of the file or directory.
    pub(super) name: String,
    /// In the torrent's order.
    pub(super) files: Vec<FoundFile>,
}

/// A file that was found.
#[derive(Debug)]
pub(super) struct FoundFile {
    /// Parts of its path below the directory; none of a file alone.
    pub(super) parts: Vec<String>,
    /// Where it is.
    pub(super) path: PathBuf,
    /// How it was.
    pub(super) stamp: Stamp,
}

/// Finds the files at and below `path`.
///
/// # Errors
///
/// There is nothing, too much, or something that is refused.
pub(super) fn scan(path: &Path) -> Result<Found, Failure> {
    // Of `.` or `dir/..`, the name is that of the directory itself.
    let whole = fs::canonicalize(path).map_err(|error| Failure::file(path, "open", &error))?;
    let named = if path.file_name().is_some() { path } else { &whole };
    let name = named
        .file_name()
        .ok_or_else(|| refuse(path, "it has no name that the torrent could have"))?;
    let name = checked(path, name)?;
    let metadata = fs::metadata(&whole).map_err(|error| Failure::file(path, "open", &error))?;
    let files = if metadata.is_dir() {
        walk(path)?
    } else if metadata.is_file() {
        let stamp = Stamp::from(&metadata);
        vec![FoundFile { parts: Vec::new(), path: path.to_owned(), stamp }]
    } else {
        return Err(refuse(path, "neither a file nor a directory"));
    };
    if files.iter().all(|file| file.stamp.length == 0) {
        return Err(refuse(path, "there is not one byte in it"));
    }
    Ok(Found { name, files })
}

fn refuse(path: &Path, why: &str) -> Failure {
    Failure::failed(format_args!("{}: {why}", path.display()))
}

/// All files below a directory.
fn walk(root: &Path) -> Result<Vec<FoundFile>, Failure> {
    // By path, which sorts them.
    let mut found = BTreeMap::new();
    let mut waiting = vec![(root.to_owned(), Vec::new())];
    while let Some((directory, parts)) = waiting.pop() {
        if parts.len() > DEPTH_MAX {
            return Err(refuse(&directory, "more than 100 directories within each other"));
        }
        let failed = |error| Failure::file(&directory, "read", &error);
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let mut parts: Vec<String> = parts.clone();
            parts.push(checked(&path, &entry.file_name())?);
            if entry.file_type().map_err(failed)?.is_dir() {
                waiting.push((path, parts));
            } else {
                let stamp = stamp_of_file(&path)?;
                found.insert(parts, (path, stamp));
            }
            if found.len() > FILES_MAX {
                return Err(refuse(root, "more than 500000 files"));
            }
        }
    }
    let files = found.into_iter();
    Ok(files.map(|(parts, (path, stamp))| FoundFile { parts, path, stamp }).collect())
}

fn stamp_of_file(path: &Path) -> Result<Stamp, Failure> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::new(Exit::NotFound, format_args!("{}: leads nowhere", path.display()))
        }
        _ => Failure::file(path, "open", &error),
    })?;
    if metadata.is_dir() {
        return Err(refuse(path, "a link to a directory, which is not followed"));
    }
    if !metadata.is_file() {
        return Err(refuse(path, "a device, socket or pipe, which a torrent cannot hold"));
    }
    Ok(Stamp::from(&metadata))
}

/// A name, if it means the same on all systems and is not changed by those who read the torrent.
fn checked(path: &Path, name: &OsStr) -> Result<String, Failure> {
    let name = name.to_str().ok_or_else(|| refuse(path, "its name is not UTF-8"))?;
    if name.chars().any(|c| c.is_control() || c == '\\') {
        return Err(refuse(path, "its name has a control character or backslash"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn paths(root: &Path) -> Vec<String> {
        scan(root).unwrap().files.iter().map(|file| file.parts.join("/")).collect()
    }

    #[test]
    fn finds_files_in_the_order_of_their_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("r");
        for file in ["b/x", "b!", "a", ".hidden", "b/a/deep"] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        fs::create_dir(root.join("empty")).unwrap();
        symlink("a", root.join("link")).unwrap();
        assert_eq!(paths(&root), [".hidden", "a", "b/a/deep", "b/x", "b!", "link"]);
        let found = scan(&root.join("b/..")).unwrap();
        assert_eq!((found.name.as_str(), found.files.len()), ("r", 6));
        let found = scan(&root.join("a")).unwrap();
        assert_eq!((found.name.as_str(), found.files[0].parts.len()), ("a", 0));
    }

    #[test]
    fn refuses_what_a_torrent_cannot_hold() {
        let directory = tempfile::tempdir().unwrap();
        let refused = |root: &Path| scan(root).unwrap_err().to_string();
        assert!(refused(directory.path()).contains("not one byte"));
        assert_eq!(scan(Path::new("/nowhere/at all")).unwrap_err().exit, Exit::NotFound);
        assert!(refused(Path::new("/")).contains("no name"));
        assert!(refused(Path::new("/dev/null")).contains("neither a file"));
        for (target, part) in [("..", "link to a directory"), ("/dev/null", "a device")] {
            let root = directory.path().join(part);
            fs::create_dir(&root).unwrap();
            symlink(target, root.join("l")).unwrap();
            assert!(refused(&root).contains(part), "{}", refused(&root));
        }
        let root = directory.path().join("names");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a\nb"), "x").unwrap();
        assert!(refused(&root).contains("control character"));
    }
}
