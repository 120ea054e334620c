//! `torrentedge cluster init-ca` and `cluster issue`: the certificates by which nodes know each other.
//!
//! Keys are written for their owner alone and are in no message. Nothing that is there is overwritten: whoever
//! wants a new certificate moves the old one away. The result of `issue` is tried as a node would use it before it
//! is written.

mod certificates;
mod files;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use cluster::lane::quic::{Credentials, CredentialsError};

use crate::cli::{ClusterCommand, IssueFlags};
use crate::failure::Failure;
use crate::output;
use certificates::{Authority, Validity};
use files::NewFile;

/// The authority's files in its directory.
const AUTHORITY_CERTIFICATE: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca.key";
/// A node's files in the directory that `--out` names, beside a copy of the authority's certificate.
const NODE_CERTIFICATE: &str = "node.pem";
const NODE_KEY: &str = "node.key";
/// For how long an authority's certificate holds.
const AUTHORITY_DAYS: u16 = 3650;

/// Makes certificates.
///
/// # Errors
///
/// Files are there already, or cannot be read or written.
pub(crate) fn run(command: &ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::InitCa { dir } => init_ca(dir),
        ClusterCommand::Issue(flags) => issue(flags),
    }
}

/// The wall time in seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "a certificate holds from the time of whoever issues it"
)]
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn init_ca(dir: &Path) -> Result<(), Failure> {
    let validity = Validity::from_now(now_s(), AUTHORITY_DAYS);
    let made = Authority::make(validity).map_err(Failure::failed)?;
    files::make_dir(dir)?;
    files::write_all(&[
        NewFile::secret(dir.join(AUTHORITY_KEY), made.key),
        NewFile::public(dir.join(AUTHORITY_CERTIFICATE), made.certificate),
    ])?;
    output::print(&format!(
        "{} is for all nodes\n{} stays here: who has it can make nodes\n",
        dir.join(AUTHORITY_CERTIFICATE).display(),
        dir.join(AUTHORITY_KEY).display()
    ))
}

fn issue(flags: &IssueFlags) -> Result<(), Failure> {
    let root = files::read(&flags.ca.join(AUTHORITY_CERTIFICATE))?;
    let key = files::read(&flags.ca.join(AUTHORITY_KEY))?;
    let refused = |why: &str| {
        Failure::failed(format_args!("{}: {why}", flags.ca.join(AUTHORITY_KEY).display()))
    };
    let authority = Authority::read(&key).map_err(|_| refused("not a private key in PEM"))?;
    let now_s = now_s();
    let validity = Validity::from_now(now_s, flags.days);
    let made = authority.issue(&flags.node, &flags.address, validity).map_err(Failure::usage)?;
    let works =
        Credentials::from_pem(root.as_bytes(), made.certificate.as_bytes(), made.key.as_bytes())
            .and_then(|credentials| credentials.verify(now_s));
    works.map_err(|error| match error {
        CredentialsError::Unverified => {
            refused("not the key of the certificate beside it, or that one does not hold now")
        }
        error => Failure::failed(format_args!("{}: {error}", flags.ca.display())),
    })?;
    files::make_dir(&flags.out)?;
    files::write_all(&[
        NewFile::secret(flags.out.join(NODE_KEY), made.key),
        NewFile::public(flags.out.join(NODE_CERTIFICATE), made.certificate),
        NewFile::public(flags.out.join(AUTHORITY_CERTIFICATE), root),
    ])?;
    output::print(&format!(
        "{} holds {}, {} and {} of {} for {} days\n",
        flags.out.display(),
        NODE_CERTIFICATE,
        NODE_KEY,
        AUTHORITY_CERTIFICATE,
        flags.node,
        flags.days
    ))
}
