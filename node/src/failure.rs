//! How a command fails: an exit code and one sentence.

use std::fmt;
use std::io;
use std::path::Path;

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was tried and did not work, or the input is refused.
    Failed = 1,
    /// It was called wrongly.
    Usage = 2,
    /// What was named is not there.
    NotFound = 3,
    /// Someone asked it to end (as shells say of SIGINT).
    Interrupted = 130,
}

/// A command did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct Failure {
    /// For the exit code.
    pub(crate) exit: Exit,
    /// What is wrong and where, in lower case and without a full stop.
    sentence: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, sentence: impl fmt::Display) -> Self {
        Self { exit, sentence: sentence.to_string() }
    }

    /// Exit code 1.
    pub(crate) fn failed(sentence: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, sentence)
    }

    /// Exit code 2.
    pub(crate) fn usage(sentence: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, sentence)
    }

    /// Exit code 130.
    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }

    /// Something about a file: exit code 3 where there is none, else 1.
    pub(crate) fn file(path: &Path, doing: &str, error: &io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Failed,
        };
        Self::new(exit, format_args!("{}: cannot {doing}: {error}", path.display()))
    }
}
