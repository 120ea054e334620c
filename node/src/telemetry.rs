//! Log lines: which are written, and how. They go to standard error.

use std::io::{self, IsTerminal};

use cluster_config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::Global;
use crate::failure::Failure;
use crate::progress::Screen;

/// The variable that names levels by module, as all programs with `tracing` read it.
const VARIABLE: &str = "RUST_LOG";

/// The actor library opens a span around each message, whose number would stand in every line and tell
/// nobody anything. Whoever wants it names `ractor` in the levels.
const QUIET: &str = "ractor=warn";

/// Begins to write log lines.
///
/// Which: as `-v` and `-q` say, else as `RUST_LOG` says, else as `[log]` says.
///
/// # Errors
///
/// The levels cannot be read.
pub(crate) fn start(global: &Global, log: &LogConfig, screen: &Screen) -> Result<(), Failure> {
    let variable = std::env::var(VARIABLE).ok().filter(|levels| !levels.is_empty());
    let (levels, from) = match (levels_of_flags(global), &variable) {
        (Some(levels), _) => (levels, "flags"),
        (None, Some(levels)) => (levels.as_str(), VARIABLE),
        (None, None) => (log.level.as_str(), "log.level"),
    };
    let filter = EnvFilter::builder()
        .parse(format!("{QUIET},{levels}"))
        .map_err(|error| Failure::usage(format_args!("{from} = {levels:?}: {error}")))?;
    let is_terminal = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Lines { screen: screen.clone() })
        // It would panic where standard error is closed.
        .log_internal_errors(false)
        .with_ansi(is_terminal && !global.no_color && !no_color_wished());
    let is_json = match log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !is_terminal,
    };
    let started = if is_json { builder.json().try_init() } else { builder.try_init() };
    started.map_err(Failure::failed)
}

const fn levels_of_flags(global: &Global) -> Option<&'static str> {
    match (global.quiet, global.verbose) {
        (true, _) => Some("error"),
        (false, 0) => None,
        (false, 1) => Some("debug"),
        (false, _) => Some("trace"),
    }
}

/// The convention of `NO_COLOR`: set and not empty.
fn no_color_wished() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Log lines above the progress bars.
#[derive(Debug, Clone)]
struct Lines {
    screen: Screen,
}

impl io::Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.screen.write(text).map(|()| text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
