//! What runs on hosts of a simulation that are no engines, on [`env::NodeEnv`] alone.
//!
//! - [`tracker()`]: an HTTP tracker; [`Tracker`] is the machine in it
//! - [`liar()`]: a peer that claims to have everything and gives nothing
//!
//! Whatever they are sent, what they keep of it is bounded. They must not know the engine.

mod http;
mod liar;
mod tracker;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use env::net::{Listener, Stream};

pub use http::{TRACKER_PORT, tracker};
pub use liar::liar;
pub use tracker::Tracker;

/// The port on which peers listen.
const PEER_PORT: u16 = 6881;

/// This port at all addresses of the host.
fn any(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)
}

/// The next stream; `None` when none will come any more.
async fn accept(listener: &Arc<dyn Listener>) -> Option<Stream> {
    loop {
        match listener.accept().await {
            Ok(stream) => return Some(stream),
            // It was gone before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => return None,
        }
    }
}
