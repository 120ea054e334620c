//! Why an engine refuses.

use serde::{Deserialize, Serialize};

/// What a caller tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// No such torrent or file.
    NotFound,
    /// The torrent is there already, or the request goes against what it is doing.
    Conflict,
    /// The input is malformed or against the rules.
    Invalid,
    /// Well-formed, but this version cannot do it.
    Unsupported,
    /// The range is outside the file.
    RangeNotSatisfiable,
    /// The disk refuses (full, read-only, failing).
    Storage,
    /// What was asked for could not be fetched.
    Unreachable,
    /// A limit is reached; later it may work.
    Busy,
    /// The node is going down.
    ShuttingDown,
    /// A mistake of ours.
    Internal,
}

/// Why an engine refuses, in a sentence that names the input and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct EngineError {
    /// What a caller tells apart.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

impl EngineError {
    /// An error with its sentence.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
