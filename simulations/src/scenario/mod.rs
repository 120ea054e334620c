//! What a person writes: a swarm in classes of hosts, what may go wrong, and what is to come of it.
//!
//! A scenario is read from TOML ([`Scenario::parse`]: every refusal names file, line and what was
//! expected) and makes a [`Plan`](crate::plan::Plan) of each seed ([`Scenario::draw`]). Reading order:
//! [`text`](self) is the form of the file, `amount` its numbers, `sense` what must hold between them; `draw`
//! makes the hosts, `setting` their configuration, `schedule` their faults; `legal` is what every plan keeps
//! to.
//!
//! It knows nothing of how a plan is run.

mod amount;
mod draw;
mod error;
mod kind;
mod legal;
mod library;
mod schedule;
mod sense;
mod setting;
mod text;

use std::path::Path;

pub use error::ScenarioError;
pub(crate) use error::Source;
pub use legal::Illegal;
pub(crate) use legal::{Place, content_of};
pub use library::names;

use error::did_you_mean;
use text::ScenarioText;

/// Rare paths that the checker counts; a scenario can expect some of them ([`Scenario::must_reach`]).
pub const SOMETIMES: &[&str] = &[
    "endgame",
    "hash-failed",
    "peer-banned",
    "choked-in-mid-piece",
    "rejected-request",
    "cancelled-request",
    "restarted-after-crash",
    "restarted-after-power-cut",
    "claimed-less-after-restart",
    "metadata-by-peers",
    "pex-found-a-peer",
    "torrent-in-error",
    "error-healed",
    "connection-reset",
    "tracker-failed",
    "tracker-answered",
    "encrypted-connection",
    "simultaneous-dial",
    "rechecked-after-bit-flip",
    "have-all",
    "have-none",
    "allowed-fast",
    "seed-left",
];

/// What a scenario calls all hosts but trackers.
const EVERYONE: &str = "everyone";

/// The longest file that is read, in bytes.
const FILE_LEN_MAX: u64 = 1 << 20;

/// A scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it is about, in a sentence.
    pub about: String,
    /// Names among [`SOMETIMES`] that its seeds, taken together, must reach.
    pub must_reach: Vec<String>,
    text: ScenarioText,
}

impl Scenario {
    /// Reads a scenario; `file` is how a refusal names its file.
    ///
    /// # Errors
    ///
    /// What is wrong first, with its line and what was expected.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let source = Source { file, text };
        let text: ScenarioText = toml::from_str(text).map_err(|error| source.wrong_toml(&error))?;
        sense::check(source, &text)?;
        let must_reach = text.expect.must_reach.iter().map(|name| name.get_ref().clone()).collect();
        Ok(Self {
            name: text.name.get_ref().clone(),
            about: text.about.get_ref().clone(),
            must_reach,
            text,
        })
    }
}

/// The built-in scenario of this name, or the one in the file at this path, which ends in `.toml`.
///
/// # Errors
///
/// There is none (the error says which there are), or it is refused.
pub fn find(name_or_path: &str) -> Result<Scenario, ScenarioError> {
    if let Some((file, text)) = library::text_of(name_or_path) {
        return Scenario::parse(&file, text);
    }
    let path = Path::new(name_or_path);
    if path.extension().is_none_or(|end| end != "toml") {
        let known: Vec<&str> = names().map(|(name, _)| name).collect();
        return Err(ScenarioError::Unknown {
            name: name_or_path.to_owned(),
            suggestion: did_you_mean(name_or_path, known.iter().copied()),
            known: known.join(", "),
        });
    }
    let text = read_text(path).map_err(|reason| ScenarioError::Unreadable {
        file: name_or_path.to_owned(),
        reason: reason.to_string(),
    })?;
    Scenario::parse(name_or_path, &text)
}

fn read_text(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_LEN_MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > FILE_LEN_MAX {
        return Err(std::io::Error::other(format!("longer than {FILE_LEN_MAX} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
