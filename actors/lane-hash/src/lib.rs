//! SHA-1 and SHA-256 over many pieces or blocks at once.
