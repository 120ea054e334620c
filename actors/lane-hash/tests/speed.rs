//! The lanes pay: on a processor with SHA instructions, hashing at once must cost clearly less CPU
//! time than the crates, measured in the same run.

use lane_hash::{Algorithm, Job, Kernel, Sha1, Sha256, State, update_many_with};
use rustix::time::{ClockId, clock_gettime};

/// Bytes of each message. Eight of them stay in a second-level cache of 1 MiB.
const MESSAGE_LEN: usize = 128 * 1024;
const MESSAGES: usize = 8;

/// Each side is measured this often, in turns; the least time counts, as noise only adds.
const ROUNDS: usize = 15;

/// Nanoseconds of CPU that this thread has used.
fn thread_cpu_ns() -> i64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

fn cost_ns<A: Algorithm>(kernel: &Kernel<A>, messages: &[Vec<&[u8]>]) -> i64 {
    let mut states = vec![State::<A>::new(); messages.len()];
    let mut jobs: Vec<_> = states
        .iter_mut()
        .zip(messages)
        .map(|(state, segments)| Job { state, segments: segments.as_slice() })
        .collect();
    let before = thread_cpu_ns();
    update_many_with(kernel, &mut jobs);
    thread_cpu_ns() - before
}

/// CPU time of `kernel` over that of the crate.
fn ratio<A: Algorithm>(kernel: &Kernel<A>) -> f64 {
    let Some(crate_kernel) = Kernel::<A>::all_here().last() else { return f64::INFINITY };
    let data = vec![0x5a; MESSAGE_LEN * MESSAGES];
    let messages: Vec<Vec<&[u8]>> =
        data.chunks(MESSAGE_LEN).map(|message| message.chunks(16 * 1024).collect()).collect();
    let (mut ours, mut theirs) = (i64::MAX, i64::MAX);
    for _ in 0..ROUNDS {
        ours = ours.min(cost_ns(kernel, &messages));
        theirs = theirs.min(cost_ns(crate_kernel, &messages));
    }
    ours as f64 / theirs as f64
}

/// A kernel of several lanes must cost at most `most` times the crate's CPU time.
fn check<A: Algorithm>(name: &str, most: f64) {
    let Some(kernel) = Kernel::<A>::all_here().find(|kernel| kernel.name() == name) else {
        return;
    };
    // A neighbour on the same core can spoil a whole measurement, so it may be repeated.
    let best = (0..5).map(|_| ratio(kernel)).find(|&ratio| ratio <= most);
    assert!(best.is_some(), "{name}: more than {most} of the crate's CPU time, five times");
}

#[test]
fn four_lanes_of_sha1_cost_at_most_three_quarters_of_the_crate() {
    check::<Sha1>("sha-ni x4", 0.75);
}

#[test]
fn two_lanes_of_sha1_cost_less_than_the_crate() {
    check::<Sha1>("sha-ni x2", 0.85);
}

#[test]
fn three_lanes_of_sha256_cost_less_than_the_crate() {
    check::<Sha256>("sha-ni x3", 0.85);
}
