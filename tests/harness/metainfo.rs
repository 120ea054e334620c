//! Writes `.torrent` files and magnet links for the tests, independently of the crate under test.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sha1::{Digest, Sha1};

use crate::Sample;

/// A bencoded value, with dictionary keys in the order given (the writer of a test sorts them, or
/// leaves them unsorted on purpose).
#[derive(Debug, Clone)]
pub enum Value {
    /// An integer.
    Integer(i64),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// A dictionary.
    Dict(Vec<(&'static str, Value)>),
}

impl Value {
    /// A byte string from text.
    pub fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }

    /// The value's bencoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Integer(value) => out.extend(format!("i{value}e").bytes()),
            Self::Bytes(bytes) => encode_bytes(bytes, out),
            Self::List(values) => {
                out.push(b'l');
                values.iter().for_each(|value| value.encode_into(out));
                out.push(b'e');
            }
            Self::Dict(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    encode_bytes(key.as_bytes(), out);
                    value.encode_into(out);
                }
                out.push(b'e');
            }
        }
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(format!("{}:", bytes.len()).bytes());
    out.extend_from_slice(bytes);
}

/// A v1 torrent of a [`Sample`].
#[derive(Debug, Clone)]
pub struct Metainfo {
    /// The torrent's name.
    pub name: String,
    /// The bencoded info dictionary.
    pub info: Vec<u8>,
    /// Announce URLs, each a tier of its own.
    pub trackers: Vec<String>,
}

impl Metainfo {
    /// Hashes `sample` into a torrent without trackers.
    pub fn of(sample: &Sample) -> Self {
        let pieces = sample.content().chunks(sample.piece_length).flat_map(Sha1::digest).collect();
        let size = |length: usize| Value::Integer(length as i64);
        let single = matches!(&sample.files[..], [(path, _)] if path.as_os_str().is_empty());
        let layout = if single {
            ("length", size(sample.files[0].1))
        } else {
            let files = sample.files.iter().map(|(path, length)| {
                let parts = path.iter().map(|part| Value::text(&part.to_string_lossy())).collect();
                Value::Dict(vec![("length", size(*length)), ("path", Value::List(parts))])
            });
            ("files", Value::List(files.collect()))
        };
        let info = Value::Dict(vec![
            layout,
            ("name", Value::text(&sample.name)),
            ("piece length", size(sample.piece_length)),
            ("pieces", Value::Bytes(pieces)),
        ]);
        Self { name: sample.name.clone(), info: info.encode(), trackers: Vec::new() }
    }

    /// Adds an announce URL.
    #[must_use]
    pub fn with_tracker(mut self, url: &str) -> Self {
        self.trackers.push(url.to_owned());
        self
    }

    /// Makes the torrent private (BEP 27).
    #[must_use]
    pub fn private(mut self) -> Self {
        // The key stands behind all others.
        self.info.pop();
        self.info.extend_from_slice(b"7:privatei1ee");
        self
    }

    /// The v1 info-hash.
    pub fn info_hash(&self) -> [u8; 20] {
        Sha1::digest(&self.info).into()
    }

    /// The v1 info-hash in 40 hexadecimal digits.
    pub fn info_hash_hex(&self) -> String {
        hex(&self.info_hash())
    }

    /// The whole `.torrent` file.
    pub fn encode(&self) -> Vec<u8> {
        let mut file = vec![b'd'];
        if let Some(first) = self.trackers.first() {
            encode_bytes(b"announce", &mut file);
            Value::text(first).encode_into(&mut file);
            let tiers = self.trackers.iter().map(|url| Value::List(vec![Value::text(url)]));
            encode_bytes(b"announce-list", &mut file);
            Value::List(tiers.collect()).encode_into(&mut file);
        }
        encode_bytes(b"info", &mut file);
        file.extend_from_slice(&self.info);
        file.push(b'e');
        file
    }

    /// Writes the `.torrent` file to `dir`.
    ///
    /// # Errors
    ///
    /// The directory cannot be written.
    pub fn write_to(&self, dir: &Path) -> Result<PathBuf> {
        let path = dir.join(format!("{}.torrent", self.name));
        fs::write(&path, self.encode())?;
        Ok(path)
    }

    /// The magnet link, with the name and the trackers.
    pub fn magnet(&self) -> String {
        let mut link =
            format!("magnet:?xt=urn:btih:{}&dn={}", self.info_hash_hex(), escape(&self.name));
        for url in &self.trackers {
            link += &format!("&tr={}", escape(url));
        }
        link
    }
}

/// Percent-encodes everything but unreserved characters.
pub fn escape(text: impl AsRef<[u8]>) -> String {
    let escaped = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(*byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.as_ref().iter().map(escaped).collect()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
