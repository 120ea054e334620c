//! Many nodes as one client: who owns which torrent, and where it is placed.
//!
//! Pure so far: rows, rules and ranks are values, and time is an argument. Reading order: [`NodeId`] →
//! [`ownership`] (whose effects count) → [`placement`] (who should own what).

mod id;
pub mod ownership;
pub mod placement;

pub use id::{BadNodeId, NodeId};
