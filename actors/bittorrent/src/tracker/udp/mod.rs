//! UDP trackers (BEP 15, 41): [`packet`] reads and writes the datagrams, [`Exchange`] is one request
//! with its retransmissions.

pub mod exchange;
pub mod packet;

pub use exchange::{Answer, Connection, Connections, Exchange, Request, Step};
pub use packet::{Family, SCRAPE_MAX};
