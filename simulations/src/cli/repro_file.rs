//! Repros: files that a failing seed leaves behind, and that `replay` and `shrink` read.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use simulations::outcome::{Outcome, Verdict};
use simulations::plan::Plan;
use simulations::repro::Repro;

use super::output::write_file;
use super::{Exit, Failure};

/// The longest repro that is read, in bytes.
const REPRO_MAX: u64 = 64 << 20;
/// What is written as the invariant of a seed that came to a limit.
const LIMIT: &str = "limit";

/// Writes the repro of a seed that did not pass.
///
/// # Errors
///
/// It cannot be written.
pub(super) fn write(path: &Path, outcome: &Outcome, plan: Plan) -> Result<(), Failure> {
    let message = match &outcome.verdict {
        Verdict::Passed => "",
        Verdict::Failed { message, .. } | Verdict::Stopped { message } => message,
    };
    let repro = Repro {
        invariant: invariant(&outcome.verdict).unwrap_or_default().to_owned(),
        message: message.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        plan,
    };
    write_file(path, &repro.to_toml())
}

/// Reads a repro.
///
/// # Errors
///
/// There is none, or it is wrong.
pub(super) fn read(path: &Path) -> Result<Repro, Failure> {
    let failure = |exit, error: &dyn std::fmt::Display| {
        Failure::new(exit, format_args!("{}: cannot read: {error}", path.display()))
    };
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => failure(Exit::NotFound, &error),
        _ => failure(Exit::Failed, &error),
    })?;
    let mut text = String::new();
    match file.take(REPRO_MAX + 1).read_to_string(&mut text) {
        Err(error) => return Err(failure(Exit::Usage, &error)),
        Ok(length) if length as u64 > REPRO_MAX => {
            return Err(failure(Exit::Usage, &format!("it is longer than {REPRO_MAX} bytes")));
        }
        Ok(_) => {}
    }
    Repro::from_toml(&path.to_string_lossy(), &text)
        .map_err(|error| Failure::new(Exit::Usage, error))
}

/// Which invariant did not hold; `limit` is that of a seed which came to a limit.
pub(super) fn invariant(verdict: &Verdict) -> Option<&str> {
    match verdict {
        Verdict::Passed => None,
        Verdict::Failed { invariant, .. } => Some(invariant),
        Verdict::Stopped { .. } => Some(LIMIT),
    }
}

/// The name of a seed's repro, for any name of a scenario.
pub(super) fn name(scenario: &str, seed: u64) -> PathBuf {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    let scenario: String =
        scenario.chars().map(|letter| if is_plain(letter) { letter } else { '-' }).collect();
    format!("repro-{scenario}-{seed}.toml").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repro_is_named_after_its_seed_and_stays_in_its_directory() {
        assert_eq!(name("flash-crowd", 17), Path::new("repro-flash-crowd-17.toml"));
        assert_eq!(name("../a b", 1), Path::new("repro----a-b-1.toml"));
    }

    #[test]
    fn a_limit_has_a_name_as_an_invariant_has() {
        let stopped = Verdict::Stopped { message: String::new() };
        assert_eq!(invariant(&stopped), Some("limit"));
        assert_eq!(invariant(&Verdict::Passed), None);
    }

    #[test]
    fn what_is_no_repro_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.toml");
        assert_eq!(read(&path).unwrap_err().exit, Exit::NotFound);
        std::fs::write(&path, "plan = 1").unwrap();
        assert_eq!(read(&path).unwrap_err().exit, Exit::Usage);
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(read(&path).unwrap_err().exit, Exit::Usage);
    }
}
