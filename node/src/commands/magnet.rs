//! `torrentedge magnet`: what is in a magnet link (BEP 9, 53).

use std::fmt::Write;

use bittorrent::magnet::{Error, Magnet};
use indicatif::HumanBytes;
use serde::Serialize;

use crate::cli::MagnetFlags;
use crate::failure::Failure;
use crate::output::{self, printable};

/// Prints what is in a magnet link.
///
/// # Errors
///
/// It is none, or names no torrent.
pub(crate) fn run(flags: &MagnetFlags) -> Result<(), Failure> {
    let report = Report::of(&flags.uri).map_err(Failure::failed)?;
    if flags.json { output::print_json(&report) } else { output::print(&report.text()) }
}

/// What is told of a link. Its form in JSON does not change; keys that [`super::inspect`] has, too, mean
/// the same.
#[derive(Debug, Serialize)]
struct Report {
    v1: Option<String>,
    v2: Option<String>,
    name: Option<String>,
    total_length: Option<u64>,
    /// By tier.
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    peers: Vec<String>,
    /// Wanted files as ranges of numbers, first and last; all if there is none.
    selected: Vec<(u32, u32)>,
}

impl Report {
    fn of(uri: &str) -> Result<Self, Error> {
        let magnet = Magnet::parse(uri)?;
        Ok(Self {
            v1: magnet.v1.map(|hash| hash.to_string()),
            v2: magnet.v2.map(|hash| hash.to_string()),
            name: magnet.name,
            total_length: magnet.length,
            trackers: magnet.trackers.into_iter().map(|url| vec![url]).collect(),
            web_seeds: magnet.web_seeds,
            peers: magnet.peers.iter().map(ToString::to_string).collect(),
            selected: magnet.selected.iter().map(|range| (*range.start(), *range.end())).collect(),
        })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<14}{}", printable(value));
        };
        self.name.iter().for_each(|name| line("name", name));
        self.v1.iter().for_each(|hash| line("info-hash v1", hash));
        self.v2.iter().for_each(|hash| line("info-hash v2", hash));
        self.total_length.iter().for_each(|&length| {
            line("length", &format!("{} ({length} bytes)", HumanBytes(length)));
        });
        self.trackers.iter().flatten().for_each(|url| line("tracker", url));
        self.web_seeds.iter().for_each(|url| line("web seed", url));
        self.peers.iter().for_each(|peer| line("peer", peer));
        self.selected.iter().for_each(|(first, last)| line("files", &format!("{first}-{last}")));
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINK: &str = "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a&dn=a%1Bb&xl=5\
                        &tr=http://t/&x.pe=1.2.3.4:5&so=0,2-4";

    #[test]
    fn json_has_the_agreed_keys() {
        let json = serde_json::to_value(Report::of(LINK).unwrap()).unwrap();
        let expected = serde_json::json!({
            "v1": "c12fe1c06bba254a9dc9f519b335aa7c1367a88a", "v2": null, "name": "a\u{1b}b",
            "total_length": 5, "trackers": [["http://t/"]], "web_seeds": [], "peers": ["1.2.3.4:5"],
            "selected": [[0, 0], [2, 4]],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn text_has_no_control_characters() {
        let text = Report::of(LINK).unwrap().text();
        assert!(text.starts_with("name          a\u{fffd}b\n"), "{text}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}", at in 0..LINK.len()) {
            let _ = Report::of(&text);
            let (start, end) = LINK.split_at(at);
            let _ = Report::of(&format!("{start}{text}{end}")).map(|report| report.text());
        }
    }
}
