//! A simulated world: hosts on one thread, a network and disks under one simulated clock.
//!
//! Each host has a tokio runtime of its own without tokio's timers (an actor that went round
//! [`NodeEnv`](crate::NodeEnv) panics there), and runs only when one of its events is due. So a host can
//! be killed at any event: its runtime is dropped with all tasks, timers and sockets, and the others go
//! on. Nothing here reads a clock or draws unseeded chance; events that are due at the same moment
//! happen in the order in which they were scheduled. Hence the same seed gives the same
//! [`World::trace_hash`], in every process.

mod clock;
mod disk;
mod idle;
mod net;
mod queue;
mod seen;
mod state;
#[cfg(test)]
mod tests;
mod trace;
mod world;

pub use disk::{DiskFaults, SimDisk};
pub use net::{DatagramConfig, LinkConfig};
pub use seen::Seen;
pub use world::{HostConfig, HostId, Kill, World};
