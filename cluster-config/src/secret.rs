//! A value that is never shown.

use std::fmt;

use crate::value::{Raw, Value};

/// A password, token or key. It appears in no log, error or listing: whoever needs the text asks
/// for it by [`Secret::expose`].
///
/// For a key `k` of this type there is also `k_file`: the path of a file that holds the secret
/// (its line end is dropped).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` as a secret.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself, for the one place that has to send or compare it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether no secret was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Value for Secret {
    const IS_SECRET: bool = true;

    fn expects() -> String {
        "a text (or give the path of a file that holds it, by the key with _file behind it)"
            .to_owned()
    }

    fn read(raw: &Raw<'_>) -> Option<Self> {
        raw.text().map(|text| Self(text.to_owned()))
    }

    fn to_toml(&self) -> String {
        if self.is_empty() { "\"\"".to_owned() } else { "\"<secret>\"".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_never_shown() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(
            format!("{secret} {secret:?} {}", secret.to_toml()),
            "<secret> <secret> \"<secret>\""
        );
        assert_eq!(secret.expose(), "hunter2");
    }
}
