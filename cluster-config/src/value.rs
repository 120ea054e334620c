//! What a key can hold: how a value is read from TOML, environment and flags, and shown again.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

/// A value as it was given, before it has a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw<'a> {
    /// From a variable or a flag, where everything is text.
    Text(&'a str),
    /// A TOML string.
    String(&'a str),
    /// A TOML integer: digits (with a sign) and radix.
    Integer(&'a str, u32),
    /// A TOML float, as written.
    Float(&'a str),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array.
    List(Vec<Self>),
    /// A TOML date, time or table, which no key takes.
    Other,
}

impl<'a> Raw<'a> {
    /// The text of a string, variable or flag.
    #[must_use]
    pub const fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) | Self::String(text) => Some(text),
            Self::Integer(..) | Self::Float(_) | Self::Boolean(_) | Self::List(_) | Self::Other => {
                None
            }
        }
    }

    /// An integer, from TOML's type or from the text of a variable or flag.
    #[must_use]
    pub fn integer(&self) -> Option<i128> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Integer(digits, radix) => i128::from_str_radix(digits, *radix).ok(),
            Self::String(_) | Self::Float(_) | Self::Boolean(_) | Self::List(_) | Self::Other => {
                None
            }
        }
    }

    /// A decimal number as text, from TOML's numbers or from the text of a variable or flag.
    #[must_use]
    pub const fn number(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) | Self::Integer(text, 10) | Self::Float(text) => Some(text),
            Self::Integer(..)
            | Self::String(_)
            | Self::Boolean(_)
            | Self::List(_)
            | Self::Other => None,
        }
    }
}

/// A type that a key can have.
pub trait Value: Sized {
    /// Whether the value must never be shown.
    const IS_SECRET: bool = false;

    /// What is expected, as it stands in an error and in the reference.
    fn expects() -> String;

    /// The typed value, or `None` where `raw` is no such value.
    fn read(raw: &Raw<'_>) -> Option<Self>;

    /// The value in TOML, which reads back as the same. An absent value is empty.
    fn to_toml(&self) -> String;
}

impl Value for bool {
    fn expects() -> String {
        "true or false".to_owned()
    }

    fn read(raw: &Raw<'_>) -> Option<Self> {
        match raw {
            Raw::Boolean(value) => Some(*value),
            Raw::Text(text) => text.trim().parse().ok(),
            Raw::String(_) | Raw::Integer(..) | Raw::Float(_) | Raw::List(_) | Raw::Other => None,
        }
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

macro_rules! integer_value {
    ($($type:ty),+) => {$(
        impl Value for $type {
            fn expects() -> String {
                "a whole number".to_owned()
            }

            fn read(raw: &Raw<'_>) -> Option<Self> {
                <$type>::try_from(raw.integer()?).ok()
            }

            fn to_toml(&self) -> String {
                self.to_string()
            }
        }
    )+};
}
integer_value!(u16, u32, u64);

impl Value for String {
    fn expects() -> String {
        "a text".to_owned()
    }

    fn read(raw: &Raw<'_>) -> Option<Self> {
        raw.text().map(str::to_owned)
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

/// A path that begins with `~/` is taken from the user's home.
impl Value for PathBuf {
    fn expects() -> String {
        "a path".to_owned()
    }

    fn read(raw: &Raw<'_>) -> Option<Self> {
        raw.text().filter(|text| !text.is_empty() && !text.contains('\0')).map(Self::from)
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

macro_rules! parsed_value {
    ($type:ty, $expects:literal) => {
        impl Value for $type {
            fn expects() -> String {
                $expects.to_owned()
            }

            fn read(raw: &Raw<'_>) -> Option<Self> {
                raw.text()?.trim().parse().ok()
            }

            fn to_toml(&self) -> String {
                quoted(&self.to_string())
            }
        }
    };
}
parsed_value!(IpAddr, "an IP address, as in \"192.0.2.1\" or \"::\"");
parsed_value!(SocketAddr, "an IP address with a port, as in \"127.0.0.1:8080\" or \"[::1]:8080\"");
parsed_value!(IpNet, "a network, as in \"10.0.0.0/8\" or \"fd00::/8\"");

/// A value that may be absent; an empty text takes away what an earlier source gave.
impl<T: Value> Value for Option<T> {
    const IS_SECRET: bool = T::IS_SECRET;

    fn expects() -> String {
        format!("{}, or \"\" for none", T::expects())
    }

    fn read(raw: &Raw<'_>) -> Option<Self> {
        if raw.text() == Some("") { Some(None) } else { T::read(raw).map(Some) }
    }

    fn to_toml(&self) -> String {
        self.as_ref().map(T::to_toml).unwrap_or_default()
    }
}

/// A TOML array; in a variable or flag, values with commas between them.
impl<T: Value> Value for Vec<T> {
    const IS_SECRET: bool = T::IS_SECRET;

    fn expects() -> String {
        format!(
            "a list of values (with commas between them in a variable or flag), each {}",
            T::expects()
        )
    }

    fn read(raw: &Raw<'_>) -> Option<Self> {
        match raw {
            Raw::List(values) => values.iter().map(T::read).collect(),
            Raw::Text(text) if text.trim().is_empty() => Some(Self::new()),
            Raw::Text(text) => text.split(',').map(|one| T::read(&Raw::Text(one.trim()))).collect(),
            Raw::String(_) | Raw::Integer(..) | Raw::Float(_) | Raw::Boolean(_) | Raw::Other => {
                None
            }
        }
    }

    fn to_toml(&self) -> String {
        let shown: Vec<String> = self.iter().map(T::to_toml).collect();
        format!("[{}]", shown.join(", "))
    }
}

/// A TOML basic string with what must be escaped escaped.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Defines an enum whose values are words.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        pub enum $name:ident {
            $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $name {
            /// The word by which it is configured.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::value::Value for $name {
            fn expects() -> String {
                format!("one of {}", [$(concat!("\"", $word, "\"")),+].join(", "))
            }

            fn read(raw: &$crate::value::Raw<'_>) -> Option<Self> {
                match raw.text()?.trim() {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            fn to_toml(&self) -> String {
                format!("\"{self}\"")
            }
        }
    };
}
pub(crate) use choice;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_bounded_by_their_type() {
        assert_eq!(u16::read(&Raw::Text("65535")), Some(65_535));
        assert_eq!(u16::read(&Raw::Text("65536")), None);
        assert_eq!(u32::read(&Raw::Integer("-1", 10)), None);
        assert_eq!(u32::read(&Raw::Integer("ff", 16)), Some(255));
        assert_eq!(u32::read(&Raw::String("7")), None, "a TOML string is no number");
    }

    #[test]
    fn booleans_are_true_or_false() {
        assert_eq!(bool::read(&Raw::Text("true")), Some(true));
        assert_eq!(bool::read(&Raw::Text("yes")), None);
        assert_eq!(bool::read(&Raw::String("true")), None);
    }

    #[test]
    fn lists_are_arrays_or_have_commas() {
        let nets: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        assert_eq!(Vec::read(&Raw::Text("10.0.0.0/8, fd00::/8")), Some(nets.clone()));
        let list = Raw::List(vec![Raw::String("10.0.0.0/8"), Raw::String("fd00::/8")]);
        assert_eq!(Vec::read(&list), Some(nets.clone()));
        assert_eq!(Vec::<IpNet>::read(&Raw::Text("")), Some(vec![]));
        assert_eq!(Vec::<IpNet>::read(&Raw::Text("10.0.0.0/33")), None);
        assert_eq!(nets.to_toml(), "[\"10.0.0.0/8\", \"fd00::/8\"]");
    }

    #[test]
    fn an_empty_text_is_an_absent_value() {
        assert_eq!(Option::<PathBuf>::read(&Raw::Text("")), Some(None));
        assert_eq!(Option::<PathBuf>::read(&Raw::Text("/x")), Some(Some(PathBuf::from("/x"))));
        assert_eq!(PathBuf::read(&Raw::Text("")), None);
    }

    #[test]
    fn quotes_what_toml_would_take_for_syntax() {
        assert_eq!(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000A\"");
    }
}
