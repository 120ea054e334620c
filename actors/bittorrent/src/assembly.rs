//! Assembles one piece out of its blocks.
