//! The compression functions and the tables from which one is chosen at run time.
//!
//! To add a kernel: write `unsafe fn(&mut [Words], &[&[Row]])` for each number of lanes in a module
//! of its own, raise [`MAX_LANES`] where needed, and put an entry in front of the table. The tests run
//! every entry that the processor has against the crates. There is no AVX-512 kernel (16 lanes) yet:
//! none is put in that was not run and measured on a processor that has it.
#![expect(unsafe_code, reason = "functions with a target feature can only be called as unsafe")]

#[cfg(target_arch = "x86_64")]
mod sha1_ni;
#[cfg(target_arch = "x86_64")]
mod sha256_ni;

use std::fmt;

use crate::Row;
use crate::algorithm::{Algorithm, Sha1, Sha256};

/// The most messages that any kernel takes at once.
pub const MAX_LANES: usize = 4;

/// Takes each lane's midstate through that lane's rows. `words` and `rows` are of one length, the
/// number of lanes for which the function was written, and all lanes have the same number of rows.
///
/// # Safety
///
/// The processor must have the target features of the function.
type Compress<W> = unsafe fn(words: &mut [W], rows: &[&[Row]]);

/// A way to compress up to some number of lanes at once.
pub struct Kernel<A: Algorithm> {
    name: &'static str,
    /// For one lane, two, and so on.
    by_lanes: &'static [Compress<A::Words>],
    /// Whether the processor has the features of every function of `by_lanes`.
    runs_here: fn() -> bool,
}

impl<A: Algorithm> Kernel<A> {
    /// The kernel that is used unless another is asked for: the best that runs here.
    #[must_use]
    pub fn chosen() -> &'static Self {
        Self::all_here().next().unwrap_or_else(Self::single)
    }

    /// Every kernel that runs on this processor, the best first, the crate's last.
    pub fn all_here() -> impl Iterator<Item = &'static Self> {
        A::kernels().iter().filter(|kernel| (kernel.runs_here)())
    }

    /// The crate's kernel: one lane, on any processor.
    #[expect(clippy::expect_used, reason = "both tables below end with the crate's kernel")]
    pub(crate) fn single() -> &'static Self {
        A::kernels().last().expect("a table has the crate's kernel")
    }

    /// For logs and tables, such as `sha-ni x4` or `crate`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The most messages that it takes at once.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.by_lanes.len()
    }

    /// Takes each lane's midstate through that lane's rows.
    pub(crate) fn compress(&self, words: &mut [A::Words], rows: &[&[Row]]) {
        assert!(words.len() == rows.len(), "a lane has a midstate and rows");
        assert!(rows.windows(2).all(|pair| matches!(pair, [a, b] if a.len() == b.len())));
        let function = words.len().checked_sub(1).and_then(|index| self.by_lanes.get(index));
        match function {
            // SAFETY: `runs_here` says that the processor has the features of all of `by_lanes`.
            Some(function) if (self.runs_here)() => unsafe { function(words, rows) },
            Some(_) | None => {
                for (words, rows) in words.chunks_mut(1).zip(rows.chunks(1)) {
                    Self::single().compress(words, rows);
                }
            }
        }
    }
}

impl<A: Algorithm> fmt::Debug for Kernel<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kernel").field(&self.name).finish()
    }
}

/// What was chosen for SHA-1 on this processor, for logs. See [`Kernel::chosen`] for SHA-256.
#[must_use]
pub fn kernel() -> &'static str {
    Kernel::<Sha1>::chosen().name()
}

/// SHA-1, the best first. A single lane is always the crate's: an own one is not faster.
pub(crate) static SHA1_KERNELS: &[Kernel<Sha1>] = &[
    #[cfg(target_arch = "x86_64")]
    Kernel {
        name: "sha-ni x4",
        by_lanes: &[
            sha1_crate,
            sha1_ni::compress::<2>,
            sha1_ni::compress::<3>,
            sha1_ni::compress::<4>,
        ],
        runs_here: has_sha_ni,
    },
    #[cfg(target_arch = "x86_64")]
    Kernel {
        name: "sha-ni x3",
        by_lanes: &[sha1_crate, sha1_ni::compress::<2>, sha1_ni::compress::<3>],
        runs_here: has_sha_ni,
    },
    #[cfg(target_arch = "x86_64")]
    Kernel {
        name: "sha-ni x2",
        by_lanes: &[sha1_crate, sha1_ni::compress::<2>],
        runs_here: has_sha_ni,
    },
    Kernel { name: "crate", by_lanes: &[sha1_crate], runs_here: || true },
];

/// SHA-256, the best first. Four lanes were measured to be slower than three.
pub(crate) static SHA256_KERNELS: &[Kernel<Sha256>] = &[
    #[cfg(target_arch = "x86_64")]
    Kernel {
        name: "sha-ni x3",
        by_lanes: &[sha256_crate, sha256_ni::compress::<2>, sha256_ni::compress::<3>],
        runs_here: has_sha_ni,
    },
    #[cfg(target_arch = "x86_64")]
    Kernel {
        name: "sha-ni x2",
        by_lanes: &[sha256_crate, sha256_ni::compress::<2>],
        runs_here: has_sha_ni,
    },
    Kernel { name: "crate", by_lanes: &[sha256_crate], runs_here: || true },
];

#[cfg(target_arch = "x86_64")]
fn has_sha_ni() -> bool {
    is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1")
}

fn sha1_crate(words: &mut [[u32; 5]], rows: &[&[Row]]) {
    for (words, rows) in words.iter_mut().zip(rows) {
        sha1::block_api::compress(words, rows);
    }
}

fn sha256_crate(words: &mut [[u32; 8]], rows: &[&[Row]]) {
    for (words, rows) in words.iter_mut().zip(rows) {
        sha2::block_api::compress256(words, rows);
    }
}
