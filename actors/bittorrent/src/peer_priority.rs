//! Canonical peer priority (BEP 40).
