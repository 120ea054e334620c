//! What a node receives from the world: time, timers, chance, network, disk, computing and names.
//!
//! Every actor gets these through one [`NodeEnv`] and from nowhere else, so that the very same actors
//! run on real sockets and files ([`real`]) and on a simulated network and disk under a simulated clock
//! ([`sim`]), where the same seed gives the same run, byte for byte, and a host can be killed.
//!
//! Start with [`NodeEnv`]; then [`net`] and [`disk`] for the seams; [`supervision`] for restarts.
//! This crate must not know the engine, the cluster or the gateway.

pub mod disk;
pub mod live;
pub mod net;
mod node_env;
pub mod real;
pub mod sim;
pub mod supervision;
pub mod task;

pub use node_env::{Clock, Compute, Gone, NodeEnv, Parts, Sleep};
pub use task::{Task, Timer};
