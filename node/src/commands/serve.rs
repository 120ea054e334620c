//! `torrentedge serve`: the node and its HTTP interface, until the program is asked to end.

use cluster_config::Config;

use crate::cli::{ConfigFlags, Global};
use crate::failure::Failure;
use crate::progress::Screen;
use crate::startup;

/// Serves.
///
/// # Errors
///
/// The configuration is wrong, or a part cannot be started.
pub(crate) fn run(global: &Global, flags: &ConfigFlags, screen: &Screen) -> Result<(), Failure> {
    let config = startup::start(global, flags, Vec::new(), screen)?;
    serve(&config)
}

/// ENGINE: starts store, event log, engine and gateway with `config`, and ends them in turn at a signal
/// (`shutdown::Requests`), which is success.
fn serve(config: &Config) -> Result<(), Failure> {
    tracing::debug!(listen = %config.gateway.listen, "ready");
    Err(Failure::failed("the engine is not wired yet"))
}
