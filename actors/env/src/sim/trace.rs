//! The trace of a world: a line for each event, and the hash over them that tells runs apart.

use std::fmt;
use std::io::Write;

use bittorrent::Time;
use sha2::{Digest, Sha256};

/// Lines are hashed and written out in parts of this size.
const PART_LEN: usize = 64 * 1024;

/// The trace.
#[derive(Default)]
pub(super) struct Trace {
    /// Lines that are not in `hash` yet.
    text: String,
    hash: Sha256,
    lines: Option<Vec<String>>,
    out: Option<Box<dyn Write + Send>>,
}

impl Trace {
    /// Adds a line: the moment, then what happened.
    pub(super) fn line(&mut self, now: Time, what: fmt::Arguments<'_>) {
        let begin = self.text.len();
        // A string takes all that is written to it.
        let _ = fmt::Write::write_fmt(&mut self.text, format_args!("{} {what}\n", now.as_nanos()));
        if let Some(lines) = &mut self.lines {
            lines.extend(self.text.get(begin..).map(str::to_owned));
        }
        if self.text.len() >= PART_LEN {
            self.take_in();
        }
    }

    /// Keeps the lines from here on.
    pub(super) fn keep(&mut self) {
        self.lines.get_or_insert_default();
    }

    /// The kept lines.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.clone().unwrap_or_default()
    }

    /// Writes the lines from here on to `out`.
    pub(super) fn write_to(&mut self, out: Box<dyn Write + Send>) {
        self.flush();
        self.out = Some(out);
    }

    /// SHA-256 over all lines; what is written out is complete up to here.
    pub(super) fn hash(&mut self) -> [u8; 32] {
        self.flush();
        self.hash.clone().finalize().into()
    }

    fn flush(&mut self) {
        self.take_in();
        if let Some(out) = &mut self.out
            && let Err(error) = out.flush()
        {
            self.give_up(&error);
        }
    }

    fn take_in(&mut self) {
        self.hash.update(&self.text);
        if let Some(out) = &mut self.out
            && let Err(error) = out.write_all(self.text.as_bytes())
        {
            self.give_up(&error);
        }
        self.text.clear();
    }

    /// A full disk of the one who looks on does not change the simulation.
    fn give_up(&mut self, error: &std::io::Error) {
        tracing::warn!(%error, "the trace is no longer written");
        self.out = None;
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.flush();
    }
}

/// A checksum for the trace and for finding equal pages: it tells contents apart without holding them,
/// is the same on every machine, and is no protection against people.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    // Four sums, so that the processor need not wait for one product before it begins the next.
    let mut sums = [
        0x9e37_79b9_7f4a_7c15_u64,
        0xbf58_476d_1ce4_e5b9,
        0x94d0_49bb_1331_11eb,
        0xd6e8_feb8_6659_fd93,
    ];
    let (blocks, rest) = bytes.as_chunks::<32>();
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum = mix(*sum, u64::from_le_bytes(*word));
        }
    }
    let (words, rest) = rest.as_chunks::<8>();
    for (sum, word) in sums.iter_mut().zip(words) {
        *sum = mix(*sum, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let sum = sums.into_iter().fold(bytes.len() as u64, mix);
    mix(sum, u64::from_le_bytes(last))
}

/// Takes a word into a sum: both halves of a product, so that each bit of the word tells on many.
pub(super) fn mix(sum: u64, word: u64) -> u64 {
    let (low, high) = (sum ^ word).carrying_mul(0x9fb2_1c65_1e98_df25, 0);
    low ^ high
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_checksum_sees_every_bit_and_the_length() {
        let bytes: Vec<u8> = (1..=100).collect();
        let mut sums = BTreeSet::new();
        for bit in 0..800 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(sums.insert(checksum(&flipped)), "bit {bit}");
        }
        for length in 0..=100 {
            assert!(sums.insert(checksum(&bytes[..length])), "length {length}");
            assert!(length == 0 || sums.insert(checksum(&vec![0; length])), "{length} zeros");
        }
    }

    #[test]
    fn a_checksum_is_the_same_on_every_machine() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        assert_eq!(checksum(&bytes), 2_710_869_965_964_732_563);
        assert_eq!(checksum(b""), 605_206_070_917_963_755);
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_hashed_kept_and_written_alike() {
        let (mut trace, out) = (Trace::default(), Shared::default());
        trace.line(Time::ZERO, format_args!("before"));
        trace.keep();
        trace.write_to(Box::new(out.clone()));
        for number in 0..20_000_u64 {
            trace.line(Time::from_nanos(number), format_args!("line {number}"));
        }
        let expected: [u8; 32] = Sha256::new()
            .chain_update("0 before\n")
            .chain_update(trace.lines().concat())
            .finalize()
            .into();
        assert_eq!(trace.hash(), expected);
        assert_eq!(
            String::from_utf8(out.0.lock().unwrap().clone()).unwrap(),
            trace.lines().concat()
        );
    }
}
