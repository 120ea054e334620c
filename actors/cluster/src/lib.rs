//! Many nodes as one client: the lanes between them, who they are, who owns which torrent, and where it is placed.
//!
//! Reading order: [`ownership`] (whose effects count) → [`placement`] (who should own what) → [`keeper`] (what a node
//! does about it) → [`lane`] (how nodes speak to each other) → [`membership`] (who they are) →
//! [`steward`] (the actor that lets a keeper live over lanes and a store). The first three are pure: rows, rules and ranks are values, and time is an argument.

pub mod keeper;
pub mod lane;
pub mod membership;
pub mod ownership;
pub mod placement;
pub mod steward;
