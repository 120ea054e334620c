//! `torrentedge bencode-check`: whether standard input is canonical bencode (BEP 3).

use bittorrent::bencode::{self, Limits};
use bittorrent::metainfo::METAINFO_MAX;

use crate::failure::Failure;
use crate::output;

/// Reads standard input and says whether it is one canonical value.
///
/// # Errors
///
/// It is not, or cannot be read.
pub(crate) fn run() -> Result<(), Failure> {
    let bytes = output::read_limited(std::io::stdin().lock())
        .map_err(|error| Failure::failed(format_args!("cannot read standard input: {error}")))?;
    let bytes = bytes.ok_or_else(|| {
        Failure::failed(format_args!(
            "standard input is longer than {METAINFO_MAX} bytes, more are not read"
        ))
    })?;
    check(&bytes)?;
    output::print("canonical bencode\n")
}

fn check(bytes: &[u8]) -> Result<(), Failure> {
    match bencode::parse(bytes, Limits::METAINFO) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::failed(format_args!("not canonical bencode: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn says_what_is_wrong_and_where() {
        check(b"d1:ai1e1:bli-2eee").unwrap();
        let refused = |bytes: &[u8]| check(bytes).unwrap_err().to_string();
        assert!(refused(b"i01e").contains("at byte"));
        assert!(refused(b"").contains("at byte 0"));
        assert!(refused(b"i1ei1e").contains("more bytes behind the end at byte 3"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = check(&bytes);
        }

        #[test]
        fn nothing_like_bencode_panics(bytes in "[dlie0-9:-]{0,60}") {
            let _ = check(bytes.as_bytes());
        }
    }
}
