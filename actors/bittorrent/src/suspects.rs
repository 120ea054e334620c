//! Who sent the bytes of a piece that failed: parole and smart ban.
