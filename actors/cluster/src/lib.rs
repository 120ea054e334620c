//! Many nodes as one client: who owns which torrent, and where it is placed.
//!
//! Pure so far: rows, rules and ranks are values, and time is an argument. Reading order: [`ownership`]
//! (whose effects count) → [`placement`] (who should own what) → [`keeper`] (what a node does about it).

pub mod keeper;
pub mod ownership;
pub mod placement;
