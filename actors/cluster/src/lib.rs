//! Many nodes as one client: the lanes between them, who they are, who owns which torrent, and where it is placed.
//!
//! Reading order: [`ownership`] (whose effects count) → [`placement`] (who should own what) → [`lane`] (how nodes
//! speak to each other) → [`membership`] (who they are). The first two are pure: rows, rules and ranks are values, and time is an argument.

pub mod lane;
pub mod membership;
pub mod ownership;
pub mod placement;
