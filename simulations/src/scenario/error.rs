//! Why a scenario or a repro is refused: the file, the line, and what was expected.

use std::ops::Range;

/// What is wrong with a scenario or a repro.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// Its file cannot be read.
    #[error("{file}: cannot read the scenario: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why, in the system's words.
        reason: String,
    },
    /// Something in it is wrong.
    #[error("{file}:{line}: {what}")]
    Wrong {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what was expected.
        what: String,
    },
    /// No built-in scenario has this name, and it is no path of a `.toml` file.
    #[error(
        "there is no scenario {name}{suggestion}; expected the path of a .toml file or one of {known}"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// Which one was probably meant; may be empty.
        suggestion: String,
        /// The names of all.
        known: String,
    },
}

/// The text of a file, in which a refusal finds its line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    /// The file, as a refusal names it.
    pub(crate) file: &'a str,
    /// All of it.
    pub(crate) text: &'a str,
}

impl Source<'_> {
    /// A refusal of what stands at `span`.
    pub(crate) fn wrong(&self, span: Range<usize>, what: impl Into<String>) -> ScenarioError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count().saturating_add(1);
        self.wrong_line(line, what)
    }

    /// A refusal of what stands in a line.
    pub(crate) fn wrong_line(&self, line: usize, what: impl Into<String>) -> ScenarioError {
        ScenarioError::Wrong { file: self.file.to_owned(), line, what: what.into() }
    }

    /// What the parser refused.
    pub(crate) fn wrong_toml(&self, error: &toml::de::Error) -> ScenarioError {
        let span = error.span().unwrap_or(0..0);
        self.wrong(span, explained(error.message()))
    }
}

/// The parser's message, with the nearest known word where a word is unknown.
fn explained(message: &str) -> String {
    for (begin, what) in [("unknown field `", "key"), ("unknown variant `", "word")] {
        let Some((word, rest)) = message.strip_prefix(begin).and_then(|rest| rest.split_once('`'))
        else {
            continue;
        };
        // What is expected stands in back quotes, so every second part is a word.
        let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        let suggestion = did_you_mean(word, known.iter().copied());
        return format!("unknown {what} {word}{suggestion}; expected one of {}", known.join(", "));
    }
    message.replace('`', "").trim_end().to_owned()
}

/// `, did you mean X?` for the known word that is nearest to an unknown one, if any is near.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        // A third of the letters may be wrong.
        .filter(|(distance, name)| distance * 3 <= word.len().max(name.len()))
        .min_by_key(|(distance, _)| *distance);
    nearest.map(|(_, name)| format!(", did you mean {name}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_line_of_its_place() {
        let source = Source { file: "a.toml", text: "x = 1\ny = 2\n" };
        assert_eq!(source.wrong(6..7, "no y").to_string(), "a.toml:2: no y");
        assert_eq!(source.wrong(0..1, "no x").to_string(), "a.toml:1: no x");
        assert_eq!(source.wrong(99..100, "beyond").to_string(), "a.toml:3: beyond");
    }

    #[test]
    fn an_unknown_word_is_explained_by_the_nearest() {
        assert_eq!(
            explained("unknown field `pice_length`, expected one of `size`, `piece_length`"),
            "unknown key pice_length, did you mean piece_length?; \
             expected one of size, piece_length"
        );
        assert_eq!(
            explained("unknown variant `seed`, expected `engine` or `liar`"),
            "unknown word seed; expected one of engine, liar"
        );
        assert_eq!(explained("missing field `name`"), "missing field name");
    }
}
