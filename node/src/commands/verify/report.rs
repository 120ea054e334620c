//! What `verify` tells of a torrent's pieces and files.

use std::collections::BTreeMap;
use std::fmt::Write;

use bittorrent::metainfo::Files;
use serde::Serialize;

use crate::hashing::{Layout, Why};
use crate::output::printable;

/// What was found. Its form in JSON does not change.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether nothing is missing.
    pub(super) complete: bool,
    pub(super) pieces: usize,
    pub(super) pieces_have: usize,
    /// Missing or wrong pieces as ranges of numbers, first and last.
    missing: Vec<(usize, usize)>,
    /// Without pads.
    files: Vec<FileReport>,
}

#[derive(Debug, Serialize)]
struct FileReport {
    path: String,
    length: u64,
    state: State,
    pieces: usize,
    pieces_have: usize,
    /// What the system said, if it did not let us read.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// How a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// All its pieces are right.
    Complete,
    /// Some of its pieces are missing or wrong.
    Incomplete,
    /// There is no such file.
    Missing,
    /// It is shorter than it should be.
    Short,
    /// The system does not let us read it.
    Unreadable,
    /// A symbolic link (BEP 47), which has no bytes of its own.
    Link,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Missing => "missing",
            Self::Short => "short",
            Self::Unreadable => "unreadable",
            Self::Link => "link",
        }
    }
}

impl Report {
    /// Sums up which pieces are right, and which files could not be read and why.
    pub(super) fn new(
        files: &Files,
        layout: &Layout,
        have: &[bool],
        failures: &BTreeMap<usize, Why>,
    ) -> Self {
        let mut reports = Vec::new();
        for (number, file) in files.iter().enumerate().filter(|(_, file)| !file.is_pad()) {
            let pieces = layout.pieces_of(number);
            let pieces = have.get(place(pieces.start)..place(pieces.end)).unwrap_or_default();
            let pieces_have = count(pieces);
            let (state, reason) = match failures.get(&number) {
                _ if file.symlink().is_some() => (State::Link, None),
                Some(Why::Missing) => (State::Missing, None),
                Some(Why::TooShort) => (State::Short, None),
                Some(why @ Why::Failed(_)) => (State::Unreadable, Some(why.to_string())),
                None if pieces_have < pieces.len() => (State::Incomplete, None),
                None => (State::Complete, None),
            };
            let (path, length) = (file.path().join("/"), file.length());
            let pieces = pieces.len();
            reports.push(FileReport { path, length, state, pieces, pieces_have, reason });
        }
        let pieces_have = count(have);
        let is_there = |file: &FileReport| matches!(file.state, State::Complete | State::Link);
        Self {
            complete: pieces_have == have.len() && reports.iter().all(is_there),
            pieces: have.len(),
            pieces_have,
            missing: missing(have),
            files: reports,
        }
    }

    /// In one sentence, what is missing.
    pub(super) fn sentence(&self) -> String {
        let pieces = self.pieces - self.pieces_have;
        let is_there = |file: &&FileReport| !matches!(file.state, State::Complete | State::Link);
        let files = self.files.iter().filter(is_there).count();
        format!("{pieces} of {} pieces are missing or wrong, in {files} files", self.pieces)
    }

    /// For a person.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for file in &self.files {
            let (have, pieces) = (file.pieces_have, file.pieces);
            let reason = file.reason.as_ref().map(|reason| format!(" ({reason})"));
            let _ = writeln!(
                text,
                "{:<10} {have:>7} of {pieces:<7} {}{}",
                file.state.name(),
                printable(&file.path),
                printable(reason.as_deref().unwrap_or_default()),
            );
        }
        if !self.missing.is_empty() {
            let ranges = self.missing.iter().map(|&(first, last)| match first == last {
                true => first.to_string(),
                false => format!("{first}-{last}"),
            });
            let _ = writeln!(text, "missing pieces: {}", ranges.collect::<Vec<_>>().join(", "));
        }
        let _ = writeln!(text, "{} of {} pieces are right", self.pieces_have, self.pieces);
        text
    }
}

fn place(piece: u64) -> usize {
    usize::try_from(piece).unwrap_or(usize::MAX)
}

fn count(have: &[bool]) -> usize {
    have.iter().filter(|&&has| has).count()
}

/// The pieces that are not there, as ranges: first and last.
fn missing(have: &[bool]) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for (piece, _) in have.iter().enumerate().filter(|(_, has)| !**has) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == piece => *last = piece,
            _ => ranges.push((piece, piece)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_pieces_become_ranges() {
        assert_eq!(missing(&[true, false, false, true, false]), [(1, 2), (4, 4)]);
        assert_eq!(missing(&[true]), []);
    }
}
