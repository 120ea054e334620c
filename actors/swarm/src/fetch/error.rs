//! Why a fetch failed. A URL's path, query and userinfo may hold a tracker's passkey, so no text here
//! shows more of it than the host.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::address::Refused;

/// A fetch gave no body.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL, or that of a redirect, cannot be fetched as it is written.
    #[error("the URL {problem}")]
    Url {
        /// What is wrong, without a part of the URL.
        problem: &'static str,
    },
    /// The URL holds a user name or password, and this kind of fetch sends none.
    #[error("the URL holds credentials, which are not sent here")]
    Credentials,
    /// The name has no address.
    #[error("{host} does not resolve: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The policy forbids an address of the host.
    #[error("{host} is not asked: {source}")]
    Refused {
        /// The host of the URL.
        host: String,
        /// Which address, and why.
        source: Refused,
    },
    /// A public host sent us to a local one. Refused although the policy allows the address.
    #[error("a public host redirects to {ip} in a local network")]
    RedirectInward {
        /// The local address.
        ip: IpAddr,
    },
    /// A redirect leads from https to http.
    #[error("a redirect leads from https to http")]
    RedirectToPlain,
    /// More redirects than the limit.
    #[error("more than {max} redirects")]
    Redirects {
        /// The limit.
        max: u32,
    },
    /// No address of the host could be connected to; the last one's error.
    #[error("cannot connect to {to}: {source}")]
    Connect {
        /// The last address.
        to: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS handshake failed, as when no trusted authority vouches for the host.
    #[error("TLS with {host}: {source}")]
    Tls {
        /// The host of the URL.
        host: String,
        /// What was wrong.
        source: io::Error,
    },
    /// The host broke off, or what it sent is not HTTP/1.
    #[error("HTTP with {host}: {source}")]
    Http {
        /// The host of the URL.
        host: String,
        /// What was wrong.
        source: hyper::Error,
    },
    /// The body, as sent or decompressed, is longer than the limit.
    #[error("the body is longer than {max} bytes")]
    TooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// The body is compressed in a way that was not asked for and is not understood.
    #[error("the body has an encoding other than gzip")]
    Encoding,
    /// The body says that it is gzip, and is damaged or something else.
    #[error("the body is damaged gzip: {0}")]
    Gzip(io::Error),
    /// The fetch as a whole, with redirects, took too long.
    #[error("no complete answer within {} ms", limit.as_millis())]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// The host that we run on ends.
    #[error(transparent)]
    Gone(#[from] env::Gone),
}

/// The certificate authorities to trust could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read.
    #[error("cannot read the file of certificate authorities: {0}")]
    Read(io::Error),
    /// The file is not PEM.
    #[error("the file of certificate authorities is not PEM: {0}")]
    Pem(tokio_rustls::rustls::pki_types::pem::Error),
    /// The file holds no certificate.
    #[error("the file of certificate authorities holds no certificate")]
    Empty,
    /// A certificate in the file cannot vouch for others, or TLS cannot be set up.
    #[error("certificate authorities cannot be used: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
    /// The host that we run on ends.
    #[error(transparent)]
    Gone(#[from] env::Gone),
}
