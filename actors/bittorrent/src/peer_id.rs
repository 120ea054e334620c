//! Peer ids: ours, and which client another's names (BEP 20).
