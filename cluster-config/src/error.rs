//! What can be wrong with a configuration.

use std::fmt;

use crate::source::Origin;

/// Everything that is wrong with a configuration, in the order in which it was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", Lines(problems))]
pub struct ConfigError {
    /// The problems; at least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A file could not be read.
    #[error("{path}: cannot read the configuration: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why, in the system's words.
        reason: String,
    },
    /// A file is no TOML.
    #[error("{origin}: not valid TOML: {reason}")]
    Syntax {
        /// Where the file stops being TOML.
        origin: Origin,
        /// Why, in the parser's words.
        reason: String,
    },
    /// There is no such key or section.
    #[error("{origin}: unknown key {key}{}", suggest(suggestion.as_deref()))]
    UnknownKey {
        /// Where it was given.
        origin: Origin,
        /// The key, or section, as it was given.
        key: String,
        /// The nearest key, or section, that there is.
        suggestion: Option<String>,
    },
    /// The value is of the wrong type or out of range.
    #[error("{origin}: {key} = {value}: expected {expects}")]
    WrongValue {
        /// Where it was given.
        origin: Origin,
        /// The key.
        key: String,
        /// The value as it was given; of a secret, only that it is one.
        value: String,
        /// What would have been right.
        expects: String,
    },
    /// The file of a secret could not be read.
    #[error("{origin}: {key}: cannot read the secret from {path}: {reason}")]
    UnreadableSecret {
        /// Where the file was named.
        origin: Origin,
        /// The key that names the file.
        key: String,
        /// The file.
        path: String,
        /// Why, in the system's words.
        reason: String,
    },
    /// Two values, each right by itself, contradict each other.
    #[error("{key} ({origin}) {reason} {other_key} ({other_origin})")]
    Contradiction {
        /// The one key.
        key: &'static str,
        /// Where its value was given.
        origin: Origin,
        /// How it relates to the other and should not, as in `is more than`.
        reason: &'static str,
        /// The other key.
        other_key: &'static str,
        /// Where its value was given.
        other_origin: Origin,
    },
    /// A path begins with `~` and the environment names no home.
    #[error("{origin}: {key} begins with ~, but HOME is not set: give an absolute path")]
    NoHome {
        /// Where the path was given.
        origin: Origin,
        /// The key.
        key: &'static str,
    },
}

fn suggest(suggestion: Option<&str>) -> String {
    suggestion.map(|key| format!(", did you mean {key}?")).unwrap_or_default()
}

/// One problem a line.
struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}
