//! The commands, a file each.

mod bencode_check;
mod cluster;
mod config;
mod create;
mod events;
mod inspect;
mod magnet;
mod serve;
mod simulate;
mod source;
mod topics;
mod transfer;
mod verify;

use cluster_config::LogConfig;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::progress::Screen;
use crate::telemetry;

/// Does what the command line asks.
///
/// # Errors
///
/// The command failed.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    let global = cli.global;
    let screen = Screen::new(global.quiet);
    // These need no configuration, so a broken one does not keep them from working.
    let log = || telemetry::start(&global, &LogConfig::default(), &screen);
    match cli.command {
        Command::Inspect(flags) => inspect::run(&flags),
        Command::Magnet(flags) => magnet::run(&flags),
        Command::BencodeCheck => bencode_check::run(),
        Command::Create(flags) => log().and_then(|()| create::run(&flags, &screen)),
        Command::Verify(flags) => log().and_then(|()| verify::run(&flags, &screen)),
        Command::Config(command) => config::run(&command),
        Command::Topics(command) => topics::run(&global, &command, &screen),
        Command::Events(command) => events::run(&global, &command, &screen),
        Command::Cluster(command) => cluster::run(&command),
        Command::Simulate(flags) => simulate::run(&flags),
        Command::Download(flags) => transfer::download(&global, &flags, &screen),
        Command::Seed(flags) => transfer::seed(&global, &flags, &screen),
        Command::Serve(flags) => serve::run(&global, &flags, &screen),
    }
}
