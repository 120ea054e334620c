//! The command line: commands and flags, and what `--help` says of them.

mod events;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use cluster_config::NodeName;

pub(crate) use events::{Beginning, EventsCommand, SendFlags, TailFlags, TopicsCommand};

use crate::selection::FileSelection;

/// A BitTorrent client that is made to be a cluster.
#[derive(Debug, Parser)]
#[command(name = "torrentedge", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 it worked, 1 it failed (one sentence says why), \
    2 it was called wrongly, 3 not found, 130 interrupted.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of all commands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Log more: -v debug, -vv trace
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Log errors only, and show no progress
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// No colours (as with NO_COLOR in the environment)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Download a torrent, and end when it is complete and verified
    Download(DownloadFlags),
    /// Seed files that are on this machine
    Seed(SeedFlags),
    /// Run the node and its HTTP interface
    Serve(ConfigFlags),
    /// Make a .torrent file of a file or directory
    Create(CreateFlags),
    /// Compare files on this machine with a torrent's hashes
    Verify(VerifyFlags),
    /// Show what is in a .torrent file
    Inspect(InspectFlags),
    /// Show what is in a magnet link
    Magnet(MagnetFlags),
    /// Say whether standard input is canonical bencode
    BencodeCheck,
    /// Show or check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make the topics of the event log, look at them, or change them
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Show records of the event log as they come, or append one
    #[command(subcommand)]
    Events(EventsCommand),
    /// Make the certificates by which the nodes of a cluster know each other
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Run swarm simulations: deterministic, under faults, by seed (`simulate --help` says more)
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Simulate(SimulateFlags),
}

/// Where settings come from.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigFlags {
    /// Read this configuration file over the system's and the user's
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Flags of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectFlags {
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The .torrent file
    pub(crate) file: PathBuf,
}

/// Flags of `magnet`.
#[derive(Debug, Args)]
pub(crate) struct MagnetFlags {
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The magnet link
    pub(crate) uri: String,
}

/// Flags of `create`.
#[derive(Debug, Args)]
pub(crate) struct CreateFlags {
    /// The file or directory. Links to files in it are followed; links to directories, devices and
    /// names that are not UTF-8 are refused
    pub(crate) path: PathBuf,
    /// Where to write the .torrent file; one that is there is replaced at the end
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) version: VersionFlags,
    /// Bytes of a piece; chosen by the total length if not given
    #[arg(long, value_name = "BYTES")]
    pub(crate) piece_length: Option<u32>,
    /// A tracker, each a tier of its own
    #[arg(long, value_name = "URL")]
    pub(crate) tracker: Vec<String>,
    /// An address of the same files over HTTP
    #[arg(long, value_name = "URL")]
    pub(crate) web_seed: Vec<String>,
    /// Peers come from the trackers only
    #[arg(long)]
    pub(crate) private: bool,
    /// A comment
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which version of torrent.
#[derive(Debug, Clone, Copy, Args)]
#[group(multiple = false)]
pub(crate) struct VersionFlags {
    /// Version 1, which every client reads (the default)
    #[arg(long)]
    pub(crate) v1: bool,
    /// Version 2 (BEP 52)
    #[arg(long)]
    pub(crate) v2: bool,
    /// Both in one
    #[arg(long)]
    pub(crate) hybrid: bool,
}

/// Flags of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyFlags {
    /// The .torrent file
    pub(crate) torrent: PathBuf,
    /// The directory that the torrent's file or directory is in
    #[arg(short, long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `download`.
#[derive(Debug, Args)]
pub(crate) struct DownloadFlags {
    /// A .torrent file, a magnet link, or an http(s) address of a .torrent file
    pub(crate) source: String,
    /// The directory to download to
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) network: NetworkFlags,
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
    /// Only these files, by their numbers from 0 in the torrent, as in 0,2,5-7
    #[arg(long, value_name = "NUMBERS")]
    pub(crate) files: Option<FileSelection>,
    /// Pieces in order rather than the rarest first
    #[arg(long)]
    pub(crate) sequential: bool,
    /// Go on to seed when it is complete
    #[arg(long)]
    pub(crate) seed: bool,
    /// End only when the files are on the disk: a power cut right after the end loses nothing then
    #[arg(long)]
    pub(crate) sync: bool,
}

/// Flags of `seed`.
#[derive(Debug, Args)]
pub(crate) struct SeedFlags {
    /// The .torrent file
    pub(crate) torrent: PathBuf,
    /// The directory that the torrent's file or directory is in
    #[arg(short, long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) network: NetworkFlags,
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
}

/// Flags of `simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateFlags {
    /// What `torrentedge-sim` is told, all of it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    pub(crate) arguments: Vec<OsString>,
}

/// How peers are spoken to.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkFlags {
    /// The address on which peers reach us
    #[arg(long, value_name = "IP")]
    pub(crate) listen_ip: Option<IpAddr>,
    /// The port on which peers reach us; 0 is any free one
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Whether connections are encrypted: never, where the peer can, or always
    #[arg(long, value_enum)]
    pub(crate) encryption: Option<EncryptionFlag>,
    /// What connections run over
    #[arg(long, value_enum)]
    pub(crate) transport: Option<TransportFlag>,
    /// A peer to connect to
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) peer: Vec<SocketAddr>,
    /// A node of the DHT to begin with
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) dht_bootstrap: Vec<String>,
    /// No DHT
    #[arg(long, conflicts_with = "dht_bootstrap")]
    pub(crate) no_dht: bool,
    /// No search for peers in the local network
    #[arg(long)]
    pub(crate) no_lsd: bool,
    /// The most bytes a second that are downloaded, as in "5 MB/s"; a bare number is bytes
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_down: Option<String>,
    /// The most bytes a second that are uploaded
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_up: Option<String>,
    /// Speak to peers at loopback and private addresses, too
    #[arg(long)]
    pub(crate) allow_private_peers: bool,
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EncryptionFlag {
    /// Never.
    Plain,
    /// Where the peer can.
    Prefer,
    /// Always.
    Require,
}

/// What connections run over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransportFlag {
    /// TCP.
    Tcp,
    /// uTP (BEP 29).
    Utp,
    /// Either.
    Both,
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print what is in force
    Show {
        #[command(flatten)]
        config: ConfigFlags,
        /// Say of each key where it was given
        #[arg(long)]
        origin: bool,
    },
    /// Say whether the configuration is right
    Check {
        #[command(flatten)]
        config: ConfigFlags,
    },
}

/// What to do about certificates.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Make the authority of a new cluster: ca.pem for all nodes, ca.key to be kept
    InitCa {
        /// The directory to write to; it is made if it is not there
        dir: PathBuf,
    },
    /// Make a node's certificate and key: node.pem, node.key, and a copy of ca.pem
    Issue(IssueFlags),
}

/// Flags of `cluster issue`.
#[derive(Debug, Args)]
pub(crate) struct IssueFlags {
    /// The node's name
    #[arg(value_parser = node_name)]
    pub(crate) node: NodeName,
    /// The directory that `init-ca` wrote to
    #[arg(long, value_name = "DIR")]
    pub(crate) ca: PathBuf,
    /// The directory to write to; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// For how many days the certificate holds
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub(crate) days: u16,
    /// A host name or IP address that the certificate names, too
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Vec<String>,
}

fn node_name(text: &str) -> Result<NodeName, String> {
    NodeName::try_from(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn takes_what_the_harness_and_the_bench_give() {
        let network = "--listen-ip=127.0.0.1 --port=6881 --encryption=plain --transport=tcp --no-dht \
                       --no-lsd --allow-private-peers --peer=127.0.0.1:1 --limit-up=2000";
        for line in [
            format!("torrentedge download a.torrent -oout {network}"),
            format!("torrentedge seed a.torrent -d out {network}"),
            "torrentedge create a -o b --v1 --piece-length=262144".to_owned(),
            "torrentedge verify a.torrent -d out -q".to_owned(),
            "torrentedge serve".to_owned(),
            "torrentedge config show --origin --config f.toml".to_owned(),
            "torrentedge topics apply --config f.toml".to_owned(),
            "torrentedge events tail --topic t --type added --from 7 --json".to_owned(),
            "torrentedge events send --topic t --key k --header a=b=c {}".to_owned(),
            "torrentedge cluster init-ca ca".to_owned(),
            "torrentedge cluster issue node-1 --ca ca --out node-1 --days 30 --address ::1"
                .to_owned(),
        ] {
            Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn simulations_get_all_arguments_as_they_are() {
        for arguments in ["", "--help", "--version", "run churn --seed 1 -- -v", "list --help"] {
            let line = format!("torrentedge simulate {arguments}");
            let cli = Cli::try_parse_from(line.split_whitespace()).expect(&line);
            let Command::Simulate(flags) = cli.command else { panic!("{line}") };
            let expected: Vec<OsString> =
                arguments.split_whitespace().map(OsString::from).collect();
            assert_eq!(flags.arguments, expected, "{line}");
        }
    }

    #[test]
    fn refuses_what_contradicts_itself() {
        for line in [
            "torrentedge create a -o b --v1 --v2",
            "torrentedge inspect -q -v a",
            "torrentedge download a",
            "torrentedge download a -o b --files 3-1",
            "torrentedge download a -o b --no-dht --dht-bootstrap a:1",
            "torrentedge inspect --json --config f a",
            "torrentedge events tail --from middle",
            "torrentedge events send --topic t --key k --header a {}",
        ] {
            Cli::try_parse_from(line.split_whitespace()).expect_err(line);
        }
    }
}
