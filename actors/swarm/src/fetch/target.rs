//! Where a request goes: a URL taken apart so that its bytes reach the wire as they were given.
//!
//! A tracker's query holds a percent-encoded binary info-hash, and trackers compare bytes; so a URL is
//! never written anew. It is read by one parser only, since two that disagree on what the host is are
//! how a policy on hosts is got round. Host names beyond ASCII are not translated (IDNA is off).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::Uri;
use hyper::http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;

use super::error::FetchError;

/// Whether TLS protects the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// One resource of one server.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    /// A name or an address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query, beginning with `/`, as given.
    resource: String,
    /// `name:password`, percent-encoded as given.
    userinfo: Option<String>,
}

/// Shows no part that may be secret.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.origin())
    }
}

impl Target {
    /// Reads an absolute URL; a fragment is left out.
    pub(super) fn parse(url: &str) -> Result<Self, FetchError> {
        let uri: Uri = url.parse().map_err(|_| wrong("is not absolute or has wrong characters"))?;
        let scheme = match uri.scheme_str() {
            Some(name) if name.eq_ignore_ascii_case("http") => Scheme::Http,
            Some(name) if name.eq_ignore_ascii_case("https") => Scheme::Https,
            _ => return Err(wrong("has a scheme other than http and https")),
        };
        let authority = uri.authority().ok_or(wrong("has no host"))?.as_str();
        let (userinfo, place) = match authority.rsplit_once('@') {
            Some((userinfo, place)) => (Some(userinfo.to_owned()), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place, scheme)?;
        let resource = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let slash = if resource.starts_with('/') { "" } else { "/" };
        Ok(Self { scheme, host, port, resource: format!("{slash}{resource}"), userinfo })
    }

    /// Where a redirect from here leads (RFC 3986 section 5.2). Credentials go along to the same origin
    /// only.
    pub(super) fn redirected(&self, location: &str) -> Result<Self, FetchError> {
        let reference = location.split('#').next().unwrap_or_default();
        let (path, _) = self.resource.split_once('?').unwrap_or((&self.resource, ""));
        let url = if has_scheme(reference) {
            reference.to_owned()
        } else if reference.starts_with("//") {
            format!("{}:{reference}", self.scheme.name())
        } else if reference.is_empty() {
            format!("{}{}", self.origin(), self.resource)
        } else if reference.starts_with('?') {
            format!("{}{path}{reference}", self.origin())
        } else if reference.starts_with('/') {
            format!("{}{}", self.origin(), without_dots(reference))
        } else {
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
            format!("{}{}", self.origin(), without_dots(&format!("{directory}/{reference}")))
        };
        let mut next = Self::parse(&url)?;
        if next.userinfo.is_some() {
            return Err(FetchError::Credentials);
        }
        if (next.scheme, &next.host, next.port) == (self.scheme, &self.host, self.port) {
            next.userinfo.clone_from(&self.userinfo);
        }
        Ok(next)
    }

    /// The host, if it is written as an address.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// What the `Host` header says.
    pub(super) fn host_header(&self) -> String {
        let host = self.bracketed();
        if self.port == self.scheme.default_port() { host } else { format!("{host}:{}", self.port) }
    }

    /// What the request line says.
    pub(super) fn resource(&self) -> Result<Uri, FetchError> {
        self.resource.parse().map_err(|_| wrong("has a wrong path"))
    }

    pub(super) fn has_credentials(&self) -> bool {
        self.userinfo.is_some()
    }

    /// The `Authorization` header (RFC 7617) that the URL's userinfo asks for.
    pub(super) fn authorization(&self) -> Option<String> {
        let userinfo = self.userinfo.as_deref()?;
        let (name, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        let mut pair: Vec<u8> = percent_decode_str(name).collect();
        pair.push(b':');
        pair.extend(percent_decode_str(password));
        Some(format!("Basic {}", BASE64_STANDARD.encode(pair)))
    }

    fn origin(&self) -> String {
        format!("{}://{}:{}", self.scheme.name(), self.bracketed(), self.port)
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

fn wrong(problem: &'static str) -> FetchError {
    FetchError::Url { problem }
}

fn host_and_port(place: &str, scheme: Scheme) -> Result<(String, u16), FetchError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(wrong("has a wrong address"))?;
            host.parse::<Ipv6Addr>().map_err(|_| wrong("has a wrong address"))?;
            (host, port.strip_prefix(':').or(port.is_empty().then_some("")))
        }
        None => place.split_once(':').map_or((place, Some("")), |(host, port)| (host, Some(port))),
    };
    /// The longest host name (RFC 1035).
    const HOST_MAX: usize = 253;
    if host.is_empty() || host.len() > HOST_MAX || host.contains(['[', ']']) {
        return Err(wrong("has no usable host"));
    }
    let port = match port {
        Some("") => scheme.default_port(),
        // Not "+80", which parses too.
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map_err(|_| wrong("has a port beyond 65535"))?
        }
        _ => return Err(wrong("has a wrong port")),
    };
    if port == 0 {
        return Err(wrong("has port 0"));
    }
    Ok((host.to_ascii_lowercase(), port))
}

fn has_scheme(reference: &str) -> bool {
    let Some((scheme, _)) = reference.split_once(':') else { return false };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Takes `.` and `..` out of the path before the query (RFC 3986 section 5.2.4).
fn without_dots(resource: &str) -> String {
    let (path, query) = match resource.find('?') {
        Some(at) => resource.split_at(at),
        None => (resource, ""),
    };
    let mut kept = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            ".." => drop(kept.pop()),
            "." => {}
            name => kept.push(name),
        }
        if matches!(segment, "." | "..") && segments.peek().is_none() {
            // A directory: its path ends with a slash.
            kept.push("");
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Origin and resource of a URL, or that it is refused.
    fn parts(url: &str) -> Option<(String, String)> {
        let target = Target::parse(url).ok()?;
        Some((target.origin(), target.resource().unwrap().to_string()))
    }

    fn check(url: &str, origin: &str, resource: &str) {
        assert_eq!(parts(url), Some((origin.to_owned(), resource.to_owned())), "{url}");
    }

    #[test]
    fn takes_urls_apart_and_keeps_their_bytes() {
        check("http://Tracker.example/announce", "http://tracker.example:80", "/announce");
        check("HTTPS://t:8443/a?b#c", "https://t:8443", "/a?b");
        check("http://t", "http://t:80", "/");
        check("http://t?a=b", "http://t:80", "/?a=b");
        check("http://t#f", "http://t:80", "/");
        check("http://t:/x", "http://t:80", "/x");
        check("http://[2001:DB8::1]:81/", "http://[2001:db8::1]:81", "/");
        check("http://u:p@w@t/", "http://t:80", "/");
        let exact = "/a/../%2e/announce?key='x'&info_hash=%aB%00%ff!~(*)+%20&x={\"y\"}&e";
        check(&format!("http://t{exact}"), "http://t:80", exact);
    }

    #[test]
    fn refuses_what_is_no_http_url() {
        for url in [
            "",
            "/announce",
            "tracker.example/announce",
            "udp://t:80/",
            "ftp://t/",
            "file:///etc/passwd",
            "http://",
            "http:///path",
            "http://:80/",
            "http://t:0/",
            "http://t:65536/",
            "http://t:+80/",
            "http://t:80:81/",
            "http://[::1/",
            "http://[t]/",
            "http://x[::1]/",
            "http://[::1]x/",
            "http://[fe80::1%25eth0]/",
            "http://u@/",
            "http://t/a b",
            "http://t/a\r\nHost: x",
            "http://t/\0",
            "http://tr\u{e4}cker/",
        ] {
            assert_eq!(parts(url), None, "{url:?}");
        }
        assert!(Target::parse(&format!("http://{}/", "a".repeat(254))).is_err());
    }

    #[test]
    fn userinfo_becomes_basic_authorization_and_is_never_shown() {
        let target = Target::parse("http://al%40ice:s%3Acret@t/x?passkey=hidden").unwrap();
        let expected = BASE64_STANDARD.encode("al@ice:s:cret");
        assert_eq!(target.authorization(), Some(format!("Basic {expected}")));
        assert_eq!(format!("{target:?}"), "Target(http://t:80)");
        assert_eq!(target.host_header(), "t");
    }

    #[test]
    fn redirects_resolve_as_rfc_3986_says() {
        let base = Target::parse("http://a/b/c/d;p?q").unwrap();
        for (location, expected) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            ("#s", "/b/c/d;p?q"),
            ("g?y#s", "/b/c/g?y"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("..", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g.", "/b/c/g."),
            ("..g", "/b/c/..g"),
            ("g?y/../x", "/b/c/g?y/../x"),
            ("http://a/x", "/x"),
            ("//a/x", "/x"),
        ] {
            let next = base.redirected(location).unwrap();
            assert_eq!(next.resource, expected, "{location}");
            assert_eq!(next.host, "a");
        }
        assert_eq!(base.redirected("//other:81/x").unwrap().origin(), "http://other:81");
        assert!(base.redirected("javascript:alert(1)").is_err());
        assert!(base.redirected("http://user@a/").is_err());
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let base = Target::parse("http://u:p@a/x").unwrap();
        assert!(base.redirected("/y").unwrap().has_credentials());
        for elsewhere in ["https://a/y", "http://a:81/y", "http://b/y", "//b/y"] {
            assert!(!base.redirected(elsewhere).unwrap().has_credentials(), "{elsewhere}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(url in ".{0,60}", location in ".{0,60}") {
            let _ = Target::parse(&url);
            let _ = Target::parse(&format!("http://{url}"));
            let base = Target::parse("https://a/b/c?d").unwrap();
            if let Ok(next) = base.redirected(&location) {
                prop_assert!(next.resource().is_ok());
                prop_assert!(next.resource.starts_with('/'));
            }
        }
    }
}
