//! The real world: the system's clock, sockets, files and threads.

mod clock;
mod disk;
mod net;
mod pool;

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

use crate::{NodeEnv, Parts};

/// How a real host is to be used.
#[derive(Debug, Clone, Copy)]
pub struct RealConfig {
    /// Threads for file operations; at least 1.
    pub disk_threads: usize,
    /// Threads for hashing; 0 takes one a core.
    pub compute_threads: usize,
}

impl Default for RealConfig {
    fn default() -> Self {
        Self { disk_threads: 4, compute_threads: 0 }
    }
}

/// The world as it is. Its threads end when the last handle is dropped.
///
/// Must be called, and used, inside a tokio runtime with I/O and time enabled.
#[must_use]
pub fn node_env(config: &RealConfig) -> NodeEnv {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let compute = if config.compute_threads == 0 { cores } else { config.compute_threads };
    let seed = SmallRng::from_os_rng().next_u64();
    NodeEnv::new(Parts {
        clock: Arc::new(clock::SystemClock::start()),
        net: Arc::new(net::SystemNet),
        disk: Arc::new(disk::SystemDisk::start(config.disk_threads.max(1))),
        compute: Arc::new(pool::ComputePool::start(compute)),
        seed,
        seeded_secrets: false,
    })
}
