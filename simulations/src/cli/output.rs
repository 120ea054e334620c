//! Standard output, and files that commands write.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::Failure;

/// Writes a result. A reader that has gone (`| head`) is no failure.
///
/// # Errors
///
/// Standard output cannot be written.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format_args!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a result as JSON, in one line.
///
/// # Errors
///
/// Standard output cannot be written.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(Failure::failed)?;
    print(&format!("{text}\n"))
}

/// Writes a note to standard error.
pub(super) fn note(text: &str) {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes a file that replaces one of its name.
///
/// # Errors
///
/// It cannot be written.
pub(super) fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::failed(format_args!("{}: cannot write: {error}", path.display())))
}
