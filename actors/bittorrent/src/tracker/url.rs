//! Addresses of trackers: `http`, `https` and `udp` announce URLs (BEP 3, 15).
//!
//! A passkey or a password in an address is a user's secret. [`TrackerUrl`] shows neither query nor
//! user information, nor a part of the path that looks like a passkey, and [`Error`] quotes nothing.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// The longest address that is read, in bytes.
pub const URL_LEN_MAX: usize = 2048;
/// A part of a path of this many bytes or more may be a passkey and is not shown, unless it is words.
const PASSKEY_LEN_MIN: usize = 16;
/// The longest host name (RFC 1035), in bytes.
const HOST_LEN_MAX: usize = 253;

/// Why an address is refused. It quotes nothing of it, as there may be secrets in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than is read.
    #[error("the address is {actual} bytes long, at most {URL_LEN_MAX} are read")]
    TooLong {
        /// Its length in bytes.
        actual: usize,
    },
    /// Not `http`, `https` or `udp`.
    #[error("the address must begin with http://, https:// or udp://")]
    Scheme,
    /// The host is empty, or has a character that is none of a host's.
    #[error("the address has no valid host name")]
    Host,
    /// The port is 0, no number, or missing where there is no default.
    #[error("the address has no valid port")]
    Port,
    /// A control character is in it.
    #[error("the address has a control character in it")]
    Control,
}

/// How a tracker is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// The UDP tracker protocol (BEP 15).
    Udp,
}

impl Scheme {
    /// As it stands in an address.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Udp => "udp",
        }
    }

    /// The port of an address that names none; BEP 15 has no such port.
    const fn default_port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Udp => None,
        }
    }
}

/// A valid announce URL. Displayed and debugged without its secrets.
///
/// ```
/// use bittorrent::tracker::TrackerUrl;
///
/// let url: TrackerUrl = "https://me:secret@tracker.example/announce?passkey=secret".parse()?;
/// assert_eq!(url.to_string(), "https://tracker.example/announce");
/// assert_eq!((url.host(), url.port()), ("tracker.example", 443));
/// # Ok::<(), bittorrent::tracker::url::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerUrl {
    scheme: Scheme,
    /// In lower case; an IPv6 address without its brackets.
    host: String,
    port: u16,
    userinfo: Option<String>,
    /// Begins with a slash; only characters that a request line may hold.
    path: String,
    /// Without the question mark; only characters that a request line may hold.
    query: Option<String>,
}

impl TrackerUrl {
    /// How it is spoken to.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host name or literal IP address, in lower case, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port, never 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as a `Host` header has them: brackets around IPv6, no port if it is the default.
    #[must_use]
    pub fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.scheme.default_port() == Some(self.port) {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// User name and password as they stand in the address, percent-encoded. A secret.
    #[must_use]
    pub fn userinfo(&self) -> Option<&str> {
        self.userinfo.as_deref()
    }

    /// The path, beginning with a slash. May hold a secret.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query without its question mark. A secret.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Path and query, as BEP 41 sends them to UDP trackers; empty if the address has neither. A secret.
    #[must_use]
    pub fn url_data(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None if self.path == "/" => String::new(),
            None => self.path.clone(),
        }
    }

    /// All of it, secrets included, for storing it. Never to be logged or shown.
    #[must_use]
    pub fn reveal(&self) -> String {
        let userinfo = self.userinfo.as_ref().map(|info| format!("{info}@")).unwrap_or_default();
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let authority = self.authority();
        format!("{}://{userinfo}{authority}{}{query}", self.scheme.as_str(), self.path)
    }
}

impl FromStr for TrackerUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.len() > URL_LEN_MAX {
            return Err(Error::TooLong { actual: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(Error::Control);
        }
        let (scheme, rest) = text.split_once("://").ok_or(Error::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "udp" => Scheme::Udp,
            _ => return Err(Error::Scheme),
        };
        let (rest, _fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (userinfo, host_port) = match authority.rsplit_once('@') {
            Some((userinfo, host_port)) => (Some(userinfo.to_owned()), host_port),
            None => (None, authority),
        };
        let (host, port) = split_port(host_port)?;
        let port = match port {
            // `parse` would take a plus sign.
            Some(port) if port.starts_with('+') => return Err(Error::Port),
            Some(port) => port.parse().map_err(|_| Error::Port)?,
            None => scheme.default_port().ok_or(Error::Port)?,
        };
        if port == 0 {
            return Err(Error::Port);
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(request_line(query))),
            None => (target, None),
        };
        let path = if path.is_empty() { "/".to_owned() } else { request_line(path) };
        let url = Self { scheme, host: check_host(host)?, port, userinfo, path, query };
        // Encoding makes it longer, and what is stored must be readable again.
        let actual = url.reveal().len();
        if actual > URL_LEN_MAX { Err(Error::TooLong { actual }) } else { Ok(url) }
    }
}

/// Host and port of an authority; brackets around an IPv6 address are taken off.
fn split_port(host_port: &str) -> Result<(&str, Option<&str>), Error> {
    let Some(inside) = host_port.strip_prefix('[') else {
        return Ok(match host_port.split_once(':') {
            Some((host, port)) => (host, Some(port).filter(|port| !port.is_empty())),
            None => (host_port, None),
        });
    };
    let (host, rest) = inside.split_once(']').ok_or(Error::Host)?;
    host.parse::<Ipv6Addr>().map_err(|_| Error::Host)?;
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port).filter(|port| !port.is_empty()))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(Error::Host),
    }
}

/// The host in lower case. International names are refused, also in their ASCII form: they are made
/// to look like others.
fn check_host(host: &str) -> Result<String, Error> {
    let host = host.to_ascii_lowercase();
    if host.parse::<Ipv6Addr>().is_ok() {
        return Ok(host);
    }
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let valid = !host.is_empty()
        && host.len() <= HOST_LEN_MAX
        && host.bytes().all(letters)
        && !host.split('.').any(|label| label.starts_with("xn--"))
        && !host.starts_with('.')
        && !host.contains("..");
    if valid { Ok(host) } else { Err(Error::Host) }
}

/// Path or query with what must not stand in a request line percent-encoded. What is encoded already
/// stays as it is.
fn request_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte) {
            out.push(char::from(byte));
        } else {
            escape_byte(byte, &mut out);
        }
    }
    out
}

/// Appends `bytes` percent-encoded but for the unreserved characters (RFC 3986).
pub(super) fn escape(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            escape_byte(byte, out);
        }
    }
}

fn escape_byte(byte: u8, out: &mut String) {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    out.push('%');
    out.push(digit(byte >> 4).to_ascii_uppercase());
    out.push(digit(byte & 15).to_ascii_uppercase());
}

impl fmt::Display for TrackerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())?;
        for part in self.path.split('/').skip(1) {
            write!(f, "/{}", if may_be_passkey(part) { "…" } else { part })?;
        }
        Ok(())
    }
}

/// Whether a part of a path is long, and not words with marks between them.
fn may_be_passkey(part: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_' | b'.');
    let is_words =
        part.bytes().all(is_word) && !part.bytes().all(|byte| byte.is_ascii_alphabetic());
    part.len() >= PASSKEY_LEN_MIN && !is_words
}

impl fmt::Debug for TrackerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrackerUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> TrackerUrl {
        text.parse().unwrap()
    }

    fn refuse(text: &str) -> Error {
        text.parse::<TrackerUrl>().unwrap_err()
    }

    #[test]
    fn reads_the_parts() {
        let full = url(" HTTP://u:p@Tracker.Example:8080/a/announce?passkey=1&b=%20#frag ");
        assert_eq!(full.scheme(), Scheme::Http);
        assert_eq!((full.host(), full.port()), ("tracker.example", 8080));
        assert_eq!((full.path(), full.query()), ("/a/announce", Some("passkey=1&b=%20")));
        assert_eq!(full.userinfo(), Some("u:p"));
        assert_eq!(full.reveal(), "http://u:p@tracker.example:8080/a/announce?passkey=1&b=%20");
        assert_eq!(url(&full.reveal()), full);
        let bare = url("udp://[2001:db8::1]:6969");
        assert_eq!((bare.host(), bare.authority()), ("2001:db8::1", "[2001:db8::1]:6969".into()));
        assert_eq!((bare.path(), bare.url_data().as_str()), ("/", ""));
        assert_eq!(url("https://t?x").url_data(), "/?x");
        assert_eq!(url("https://t:443/announce").authority(), "t");
    }

    #[test]
    fn secrets_are_never_shown() {
        let passkey = "0123456789abcdef0123456789abcdef";
        for text in [
            format!("https://user:{passkey}@t.example/announce"),
            format!("https://{passkey}@t.example/announce"),
            format!("https://t.example/announce?passkey={passkey}"),
            format!("https://t.example/{passkey}/announce"),
            format!("https://t.example/announce/pass={passkey}"),
            format!("https://a@{passkey}@t.example/announce#{passkey}"),
        ] {
            let shown = format!("{0} {0:?} {1:?}", url(&text), Some(url(&text)));
            assert!(!shown.contains(passkey), "{shown}");
            assert!(shown.contains("t.example/"), "{shown}");
        }
        let masked = url(&format!("https://t.example/{passkey}/announce"));
        assert_eq!(masked.to_string(), "https://t.example/…/announce");
        let words = "http://t.example/the-free-tracker/announce.php";
        assert_eq!(url(words).to_string(), words);
    }

    #[test]
    fn what_a_request_line_cannot_hold_is_encoded_or_refused() {
        assert_eq!(url("http://t/ä b\"<>?q=\\").path(), "/%C3%A4%20b%22%3C%3E");
        assert_eq!(url("http://t/a%20b?q=%zz").query(), Some("q=%zz"));
        assert_eq!(refuse("http://t/a\r\nHost: x"), Error::Control);
        assert_eq!(refuse("http://t/a\0"), Error::Control);
    }

    #[test]
    fn refuses_other_schemes_hosts_and_ports() {
        for text in ["", "t.example", "file:///etc/passwd", "wss://t", "gopher://t", "dht://x"] {
            assert_eq!(refuse(text), Error::Scheme, "{text}");
        }
        for text in [
            "http://",
            "http:///announce",
            "http://:80/",
            "http://a b/",
            "http://ä.example/",
            "http://xn--4ca.example/",
            "http://www.xn--4ca/",
            "http://a..b/",
            "http://[::1/",
            "http://[::1]x/",
            "http://[t]/",
            "http://a%2eb/",
        ] {
            assert_eq!(refuse(text), Error::Host, "{text}");
        }
        for text in
            ["udp://t/announce", "http://t:0/", "http://t:65536/", "http://t:+80/", "http://::1/"]
        {
            assert_eq!(refuse(text), Error::Port, "{text}");
        }
        let long = format!("http://t/{}", "a".repeat(URL_LEN_MAX));
        assert_eq!(refuse(&long), Error::TooLong { actual: URL_LEN_MAX + 9 });
    }

    proptest! {
        #[test]
        fn what_is_read_can_be_written_and_sent(text in "(http|udp)://[a-z0-9.:@\\[\\]/?#% é\"]{0,40}") {
            if let Ok(url) = text.parse::<TrackerUrl>() {
                let again = url.reveal().parse::<TrackerUrl>();
                prop_assert_eq!(again.as_ref(), Ok(&url), "{}", url.reveal());
                prop_assert!(url.url_data().bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<TrackerUrl>();
            let _ = format!("http://{text}").parse::<TrackerUrl>();
        }
    }
}
