//! Which messages share the lanes, and when they change.
//!
//! Each turn takes the first open jobs, one a lane, through as many rows as all of them have at hand.
//! While jobs wait, one that ends is replaced by the next. When the last are open (somewhat more than
//! there are lanes), those with the most bytes left go first, and the lanes are dealt again every
//! 16 KiB: so five equal jobs on four lanes end together, instead of one running alone at the end.

use std::cmp::Reverse;
use std::slice;

use crate::algorithm::{Algorithm, Sha1, Sha256};
use crate::kernel::{Kernel, MAX_LANES};
use crate::state::State;
use crate::{ROW_LEN, Row};

/// Rows after which the lanes are dealt again among the last jobs (16 KiB).
const ROWS_A_TURN: usize = 256;

/// The next bytes of one message.
#[derive(Debug)]
pub struct Job<'a, A: Algorithm, S = &'a [u8]> {
    /// The message so far, to which the bytes are added.
    pub state: &'a mut State<A>,
    /// The bytes, in order; any lengths, also none. Multiples of 64 bytes are fastest: the bytes on
    /// a seam within a row are compressed alone.
    pub segments: &'a [S],
}

/// The next bytes of a SHA-1 message.
pub type Sha1Job<'a, S = &'a [u8]> = Job<'a, Sha1, S>;

/// The next bytes of a SHA-256 message.
pub type Sha256Job<'a, S = &'a [u8]> = Job<'a, Sha256, S>;

/// Adds to any number of SHA-1 messages at once.
pub fn update_many_sha1<S: AsRef<[u8]>>(jobs: &mut [Sha1Job<'_, S>]) {
    update_many(jobs);
}

/// Adds to any number of SHA-256 messages at once.
pub fn update_many_sha256<S: AsRef<[u8]>>(jobs: &mut [Sha256Job<'_, S>]) {
    update_many(jobs);
}

/// Adds to any number of messages at once, by the best kernel of this processor.
pub fn update_many<A: Algorithm, S: AsRef<[u8]>>(jobs: &mut [Job<'_, A, S>]) {
    update_many_with(Kernel::chosen(), jobs);
}

/// As [`update_many`], by a kernel of the caller's choice (for tests and measurements).
pub fn update_many_with<A: Algorithm, S: AsRef<[u8]>>(
    kernel: &Kernel<A>,
    jobs: &mut [Job<'_, A, S>],
) {
    let window = 2 * kernel.lanes() - 1;
    let mut waiting = jobs.iter_mut();
    let mut open = Vec::with_capacity(window.min(waiting.len()));
    loop {
        while open.len() < window
            && let Some(job) = waiting.next()
        {
            open.extend(OpenJob::new(job));
        }
        if open.is_empty() {
            return;
        }
        let mut rows_max = usize::MAX;
        if waiting.len() == 0 && open.len() > kernel.lanes() {
            open.sort_unstable_by_key(|job| Reverse(job.left));
            rows_max = ROWS_A_TURN;
        }
        run_turn(kernel, &mut open, rows_max);
        open.retain(|job| !job.rows.is_empty());
    }
}

/// Takes the first jobs of `open`, at most one a lane, through rows that all of them have at hand.
fn run_turn<A: Algorithm, S: AsRef<[u8]>>(
    kernel: &Kernel<A>,
    open: &mut [OpenJob<'_, A, S>],
    rows_max: usize,
) {
    let lanes = open.len().min(kernel.lanes());
    let Some((running, _)) = open.split_at_mut_checked(lanes) else { return };
    let count = running.iter().map(|job| job.rows.len()).min().unwrap_or(0).min(rows_max);
    let mut words = [A::INITIAL; MAX_LANES];
    let mut rows: [&[Row]; MAX_LANES] = [&[]; MAX_LANES];
    for ((job, words), rows) in running.iter().zip(&mut words).zip(&mut rows) {
        *words = job.state.words();
        *rows = job.rows.get(..count).unwrap_or_default();
    }
    let (Some(in_words), Some(in_rows)) = (words.get_mut(..lanes), rows.get(..lanes)) else {
        return;
    };
    kernel.compress(in_words, in_rows);
    for (job, words) in running.iter_mut().zip(words) {
        job.take_rows(count, words);
    }
}

/// A job with whole rows at hand.
struct OpenJob<'j, A: Algorithm, S> {
    state: &'j mut State<A>,
    /// Empty when the job is done: what is left of it then waits in the state.
    rows: &'j [Row],
    /// What follows `rows` in the same segment, less than a row.
    tail: &'j [u8],
    segments: slice::Iter<'j, S>,
    /// Bytes of `rows`, `tail` and `segments`. Only an order of precedence.
    left: usize,
}

impl<'j, A: Algorithm, S: AsRef<[u8]>> OpenJob<'j, A, S> {
    /// Opens a job. A job without a whole row ends here.
    fn new(job: &'j mut Job<'_, A, S>) -> Option<Self> {
        let left = job.segments.iter().map(|segment| segment.as_ref().len()).sum();
        let segments = job.segments.iter();
        let mut open = Self { state: &mut *job.state, rows: &[], tail: &[], segments, left };
        open.find_rows();
        (!open.rows.is_empty()).then_some(open)
    }

    /// Notes that a kernel took the first `count` rows, and looks for more when none is left.
    fn take_rows(&mut self, count: usize, words: A::Words) {
        self.state.advance(words, count * ROW_LEN);
        self.left = self.left.saturating_sub(count * ROW_LEN);
        self.rows = self.rows.get(count..).unwrap_or_default();
        if self.rows.is_empty() {
            self.find_rows();
        }
    }

    /// Goes on to the next rows that can be compressed where they lie.
    fn find_rows(&mut self) {
        loop {
            self.state.buffer(&mut self.tail);
            let Some(segment) = self.segments.next() else { return };
            let mut bytes = segment.as_ref();
            if self.state.has_buffered() {
                self.state.buffer(&mut bytes);
            }
            (self.rows, self.tail) = bytes.as_chunks();
            if !self.rows.is_empty() {
                return;
            }
        }
    }
}
