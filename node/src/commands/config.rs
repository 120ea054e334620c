//! `torrentedge config show` and `config check`: what is in force, and whether it is right.

use crate::cli::ConfigCommand;
use crate::failure::Failure;
use crate::{output, startup};

/// Shows or checks the configuration.
///
/// # Errors
///
/// It is wrong, with a line for each thing; or standard output cannot be written.
pub(crate) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Show { config, origin } => {
            let (config, origins) = startup::configuration(config, Vec::new())?;
            output::print(&match origin {
                true => cluster_config::show_origins(&config, &origins),
                false => cluster_config::show(&config),
            })
        }
        ConfigCommand::Check { config } => {
            let (_, origins) = startup::configuration(config, Vec::new())?;
            let given = origins.given().count();
            output::print(&format!("the configuration is right; keys given: {given}\n"))
        }
    }
}
