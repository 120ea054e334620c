//! Numbers of variable length: seven bits a byte, the lowest first (LEB128), and bytes to read them from.

/// Writes a number, in as few bytes as it needs.
pub(super) fn write(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Small numbers for those near zero, of either sign.
pub(super) const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

/// The number that became this one by [`zigzag`].
pub(super) const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Bytes that are read from the front.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// A number in its shortest form; `None` for another form, beyond 64 bits, or at the end.
    pub(super) fn leb128(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return (byte != 0 || shift == 0).then_some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_shortest_form_is_read() {
        assert_eq!(Reader::new(&[0x80, 0x01]).leb128(), Some(128));
        assert_eq!(Reader::new(&[0x81, 0x00]).leb128(), None);
        assert_eq!(Reader::new(&[0x80]).leb128(), None);
        assert_eq!(Reader::new(&[0xff; 11]).leb128(), None);
        let mut most = [0xff; 10];
        most[9] = 1;
        assert_eq!(Reader::new(&most).leb128(), Some(u64::MAX));
        most[9] = 2;
        assert_eq!(Reader::new(&most).leb128(), None);
    }

    proptest! {
        #[test]
        fn round_trips(number: i64) {
            let mut out = Vec::new();
            write(&mut out, zigzag(number));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.leb128().map(unzigzag), Some(number));
            prop_assert!(reader.is_at_end());
        }
    }
}
