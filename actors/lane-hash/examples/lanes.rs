//! Prints what hashing costs with each kernel of this processor, in CPU-seconds per GiB.
//!
//! `cargo run --release -p lane-hash --example lanes`
#![expect(clippy::print_stdout, reason = "a program whose output is a table")]

use lane_hash::{Algorithm, Job, Kernel, Sha1, Sha256, State, update_many, update_many_with};
use rustix::time::{ClockId, clock_gettime};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const GIB: f64 = (1024 * MIB) as f64;

/// Measurements of each cell; the table shows the least and the median.
const ROUNDS: usize = 7;

/// Bytes hashed in a measurement, by repetition where the data is smaller.
const HASHED: usize = 256 * MIB;

/// Seconds of CPU that this thread has used.
fn thread_cpu_s() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Least and median CPU-seconds per GiB of `run`, which hashes `bytes`.
fn cost(bytes: usize, mut run: impl FnMut()) -> (f64, f64) {
    let mut costs: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let before = thread_cpu_s();
            run();
            (thread_cpu_s() - before) / bytes as f64 * GIB
        })
        .collect();
    costs.sort_by(f64::total_cmp);
    (costs.first().copied().unwrap_or(0.0), costs.get(ROUNDS / 2).copied().unwrap_or(0.0))
}

/// Hashes `data` as messages of `message_len` bytes in segments of 16 KiB, a batch at a time.
fn hash<A: Algorithm>(kernel: &Kernel<A>, data: &[u8], message_len: usize, batch: usize) {
    for messages in data.chunks(message_len * batch) {
        let messages: Vec<Vec<&[u8]>> =
            messages.chunks(message_len).map(|m| m.chunks(16 * KIB).collect()).collect();
        let mut states = vec![State::<A>::new(); messages.len()];
        let mut jobs: Vec<_> = states
            .iter_mut()
            .zip(&messages)
            .map(|(state, segments)| Job { state, segments: segments.as_slice() })
            .collect();
        update_many_with(kernel, &mut jobs);
        for state in states {
            std::hint::black_box(state.finish());
        }
    }
}

fn kernel_rows<A: Algorithm>(algorithm: &str, data: &[u8]) {
    for kernel in Kernel::<A>::all_here() {
        let small = data.get(..512 * KIB).unwrap_or(data);
        let cached = cost(HASHED, || {
            for _ in 0..HASHED / small.len() {
                hash(kernel, small, 64 * KIB, 8);
            }
        });
        let uncached = cost(data.len(), || hash(kernel, data, 256 * KIB, 8));
        println!(
            "| {algorithm} | {} | {:.3} / {:.3} | {:.3} / {:.3} |",
            kernel.name(),
            cached.0,
            cached.1,
            uncached.0,
            uncached.1
        );
    }
}

/// What a batch of some number of equal pieces costs with the kernel chosen for it.
fn batch_row(data: &[u8], pieces: usize) {
    let data = data.get(..pieces * 256 * KIB).unwrap_or(data);
    let repeats = (HASHED / data.len()).max(1);
    let cost = cost(data.len() * repeats, || {
        for _ in 0..repeats {
            let mut states = vec![State::<Sha1>::new(); pieces];
            let segments: Vec<_> = data.chunks(256 * KIB).map(|piece| [piece]).collect();
            let mut jobs: Vec<_> = states
                .iter_mut()
                .zip(&segments)
                .map(|(state, segments)| Job { state, segments })
                .collect();
            update_many(&mut jobs);
        }
    });
    println!("| {pieces} | {:.3} / {:.3} |", cost.0, cost.1);
}

fn main() {
    let data: Vec<u8> = (0..=u8::MAX).cycle().take(HASHED).collect();
    println!("CPU-seconds per GiB, least / median of {ROUNDS}\n");
    println!("| algorithm | kernel | 512 KiB in cache | 256 MiB |\n|---|---|---|---|");
    kernel_rows::<Sha1>("SHA-1", &data);
    kernel_rows::<Sha256>("SHA-256", &data);
    println!("\n| SHA-1 pieces of 256 KiB at once | chosen kernel |\n|---|---|");
    for pieces in [1, 2, 3, 4, 5, 6, 8, 9, 16] {
        batch_row(&data, pieces);
    }
}
