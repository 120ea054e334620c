//! `torrentedge inspect`: what is in a `.torrent` file.

use std::fmt::Write;

use bittorrent::metainfo::Metainfo;
use bytes::Bytes;
use indicatif::HumanBytes;
use serde::Serialize;

use crate::cli::InspectFlags;
use crate::failure::Failure;
use crate::output::{self, printable};

/// Prints what is in a `.torrent` file.
///
/// # Errors
///
/// It cannot be read, or is no torrent.
pub(crate) fn run(flags: &InspectFlags) -> Result<(), Failure> {
    let bytes = output::read_file(&flags.file)?;
    let report = Report::of(&bytes)
        .map_err(|error| Failure::failed(format_args!("{}: {error}", flags.file.display())))?;
    if flags.json { output::print_json(&report) } else { output::print(&report.text()) }
}

/// What is told of a torrent. Its form in JSON does not change.
#[derive(Debug, Serialize)]
struct Report {
    v1: Option<String>,
    v2: Option<String>,
    name: String,
    piece_length: u32,
    /// Bytes of all files below, pads included.
    total_length: u64,
    files: Vec<FileReport>,
    private: bool,
    /// By tier.
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    comment: Option<String>,
    created_by: Option<String>,
    #[serde(skip)]
    piece_count: u32,
}

#[derive(Debug, Serialize)]
struct FileReport {
    /// With the torrent's name first.
    path: String,
    length: u64,
    pad: bool,
}

impl Report {
    fn of(bytes: &Bytes) -> Result<Self, bittorrent::metainfo::Error> {
        let metainfo = Metainfo::parse(bytes)?;
        let info = &metainfo.info;
        let files: Vec<FileReport> = info
            .files()
            .iter()
            .map(|file| FileReport {
                path: file.path().join("/"),
                length: file.length(),
                pad: file.is_pad(),
            })
            .collect();
        Ok(Self {
            v1: info.v1().map(|hash| hash.to_string()),
            v2: info.v2().map(|hash| hash.to_string()),
            name: info.name().to_owned(),
            piece_length: info.piece_length(),
            total_length: files.iter().map(|file| file.length).sum(),
            files,
            private: info.is_private(),
            piece_count: info.piece_count(),
            trackers: metainfo.trackers,
            web_seeds: metainfo.web_seeds,
            comment: metainfo.comment,
            created_by: metainfo.created_by,
        })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<14}{}", printable(value));
        };
        line("name", &self.name);
        self.v1.iter().for_each(|hash| line("info-hash v1", hash));
        self.v2.iter().for_each(|hash| line("info-hash v2", hash));
        let (total, piece) = (HumanBytes(self.total_length), HumanBytes(self.piece_length.into()));
        line("length", &format!("{total} ({} bytes)", self.total_length));
        line("pieces", &format!("{} of {piece}", self.piece_count));
        line("private", if self.private { "yes" } else { "no" });
        self.comment.iter().for_each(|comment| line("comment", comment));
        self.created_by.iter().for_each(|program| line("created by", program));
        for (tier, urls) in self.trackers.iter().enumerate() {
            urls.iter().for_each(|url| line(&format!("tracker {tier}"), url));
        }
        self.web_seeds.iter().for_each(|url| line("web seed", url));
        let real = self.files.iter().enumerate().filter(|(_, file)| !file.pad);
        for (number, file) in real {
            let length = HumanBytes(file.length).to_string();
            line(&format!("file {number}"), &format!("{length:>12}  {}", file.path));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TORRENT: &str = "d8:announce8:http://a7:comment3:hi\u{7}10:created by1:x4:infod5:filesl\
        d6:lengthi3e4:pathl1:aeed4:attr1:p6:lengthi1e4:pathl4:.pad1:1eee4:name1:n12:piece lengthi4e\
        6:pieces20:00000000000000000000ee";

    #[test]
    fn json_has_the_agreed_keys() {
        let report = Report::of(&TORRENT.into()).unwrap();
        let json = serde_json::to_value(&report).unwrap();
        let expected = serde_json::json!({
            "v1": report.v1, "v2": null, "name": "n", "piece_length": 4, "total_length": 4,
            "files": [
                {"path": "n/a", "length": 3, "pad": false},
                {"path": "n/.pad/1", "length": 1, "pad": true},
            ],
            "private": false, "trackers": [["http://a"]], "web_seeds": [], "comment": "hi\u{7}",
            "created_by": "x",
        });
        assert_eq!(json, expected);
        assert_eq!(report.v1.unwrap().len(), 40);
    }

    #[test]
    fn text_leaves_out_pads_and_control_characters() {
        let text = Report::of(&TORRENT.into()).unwrap().text();
        assert!(text.contains("comment       hi\u{fffd}\n"), "{text}");
        assert!(text.ends_with("file 0                 3 B  n/a\n"), "{text}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Report::of(&bytes.into());
        }

        #[test]
        fn no_broken_torrent_panics(at in 0..TORRENT.len(), byte in any::<u8>()) {
            let mut bytes = TORRENT.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = Report::of(&bytes.into()).map(|report| report.text());
        }
    }
}
