//! Paths from outside, made safe or refused.

use std::collections::BTreeMap;

use super::error::Error;

/// The longest part of a path, in bytes (most file systems').
const PART_LEN_MAX: usize = 255;
/// Directories within each other; as in libtorrent.
const DEPTH_MAX: usize = 100;

fn refuse(path: &[&[u8]], why: &'static str) -> Error {
    let mut shown = path.iter().map(|part| part.escape_ascii().to_string()).collect::<Vec<_>>();
    shown.truncate(16);
    let mut path = shown.join("/");
    path.truncate(256);
    Error::Path { path, why }
}

/// A path of safe parts: none is empty, `.`, `..`, too long, or holds a separator or NUL. Empty parts
/// are left out, as other clients do; bytes that are not UTF-8 become replacement characters.
pub(super) fn clean(parts: &[&[u8]]) -> Result<Vec<String>, Error> {
    if parts.len() > DEPTH_MAX {
        return Err(refuse(parts, "more than 100 directories within each other"));
    }
    let mut path = Vec::with_capacity(parts.len());
    for &part in parts.iter().filter(|part| !part.is_empty()) {
        if part == b"." || part == b".." {
            return Err(refuse(parts, "it leads out of the torrent's directory"));
        }
        if part.iter().any(|&byte| byte == 0 || byte == b'/') {
            return Err(refuse(parts, "a part of it holds a separator or NUL"));
        }
        path.push(clean_part(part));
    }
    if path.is_empty() {
        return Err(refuse(parts, "it is empty"));
    }
    Ok(path)
}

/// One name; what would mislead a terminal, or another system that the files are copied to, is replaced.
fn clean_part(part: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(part)
        .chars()
        .map(|c| if c.is_control() || c == '\\' { '_' } else { c })
        .collect();
    if text.len() <= PART_LEN_MAX {
        return text;
    }
    // The extension tells people and programs what it is, so it stays.
    let extension = text.rfind('.').filter(|&at| at > 0 && text.len() - at <= 16);
    let extension = extension.and_then(|at| text.get(at..)).unwrap_or_default().to_owned();
    let end = text.floor_char_boundary(PART_LEN_MAX - extension.len());
    format!("{}{extension}", text.get(..end).unwrap_or_default())
}

/// Says whether two files would stand at one place, or one file where another needs a directory.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: BTreeMap<Vec<String>, IsFile>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IsFile {
    Yes,
    No,
}

impl Places {
    /// Takes the place of a file.
    pub(super) fn take(&mut self, path: &[String]) -> Result<(), Error> {
        let refuse = |why| {
            let parts: Vec<&[u8]> = path.iter().map(|part| part.as_bytes()).collect();
            Err(refuse(&parts, why))
        };
        let above = (1..path.len()).filter_map(|depth| path.get(..depth));
        for directory in above {
            match self.taken.get(directory) {
                Some(IsFile::Yes) => return refuse("a file stands where its directory should be"),
                Some(IsFile::No) => {}
                None => {
                    self.taken.insert(directory.to_vec(), IsFile::No);
                }
            }
        }
        match self.taken.insert(path.to_vec(), IsFile::Yes) {
            None => Ok(()),
            Some(IsFile::Yes) => refuse("two files have this path"),
            Some(IsFile::No) => refuse("a directory and a file have this path"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(parts: &[&str], expected: Result<&[&str], &str>) {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        match (clean(&parts), expected) {
            (Ok(path), Ok(expected)) => assert_eq!(path, expected),
            (Err(Error::Path { why, .. }), Err(expected)) => {
                assert!(why.contains(expected), "{why}")
            }
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn safe_paths_pass_and_others_do_not() {
        check(&["a", "b.txt"], Ok(&["a", "b.txt"]));
        check(&["a", "", "b"], Ok(&["a", "b"]));
        check(&["a", "..", "b"], Err("leads out"));
        check(&["."], Err("leads out"));
        check(&["", ""], Err("empty"));
        check(&["a/../../etc/passwd"], Err("separator"));
        check(&["a\0b"], Err("separator"));
        check(&["C:\\x"], Ok(&["C:_x"]));
        check(&["bell\u{7}"], Ok(&["bell_"]));
        check(&["a"; 101], Err("100 directories"));
    }

    #[test]
    fn long_names_keep_their_extension() {
        let name = format!("{}.mkv", "ä".repeat(200));
        let path = clean(&[name.as_bytes()]).unwrap();
        assert!(path[0].len() <= 255 && path[0].ends_with("ä.mkv"));
    }

    #[test]
    fn clashes_are_found() {
        let path = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        let mut places = Places::default();
        places.take(&path("a/b")).unwrap();
        places.take(&path("a/c")).unwrap();
        places.take(&path("a/b")).unwrap_err();
        places.take(&path("a/c/d")).unwrap_err();
        places.take(&path("a")).unwrap_err();
    }
}
