//! What the fuzz targets do with their bytes, and the inputs that they begin with.
//!
//! A target is a module here with `check`, which must hold for any bytes, and `seeds`, small inputs of
//! which most are valid; a line in [`TARGETS`]; and a program of three lines in `fuzz_targets/`. The
//! checks are ordinary functions, so that `cargo test` runs every seed through them without a fuzzer.
//! README.md says how to add one.

pub mod bencode;
pub mod bitfield;
pub mod extension;
pub mod handshake;
pub mod info;
pub mod magnet;
pub mod metadata;
pub mod metainfo;
pub mod mse;
pub mod pex;
pub mod resume;
pub mod session;
pub mod tracker_http;
pub mod tracker_udp;
pub mod tracker_url;
pub mod wire;

mod input;

/// A name for the file, and the bytes.
pub type Seed = (&'static str, Vec<u8>);

/// A parser, or a machine that bytes from outside reach.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of its program, and of the directory with its seeds.
    pub name: &'static str,
    /// Panics if the bytes make the parser break a promise.
    pub check: fn(&[u8]),
    /// Makes its seeds.
    pub seeds: fn() -> Vec<Seed>,
}

/// Every target, by name.
pub const TARGETS: &[Target] = &[
    Target { name: "bencode", check: bencode::check, seeds: bencode::seeds },
    Target { name: "bitfield", check: bitfield::check, seeds: bitfield::seeds },
    Target { name: "extension", check: extension::check, seeds: extension::seeds },
    Target { name: "handshake", check: handshake::check, seeds: handshake::seeds },
    Target { name: "info", check: info::check, seeds: info::seeds },
    Target { name: "magnet", check: magnet::check, seeds: magnet::seeds },
    Target { name: "metadata", check: metadata::check, seeds: metadata::seeds },
    Target { name: "metainfo", check: metainfo::check, seeds: metainfo::seeds },
    Target { name: "mse", check: mse::check, seeds: mse::seeds },
    Target { name: "pex", check: pex::check, seeds: pex::seeds },
    Target { name: "resume", check: resume::check, seeds: resume::seeds },
    Target { name: "session", check: session::check, seeds: session::seeds },
    Target { name: "tracker_http", check: tracker_http::check, seeds: tracker_http::seeds },
    Target { name: "tracker_udp", check: tracker_udp::check, seeds: tracker_udp::seeds },
    Target { name: "tracker_url", check: tracker_url::check, seeds: tracker_url::seeds },
    Target { name: "wire", check: wire::check, seeds: wire::seeds },
];
