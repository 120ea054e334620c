//! What a tracker wrote (BEP 3), made safe to be shown and logged.

/// The longest text of a tracker that is kept, in characters.
pub const SHOWN_MAX: usize = 256;

/// The text that `bytes` hold: bad UTF-8 replaced, what could move the cursor, break a line or turn
/// the writing direction escaped, cut to [`SHOWN_MAX`] characters.
#[must_use]
pub fn shown_text(bytes: &[u8]) -> String {
    // A character has at most four bytes, so the rest would be cut anyhow.
    let head = bytes.get(..4 * SHOWN_MAX).unwrap_or(bytes);
    let mut shown = String::new();
    let mut room = SHOWN_MAX;
    for letter in String::from_utf8_lossy(head).chars() {
        let escaped = letter.escape_unicode();
        let length = if is_harmless(letter) { 1 } else { escaped.len() };
        let Some(left) = room.checked_sub(length) else { break };
        room = left;
        if is_harmless(letter) {
            shown.push(letter);
        } else {
            shown.extend(escaped);
        }
    }
    shown
}

/// Whether a character stays where it is put: no control character, line or paragraph separator,
/// mark of writing direction or invisible joint.
fn is_harmless(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        && !matches!(letter, '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_kept_and_what_moves_is_escaped() {
        assert_eq!(shown_text("Torrent nicht gefunden: ä".as_bytes()), "Torrent nicht gefunden: ä");
        assert_eq!(shown_text(b"a\r\nb\x1b[2J"), "a\\u{d}\\u{a}b\\u{1b}[2J");
        assert_eq!(shown_text("x\u{202e}y".as_bytes()), "x\\u{202e}y");
        assert_eq!(shown_text(b"\xff\xfe ok"), "\u{fffd}\u{fffd} ok");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(shown_text(&[b'a'; 100_000]).len(), SHOWN_MAX);
        assert_eq!(shown_text("€".repeat(1000).as_bytes()).chars().count(), SHOWN_MAX);
        assert!(shown_text(&[0; 1000]).len() <= SHOWN_MAX);
    }

    proptest! {
        #[test]
        fn shows_any_bytes_within_the_limit(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let shown = shown_text(&bytes);
            prop_assert!(shown.chars().count() <= SHOWN_MAX);
            prop_assert!(shown.chars().all(is_harmless));
        }
    }
}
