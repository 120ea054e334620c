//! Where values come from: files, environment and flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// The file that holds for the whole machine.
const SYSTEM_FILE: &str = "/etc/torrentedge/config.toml";

/// Where it is, below the user's configuration directory.
const USER_FILE: &str = "torrentedge/config.toml";

/// What was given to a program to configure it: files to read, environment and flags.
///
/// Nothing is read before [`Config::load`](crate::Config::load).
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub(crate) files: Vec<SourceFile>,
    pub(crate) environment: BTreeMap<OsString, OsString>,
    pub(crate) flags: Vec<Flag>,
}

/// A file that may or must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    pub(crate) must_exist: bool,
}

/// A value from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The flag as the user wrote it, as in `--port`.
    pub name: String,
    /// The key that it sets, as in `engine.network.listen_port`.
    pub key: String,
    /// Its value, in the same form as in a variable.
    pub value: String,
}

impl Flag {
    /// The flag `name` sets `key` to `value`.
    pub fn new(name: impl Into<String>, key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), key: key.into(), value: value.into() }
    }
}

impl Sources {
    /// The usual sources: the system's file, the user's file, and the environment, which is handed
    /// in (a program gives `std::env::vars_os()`).
    ///
    /// The user's file is `$XDG_CONFIG_HOME/torrentedge/config.toml`, or
    /// `$HOME/.config/torrentedge/config.toml`.
    pub fn standard<K, V>(environment: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let mut sources = Self::bare(environment);
        sources.files.push(SourceFile { path: SYSTEM_FILE.into(), must_exist: false });
        let user = sources
            .directory("XDG_CONFIG_HOME")
            .or_else(|| sources.home().map(|home| home.join(".config")));
        if let Some(directory) = user {
            let path = directory.join(USER_FILE);
            sources.files.push(SourceFile { path, must_exist: false });
        }
        sources
    }

    /// The environment alone, without the system's and the user's file.
    pub fn bare<K, V>(environment: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let environment =
            environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { files: Vec::new(), environment, flags: Vec::new() }
    }

    /// Adds the file of `--config`, which must exist and is stronger than those before it.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(SourceFile { path: path.into(), must_exist: true });
        self
    }

    /// Adds flags, which are stronger than all else; a later flag is stronger than an earlier one.
    #[must_use]
    pub fn with_flags(mut self, flags: impl IntoIterator<Item = Flag>) -> Self {
        self.flags.extend(flags);
        self
    }

    /// The user's home directory.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.directory("HOME")
    }

    /// An absolute directory named by a variable; a relative one is ignored, as the XDG base
    /// directory specification asks.
    pub(crate) fn directory(&self, variable: &str) -> Option<PathBuf> {
        self.environment
            .get(std::ffi::OsStr::new(variable))
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    }
}

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is the default.
    Default,
    /// In a file.
    File {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The column of that line in characters, from 1.
        column: usize,
    },
    /// In a variable of the environment.
    Variable {
        /// Its name.
        name: String,
    },
    /// On the command line.
    Flag {
        /// The flag.
        name: String,
    },
}

impl Origin {
    pub(crate) fn file(path: &Path, (line, column): (usize, usize)) -> Self {
        Self::File { path: path.to_owned(), line, column }
    }

    pub(crate) fn variable(name: &str) -> Self {
        Self::Variable { name: name.to_owned() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => {
                write!(f, "{}:{line}:{column}", path.display())
            }
            Self::Variable { name } => write!(f, "variable {name}"),
            Self::Flag { name } => write!(f, "flag {name}"),
        }
    }
}

/// Of each key that was given, where its value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins(pub(crate) BTreeMap<String, Origin>);

impl Origins {
    /// Where the value of `key` comes from; [`Origin::Default`] where nothing gave it.
    #[must_use]
    pub fn of(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    /// The keys that were given, by path.
    pub fn given(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.0.iter().map(|(key, origin)| (key.as_str(), origin))
    }
}
