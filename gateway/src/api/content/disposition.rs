//! The `Content-Disposition` header (RFC 6266, RFC 8187) for names that a stranger chose.

use std::fmt::Write;

/// Bytes of a name at most, as most file systems have it.
const NAME_LEN_MAX: usize = 255;

/// The value for the last part of `path`.
pub(super) fn header(path: &str, is_shown: bool) -> String {
    let name = clean(path);
    let plain: String =
        name.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    let kind = if is_shown { "inline" } else { "attachment" };
    let mut value = format!("{kind}; filename=\"{plain}\"");
    if plain != name {
        value.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
                value.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(value, "%{byte:02X}");
            }
        }
    }
    value
}

/// Whether a letter may stand in a quoted string and means itself to every client; `%` does not.
const fn is_plain(letter: char) -> bool {
    matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\' | '%')
}

/// The last part of a path without what deceives: letters that nobody sees or that turn the direction of
/// writing, and names that are no names.
fn clean(path: &str) -> String {
    let last = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut name = String::new();
    for letter in last.chars().filter(|letter| !letter.is_control() && !turns(*letter)) {
        if name.len() + letter.len_utf8() > NAME_LEN_MAX {
            break;
        }
        name.push(letter);
    }
    let name = name.trim();
    if name.is_empty() || name == "." || name == ".." { "file".to_owned() } else { name.to_owned() }
}

const fn turns(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(path: &str, expected: &str) {
        assert_eq!(header(path, false), expected, "{path}");
    }

    #[test]
    fn names_the_last_part() {
        check("disc/01 - song.flac", r#"attachment; filename="01 - song.flac""#);
        check("a\\b.bin", r#"attachment; filename="b.bin""#);
        assert_eq!(header("x.mp4", true), r#"inline; filename="x.mp4""#);
    }

    #[test]
    fn letters_beyond_ascii_are_encoded_beside_a_plain_name() {
        check("naïve.txt", "attachment; filename=\"na_ve.txt\"; filename*=UTF-8''na%C3%AFve.txt");
    }

    #[test]
    fn nothing_leaves_the_quotes() {
        check(
            "a\"; filename=evil.exe",
            "attachment; filename=\"a_; filename=evil.exe\"; filename*=UTF-8''a%22%3B%20filename%3Devil.exe",
        );
        check("a\r\nSet-Cookie: b", r#"attachment; filename="aSet-Cookie: b""#);
        check("photo\u{202e}gpj.exe", r#"attachment; filename="photogpj.exe""#);
    }

    #[test]
    fn a_name_that_is_none_becomes_one() {
        for path in ["", "a/", "..", "a/..", "\u{0}", "\u{202e} "] {
            check(path, r#"attachment; filename="file""#);
        }
    }

    proptest! {
        #[test]
        fn every_name_gives_a_header(path: String) {
            let value = header(&path, true);
            prop_assert!(warp::http::HeaderValue::try_from(&value).is_ok());
            prop_assert_eq!(value.matches('"').count(), 2);
            prop_assert!(value.len() < 100 + 4 * NAME_LEN_MAX);
        }
    }
}
