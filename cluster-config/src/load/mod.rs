//! Merges the sources into a configuration and remembers where each value came from.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{ConfigError, Problem};
use crate::section::{KeyInfo, Section};
use crate::source::{Origin, Origins, Sources};
use crate::suggestion::nearest;
use crate::value::Raw;

/// What the names of our variables begin with.
const VARIABLE_PREFIX: &str = "TORRENTEDGE__";

/// The largest configuration file that is read, in bytes.
const FILE_LEN_MAX: u64 = 1 << 20;

/// The largest file of a secret that is read, in bytes.
const SECRET_LEN_MAX: u64 = 64 << 10;

/// What a key has behind it where it names the file of a secret.
const FILE_SUFFIX: &str = "_file";

/// How much of a wrong value an error shows, in characters.
const SHOWN_LEN_MAX: usize = 80;

/// Merges `sources` into the keys of `S`.
///
/// # Errors
///
/// All that is wrong, at once.
pub(crate) fn load<S: Section>(sources: &Sources) -> Result<(S, Origins), ConfigError> {
    let mut loader = Loader::<S>::new();
    for file in &sources.files {
        match read_text(&file.path, FILE_LEN_MAX) {
            Ok(text) => loader.add_file(&file.path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !file.must_exist => {}
            Err(error) => loader.problems.push(Problem::Unreadable {
                path: file.path.display().to_string(),
                reason: error.to_string(),
            }),
        }
    }
    for (name, value) in &sources.environment {
        loader.add_variable(name, value);
    }
    for flag in &sources.flags {
        let origin = Origin::Flag { name: flag.name.clone() };
        loader.add(&flag.key, &Raw::Text(&flag.value), &flag.value, origin);
    }
    if loader.problems.is_empty() {
        Ok((loader.values, loader.origins))
    } else {
        Err(ConfigError { problems: loader.problems })
    }
}

/// The whole of a text file of at most `len_max` bytes.
fn read_text(path: &Path, len_max: u64) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(len_max.saturating_add(1)).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > len_max {
        return Err(std::io::Error::other(format!("longer than {len_max} bytes")));
    }
    Ok(text)
}

struct Loader<S> {
    keys: Vec<KeyInfo>,
    sections: Vec<String>,
    values: S,
    origins: Origins,
    problems: Vec<Problem>,
}

impl<S: Section> Loader<S> {
    fn new() -> Self {
        let (mut keys, mut sections) = (Vec::new(), Vec::new());
        S::describe("", &mut keys);
        S::describe_sections("", &mut sections);
        Self {
            keys,
            sections: sections.into_iter().map(|(path, _)| path).collect(),
            values: S::default(),
            origins: Origins::default(),
            problems: Vec::new(),
        }
    }

    fn add_file(&mut self, path: &Path, text: &str) {
        match DeTable::parse(text) {
            Ok(table) => self.add_table(&FileText { path, text }, "", table.get_ref()),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                let origin = Origin::file(path, position(text, at));
                self.problems.push(Problem::Syntax { origin, reason: error.message().to_owned() });
            }
        }
    }

    /// Takes the keys of a table. The parser bounds how deep tables nest, so this recursion is bounded.
    fn add_table(&mut self, file: &FileText<'_>, prefix: &str, table: &DeTable<'_>) {
        // The table is ordered by name; problems are told in the order of the file.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let path = crate::section::join(prefix, key.get_ref());
            let origin = Origin::file(file.path, position(file.text, key.span().start));
            match value.get_ref() {
                DeValue::Table(inner) if self.sections.contains(&path) => {
                    self.add_table(file, &path, inner);
                }
                _ if self.sections.contains(&path) => self.problems.push(Problem::WrongValue {
                    origin,
                    value: shown(file.slice(value)),
                    expects: format!("a section, [{path}]"),
                    key: path,
                }),
                DeValue::Table(_) if self.find(&path).is_none() => {
                    self.unknown(path, origin);
                }
                inner => self.add(&path, &raw(inner), file.slice(value), origin),
            }
        }
    }

    fn add_variable(&mut self, name: &OsStr, value: &OsStr) {
        let name = name.to_string_lossy();
        let Some(rest) = name.strip_prefix(VARIABLE_PREFIX) else { return };
        let path = rest.split("__").map(str::to_ascii_lowercase).collect::<Vec<_>>().join(".");
        let origin = Origin::variable(&name);
        match value.to_str() {
            Some(text) => self.add(&path, &Raw::Text(text), text, origin),
            None => self.problems.push(Problem::WrongValue {
                origin,
                key: path,
                value: "<bytes>".to_owned(),
                expects: "text in UTF-8".to_owned(),
            }),
        }
    }

    /// Takes one value, `given` as it was written.
    fn add(&mut self, path: &str, raw: &Raw<'_>, given: &str, origin: Origin) {
        let Some((key, is_file)) = self.find(path) else {
            return self.unknown(path.to_owned(), origin);
        };
        let (key, is_secret) = (key.path.clone(), key.is_secret);
        if is_file {
            return self.add_secret_file(&key, path, raw, origin);
        }
        let segments: Vec<&str> = key.split('.').collect();
        match self.values.set(&segments, raw) {
            Ok(true) => drop(self.origins.0.insert(key, origin)),
            Ok(false) => self.unknown(key, origin),
            Err(expects) => {
                let value = if is_secret { "<secret>".to_owned() } else { shown(given) };
                self.problems.push(Problem::WrongValue { origin, key, value, expects });
            }
        }
    }

    fn add_secret_file(&mut self, key: &str, file_key: &str, raw: &Raw<'_>, origin: Origin) {
        let file = raw.text().unwrap_or_default();
        match read_text(Path::new(file), SECRET_LEN_MAX) {
            Ok(text) => self.add(key, &Raw::Text(text.trim_end_matches(['\r', '\n'])), "", origin),
            Err(error) => self.problems.push(Problem::UnreadableSecret {
                origin,
                key: file_key.to_owned(),
                path: file.to_owned(),
                reason: error.to_string(),
            }),
        }
    }

    /// The key at `path`, and whether `path` names the file of its secret.
    fn find(&self, path: &str) -> Option<(&KeyInfo, bool)> {
        if let Some(key) = self.keys.iter().find(|key| key.path == path) {
            return Some((key, false));
        }
        let stem = path.strip_suffix(FILE_SUFFIX)?;
        self.keys.iter().find(|key| key.is_secret && key.path == stem).map(|key| (key, true))
    }

    fn unknown(&mut self, key: String, origin: Origin) {
        let known = self.keys.iter().map(|key| key.path.as_str());
        let known = known.chain(self.sections.iter().map(String::as_str));
        let suggestion = nearest(&key, known).map(str::to_owned);
        self.problems.push(Problem::UnknownKey { origin, key, suggestion });
    }
}

/// A file with its text, in which values have their places.
struct FileText<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> FileText<'a> {
    /// The value as it was written; a table has no such place, since its keys may be scattered.
    fn slice(&self, value: &Spanned<DeValue<'_>>) -> &'a str {
        let written = if value.get_ref().is_table() { None } else { self.text.get(value.span()) };
        written.unwrap_or("a table")
    }
}

fn raw<'a>(value: &'a DeValue<'_>) -> Raw<'a> {
    match value {
        DeValue::String(text) => Raw::String(text),
        DeValue::Integer(integer) => Raw::Integer(integer.as_str(), integer.radix()),
        DeValue::Float(float) => Raw::Float(float.as_str()),
        DeValue::Boolean(boolean) => Raw::Boolean(*boolean),
        DeValue::Array(array) => Raw::List(array.iter().map(|one| raw(one.get_ref())).collect()),
        DeValue::Datetime(_) | DeValue::Table(_) => Raw::Other,
    }
}

/// Line and column of a byte of `text`, both from 1, the column in characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
    let column = before.get(line_start..).unwrap_or_default().chars().count();
    (before.matches('\n').count().saturating_add(1), column.saturating_add(1))
}

/// A value as an error shows it: one line, not too long.
fn shown(given: &str) -> String {
    let mut line: String = given.escape_debug().take(SHOWN_LEN_MAX).collect();
    if line.len() < given.len() && given.chars().count() > SHOWN_LEN_MAX {
        line.push('…');
    }
    line.replace("\\\"", "\"").replace("\\'", "'")
}

#[cfg(test)]
mod tests;
