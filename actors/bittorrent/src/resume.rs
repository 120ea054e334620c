//! Resume data: what is known to be on disk.
