//! The `torrentedge` program.
fn main() {}
