//! What every transport of lanes must do: one suite, run over its twin in simulated worlds and over QUIC on real
//! sockets; and what only one of them can show.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod bulk;
mod kept;
mod membership;
mod party;
mod quic;
mod steward;
mod suite;
mod twin;
