//! A choice of a torrent's files by their numbers.

use std::ops::RangeInclusive;
use std::str::FromStr;

use control::FilePriority;

/// Ranges of a choice at most.
const RANGES_MAX: usize = 10_000;

/// Numbers of files from 0, as in `0,2,5-7` (as in the `so` of magnet links, BEP 53).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileSelection {
    /// At least one.
    ranges: Vec<RangeInclusive<u32>>,
}

/// The text names no files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectionError {
    /// A part is neither a number nor a range.
    #[error("{0:?} is neither a number nor a range such as 5-7")]
    NoRange(String),
    /// A range ends before it begins.
    #[error("{0}-{1} ends before it begins")]
    Backwards(u32, u32),
    /// There are too many parts.
    #[error("more than {RANGES_MAX} numbers and ranges")]
    TooMany,
    /// A number is beyond the torrent's last file.
    #[error("there is no file {number}: the last of the torrent is {last}")]
    Beyond {
        /// The number that was given.
        number: u32,
        /// The number of the last file.
        last: usize,
    },
}

impl FromStr for FileSelection {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Self, SelectionError> {
        let mut ranges = Vec::new();
        for part in text.split(',').map(str::trim) {
            let wrong = || SelectionError::NoRange(part.chars().take(40).collect());
            let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return Err(SelectionError::Backwards(first, last));
            }
            if ranges.len() == RANGES_MAX {
                return Err(SelectionError::TooMany);
            }
            ranges.push(first..=last);
        }
        Ok(Self { ranges })
    }
}

impl FileSelection {
    /// The priorities of a torrent's files: normal for those chosen, else not wanted.
    ///
    /// # Errors
    ///
    /// A number is beyond the last file.
    pub(crate) fn priorities(&self, files: usize) -> Result<Vec<FilePriority>, SelectionError> {
        let mut priorities = vec![FilePriority::SKIP; files];
        for range in &self.ranges {
            let (first, last) = (*range.start() as usize, *range.end() as usize);
            match priorities.get_mut(first..=last) {
                Some(chosen) => chosen.fill(FilePriority::NORMAL),
                None => {
                    let last = files.saturating_sub(1);
                    return Err(SelectionError::Beyond { number: *range.end(), last });
                }
            }
        }
        Ok(priorities)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, files: usize, expected: Result<&str, &str>) {
        let chosen = text.parse::<FileSelection>().and_then(|choice| choice.priorities(files));
        let shown = chosen.map_err(|error| error.to_string()).map(|priorities| {
            let mark = |p: FilePriority| if p == FilePriority::SKIP { '.' } else { 'x' };
            priorities.into_iter().map(mark).collect::<String>()
        });
        match expected {
            Ok(expected) => assert_eq!(shown.as_deref(), Ok(expected), "{text}"),
            Err(part) => assert!(shown.as_ref().is_err_and(|e| e.contains(part)), "{shown:?}"),
        }
    }

    #[test]
    fn numbers_and_ranges() {
        check("0", 3, Ok("x.."));
        check("2, 0-1", 4, Ok("xxx."));
        check("3", 3, Err("no file 3: the last of the torrent is 2"));
        check("0-4294967295", 3, Err("no file 4294967295"));
        check("2-1", 3, Err("2-1 ends before"));
        check("", 3, Err("neither a number"));
        check("1,,2", 3, Err("neither a number"));
        check("-1", 3, Err("neither a number"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9,\\- ]{0,40}", files in 0_usize..100) {
            if let Ok(choice) = text.parse::<FileSelection>() {
                let _ = choice.priorities(files);
            }
        }
    }
}
