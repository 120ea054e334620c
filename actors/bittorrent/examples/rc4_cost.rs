//! What RC4 costs, measured: `cargo run --release -p bittorrent --example rc4_cost`.
//!
//! Prints nanoseconds a byte and seconds a GiB for one direction, in buffers of 16 KiB and 256 KiB:
//! on average and in the best slice, which other work on the machine did not disturb.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement, by hand"
)]

use std::time::{Duration, Instant};

use bittorrent::encryption::Rc4;

const BYTES: usize = 512 << 20;
const GIB: f64 = (1 << 30) as f64;

fn main() {
    for length in [16 << 10, 256 << 10] {
        let mut cipher = Rc4::new(&[7; 20]);
        let mut buf = vec![0; length];
        let (mut total, mut best) = (Duration::ZERO, Duration::MAX);
        for _ in 0..BYTES / length {
            let start = Instant::now();
            cipher.apply(&mut buf);
            let slice = start.elapsed();
            total += slice;
            best = best.min(slice);
        }
        let average = total.as_secs_f64() / BYTES as f64;
        let best = best.as_secs_f64() / length as f64;
        for (what, cost) in [("average", average), ("best", best)] {
            let (ns, seconds) = (cost * 1e9, cost * GIB);
            println!("{:>3} KiB, {what:<7}: {ns:.2} ns/byte, {seconds:.2} s/GiB", length >> 10);
        }
    }
}
