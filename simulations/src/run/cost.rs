//! What the process has used so far, as the kernel says.

use std::fs;

/// Ticks of the kernel's CPU accounting in a second, on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// CPU-seconds of this process, user and system; 0 where the kernel does not say.
pub(super) fn cpu_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in brackets may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_S
}

/// Resident memory of this process in MiB: now, and at its peak.
pub(super) fn rss_mib() -> (f64, f64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or(0.0) / 1024.0
    };
    (of("VmRSS:"), of("VmHWM:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_something() {
        let mut sum = 0_u64;
        while cpu_s() <= 0.0 {
            sum = (0..1_000_000).fold(sum, u64::wrapping_add);
        }
        let (now, peak) = rss_mib();
        assert!(now > 0.0 && peak >= now, "{now} {peak} {sum}");
    }
}
