//! Which blocks to ask of which peer: the piece picker.
