//! What a command needs before it begins: the configuration and log lines.

use cluster_config::{Config, Flag, Origins, Sources};

use crate::cli::{ConfigFlags, Global};
use crate::failure::Failure;
use crate::progress::Screen;
use crate::telemetry;

/// Reads the configuration: defaults, files, environment, and `flags` over all.
///
/// # Errors
///
/// All that is wrong with it, a line each.
pub(crate) fn configuration(
    given: &ConfigFlags,
    flags: Vec<Flag>,
) -> Result<(Config, Origins), Failure> {
    let mut sources = Sources::standard(std::env::vars_os());
    if let Some(file) = &given.config {
        sources = sources.with_file(file);
    }
    Config::load(&sources.with_flags(flags)).map_err(Failure::usage)
}

/// As [`configuration`], and begins to write log lines as it says.
///
/// # Errors
///
/// All that is wrong with it, a line each.
pub(crate) fn start(
    global: &Global,
    given: &ConfigFlags,
    flags: Vec<Flag>,
    screen: &Screen,
) -> Result<Config, Failure> {
    let (config, _) = configuration(given, flags)?;
    telemetry::start(global, &config.log, screen)?;
    Ok(config)
}
