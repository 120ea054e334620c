//! Paths from outside, made safe or refused.

use super::error::Error;

/// The longest part of a path, in bytes (most file systems').
const PART_LEN_MAX: usize = 255;
/// Directories within each other; as in libtorrent.
const DEPTH_MAX: usize = 100;

fn refuse(path: &[&[u8]], why: &'static str) -> Error {
    let shown = path.iter().take(16).map(|part| part.escape_ascii().to_string());
    let mut path = shown.collect::<Vec<_>>().join("/");
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

/// Refuses two files at one place, and a file where another needs a directory.
///
/// In the order of their parts, what stands below a path follows it at once: so neighbours tell, and no
/// directory is kept, of which a hostile file could name a hundred for each of its files.
pub(super) fn check_places<'a>(paths: impl Iterator<Item = &'a [String]>) -> Result<(), Error> {
    let mut paths: Vec<&[String]> = paths.collect();
    paths.sort_unstable();
    for (path, next) in paths.iter().zip(paths.iter().skip(1)) {
        if next.starts_with(path) {
            let parts: Vec<&[u8]> = next.iter().map(|part| part.as_bytes()).collect();
            let same = path.len() == next.len();
            let below = "a file stands where its directory should be";
            return Err(refuse(&parts, if same { "two files have this path" } else { below }));
        }
    }
    Ok(())
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
        let check = |paths: &[&str], expected: Option<&str>| {
            let split = |text: &&str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
            let paths: Vec<Vec<String>> = paths.iter().map(split).collect();
            let why = check_places(paths.iter().map(Vec::as_slice)).err().map(|e| e.to_string());
            let fits = match (&why, expected) {
                (None, None) => true,
                (Some(why), Some(expected)) => why.contains(expected),
                _ => false,
            };
            assert!(fits, "{paths:?}: {why:?} instead of {expected:?}");
        };
        check(&[], None);
        check(&["a/b", "a/c", "a b", "a.b/c", "b"], None);
        check(&["a/b", "a/c", "a/b"], Some("two files"));
        check(&["a/c/d", "a/b", "a/c"], Some("directory should be"));
        check(&["a", "a b", "a.b/c", "a/b/c/d"], Some("directory should be"));
    }
}
