//! `[node]`: this node.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::section::section;
use crate::value::{Raw, Value};

/// The longest name of a node in bytes: it is a DNS label, so that a certificate can carry it.
const NAME_LEN_MAX: usize = 63;

section! {
    /// This node.
    pub struct NodeConfig {
        keys {
            /// The name of this node: it must differ from those of all others in the cluster, and stay
            /// the same when the node is started again.
            name: NodeName = NodeName("torrentedge".to_owned());
            /// The directory of all that this node keeps. The default is $XDG_DATA_HOME/torrentedge where
            /// that variable is set.
            data_dir: PathBuf = PathBuf::from("~/.local/share/torrentedge");
            /// How many cores the engine uses, each with threads of its own; 0 is all of them.
            shards: u32 = 0, in 0..=1024;
        }
    }
}

/// The name of a node: 1 to 63 small letters, digits and inner hyphens (a DNS label).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

impl NodeName {
    /// Checks a name.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_label = (1..=NAME_LEN_MAX).contains(&name.len())
            && name.bytes().all(allowed)
            && !name.starts_with('-')
            && !name.ends_with('-');
        is_label.then(|| Self(name.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodeName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::new(&name).ok_or_else(|| format!("a node's name is {}", Self::expects()))
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for NodeName {
    fn expects() -> String {
        "1 to 63 small letters, digits and inner hyphens, as in \"node-1\"".to_owned()
    }

    fn read(raw: &Raw<'_>) -> Option<Self> {
        Self::new(raw.text()?)
    }

    fn to_toml(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label() {
        for name in ["a", "node-1", "0", &"x".repeat(63)] {
            assert!(NodeName::new(name).is_some(), "{name}");
        }
        for name in ["", "-a", "a-", "A", "a.b", "a_b", "é", &"x".repeat(64)] {
            assert!(NodeName::new(name).is_none(), "{name}");
        }
    }
}
