//! Sections: structs whose fields are keys and whose doc comments document them.
//!
//! [`section!`] takes the struct as it would be written by hand, each key with its default and,
//! where it has one, its range. So the type, the default, the range and the documentation of a key
//! stand in one place, and the reference cannot tell another story than the code.

use crate::value::{Raw, Value};

/// A key, as the reference and `config show` describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its path in the file, as in `engine.network.listen_port`.
    pub path: String,
    /// Its documentation, a line each.
    pub doc: &'static [&'static str],
    /// What value is expected.
    pub expects: String,
    /// Its default in TOML; empty where there is none.
    pub default: String,
    /// Whether it is never shown and also has a `_file` variant.
    pub is_secret: bool,
}

/// A struct of keys and further sections.
pub trait Section: Default {
    /// The documentation of the section, a line each.
    const DOC: &'static [&'static str];

    /// Appends the keys of the section and of those in it, in the order of the file.
    fn describe(prefix: &str, keys: &mut Vec<KeyInfo>);

    /// Appends the path and documentation of each section in this one, in the order of the file.
    fn describe_sections(prefix: &str, sections: &mut Vec<(String, &'static [&'static str])>);

    /// Sets the key at `path` and says whether there is such a key.
    ///
    /// # Errors
    ///
    /// What was expected instead of `raw`.
    fn set(&mut self, path: &[&str], raw: &Raw<'_>) -> Result<bool, String>;

    /// The value of the key at `path` in TOML; empty where it is absent.
    fn get(&self, path: &[&str]) -> Option<String>;
}

/// The range of a key's values.
pub(crate) type Range<T> = std::ops::RangeInclusive<T>;

/// What is expected of a value, with its range.
pub(crate) fn expects<T: Value>(range: Option<&Range<T>>) -> String {
    match range {
        None => T::expects(),
        Some(range) => {
            format!(
                "{}, from {} to {}",
                T::expects(),
                range.start().to_toml(),
                range.end().to_toml()
            )
        }
    }
}

/// Reads a value and checks its range.
pub(crate) fn read<T: Value + PartialOrd>(raw: &Raw<'_>, range: &Range<T>) -> Option<T> {
    T::read(raw).filter(|value| range.contains(value))
}

/// The path of `key` in the section `prefix`.
pub(crate) fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

/// Defines a section; see the module.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $vis:vis struct $name:ident {
            keys { $(
                $(#[doc = $doc:literal])+
                $key:ident: $type:ty = $default:expr $(, in $range:expr)?;
            )* }
            $(sections { $(
                $(#[doc = $sub_doc:literal])+
                $sub:ident: $sub_type:ty;
            )* })?
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Eq)]
        $vis struct $name {
            $($(#[doc = $doc])+ $vis $key: $type,)*
            $($($(#[doc = $sub_doc])+ $vis $sub: $sub_type,)*)?
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($key: $default,)*
                    $($($sub: <$sub_type>::default(),)*)?
                }
            }
        }

        impl $crate::section::Section for $name {
            const DOC: &'static [&'static str] = &[$($about),+];

            #[allow(unused_variables, reason = "a section may have no keys of its own")]
            fn describe(prefix: &str, keys: &mut Vec<$crate::section::KeyInfo>) {
                let defaults = Self::default();
                $(keys.push($crate::section::KeyInfo {
                    path: $crate::section::join(prefix, stringify!($key)),
                    doc: &[$($doc),+],
                    expects: $crate::section::section!(@expects $type $(, $range)?),
                    default: $crate::value::Value::to_toml(&defaults.$key),
                    is_secret: <$type as $crate::value::Value>::IS_SECRET,
                });)*
                $($(<$sub_type as $crate::section::Section>::describe(
                    &$crate::section::join(prefix, stringify!($sub)), keys);)*)?
            }

            #[allow(unused_variables, reason = "a section may have no sections in it")]
            fn describe_sections(
                prefix: &str, sections: &mut Vec<(String, &'static [&'static str])>,
            ) {
                $($(
                    let path = $crate::section::join(prefix, stringify!($sub));
                    sections.push((path.clone(), <$sub_type as $crate::section::Section>::DOC));
                    <$sub_type as $crate::section::Section>::describe_sections(&path, sections);
                )*)?
            }

            fn set(&mut self, path: &[&str], raw: &$crate::value::Raw<'_>) -> Result<bool, String> {
                let Some((head, rest)) = path.split_first() else { return Ok(false) };
                $(if *head == stringify!($key) && rest.is_empty() {
                    let Some(value) = $crate::section::section!(@read raw, $type $(, $range)?)
                    else {
                        return Err($crate::section::section!(@expects $type $(, $range)?));
                    };
                    self.$key = value;
                    return Ok(true);
                })*
                $($(if *head == stringify!($sub) {
                    return $crate::section::Section::set(&mut self.$sub, rest, raw);
                })*)?
                let _ = (rest, raw);
                Ok(false)
            }

            fn get(&self, path: &[&str]) -> Option<String> {
                let (head, rest) = path.split_first()?;
                $(if *head == stringify!($key) && rest.is_empty() {
                    return Some($crate::value::Value::to_toml(&self.$key));
                })*
                $($(if *head == stringify!($sub) {
                    return $crate::section::Section::get(&self.$sub, rest);
                })*)?
                let _ = rest;
                None
            }
        }
    };
    (@expects $type:ty) => { $crate::section::expects::<$type>(None) };
    (@expects $type:ty, $range:expr) => { $crate::section::expects::<$type>(Some(&$range)) };
    (@read $raw:expr, $type:ty) => { <$type as $crate::value::Value>::read($raw) };
    (@read $raw:expr, $type:ty, $range:expr) => {
        $crate::section::read::<$type>($raw, &$range)
    };
}
pub(crate) use section;
