//! Keeps pages of other sites away from the API of somebody's own machine.
//!
//! A browser sends requests for any page to any address. A page whose name is made to resolve to a
//! loopback address (DNS rebinding) would even read the answers; but its requests carry its name in
//! `Host`, so only names that are known to be ours are served. A page that merely sends (cross-site
//! request forgery) is told by `Sec-Fetch-Site` and `Origin`, which pages cannot set; programs send
//! neither.

use std::net::IpAddr;

use warp::http::header::{HOST, HeaderName, ORIGIN};
use warp::http::uri::Authority;
use warp::http::{HeaderMap, Method, Request, Version};

use crate::problem::{Kind, Problem};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Which host names are ours, beside `localhost` and addresses.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    names: Vec<String>,
}

impl Guard {
    /// A guard that lets `names` pass too; case and a final dot do not count.
    pub(crate) fn new(names: &[String]) -> Self {
        Self { names: names.iter().map(|name| normal(name)).collect() }
    }

    /// Lets a request pass, or says why not.
    pub(crate) fn check<B>(&self, request: &Request<B>) -> Result<(), Problem> {
        let mut hosts = request.headers().get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => Some(authority(host.as_bytes()).ok_or_else(bad_host)?),
            (None, _) if request.version() == Version::HTTP_10 => None,
            (None, _) | (Some(_), Some(_)) => return Err(bad_host()),
        };
        let in_target = request.uri().authority();
        for named in [host.as_ref(), in_target].into_iter().flatten() {
            if !self.is_ours(named.host()) {
                return Err(Problem::new(
                    Kind::Misdirected,
                    format!("{} is none of gateway.allowed_hosts", named.host()),
                ));
            }
        }
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if !is_safe && is_foreign(request.headers(), in_target.or(host.as_ref())) {
            return Err(Problem::new(
                Kind::CrossSite,
                "a page of another site may not change anything here",
            ));
        }
        Ok(())
    }

    /// Whether `host` cannot be a name that somebody else lets resolve to our address.
    fn is_ours(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if bare.parse::<IpAddr>().is_ok() {
            return true;
        }
        let name = normal(host);
        name == "localhost" || name.ends_with(".localhost") || self.names.contains(&name)
    }
}

fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn authority(bytes: &[u8]) -> Option<Authority> {
    Authority::try_from(bytes).ok().filter(|authority| !authority.as_str().contains('@'))
}

fn bad_host() -> Problem {
    Problem::new(Kind::Malformed, "a request has exactly one Host header, a name or an address")
}

/// Whether a browser says that a page of another origin sent this.
fn is_foreign(headers: &HeaderMap, host: Option<&Authority>) -> bool {
    let sites = headers.get_all(SEC_FETCH_SITE).iter();
    if sites.into_iter().any(|site| site != "same-origin" && site != "none") {
        return true;
    }
    // The scheme is left out: a proxy in front of us may end TLS.
    let is_own = |origin: &[u8]| {
        let origin = std::str::from_utf8(origin).ok();
        let after_scheme = origin.and_then(|text| text.split_once("://")).map(|(_, rest)| rest);
        after_scheme
            .zip(host)
            .is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host.as_str()))
    };
    headers.get_all(ORIGIN).iter().any(|origin| !is_own(origin.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, headers: &[(&str, &str)]) -> Result<(), Kind> {
        let mut request = Request::builder().method(method).uri("/api/v1/torrents");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let guard = Guard::new(&["Edge.example.".to_owned()]);
        guard.check(&request.body(()).unwrap()).map_err(|problem| problem.kind())
    }

    #[test]
    fn serves_names_that_nobody_else_can_take() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "ui.localhost",
            "127.0.0.1:8080",
            "[::1]:80",
            "10.1.2.3",
        ] {
            assert_eq!(check(Method::GET, &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(check(Method::GET, &[("host", "edge.example:8080")]), Ok(()));
    }

    #[test]
    fn refuses_names_of_others() {
        for host in
            ["rebound.example", "127.0.0.1.example", "localhost.example", "edge.example.org"]
        {
            assert_eq!(check(Method::GET, &[("host", host)]), Err(Kind::Misdirected), "{host}");
        }
        let named = Request::builder().uri("http://rebound.example/").header("host", "localhost");
        let problem = Guard::default().check(&named.body(()).unwrap()).unwrap_err();
        assert_eq!(problem.kind(), Kind::Misdirected);
    }

    #[test]
    fn refuses_a_missing_double_or_odd_host() {
        assert_eq!(check(Method::GET, &[]), Err(Kind::Malformed));
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(check(Method::GET, &twice), Err(Kind::Malformed));
        assert_eq!(check(Method::GET, &[("host", "localhost@x")]), Err(Kind::Malformed));
        assert_eq!(check(Method::GET, &[("host", "a b")]), Err(Kind::Malformed));
        assert_eq!(check(Method::GET, &[("host", "")]), Err(Kind::Malformed));
    }

    #[test]
    fn pages_of_other_origins_change_nothing() {
        let from = |name, value| check(Method::POST, &[("host", "localhost:8080"), (name, value)]);
        assert_eq!(from("origin", "http://localhost:8080"), Ok(()));
        assert_eq!(from("sec-fetch-site", "same-origin"), Ok(()));
        assert_eq!(from("sec-fetch-site", "none"), Ok(()));
        for origin in ["http://localhost:3000", "http://other.example", "null", "localhost:8080"] {
            assert_eq!(from("origin", origin), Err(Kind::CrossSite), "{origin}");
        }
        assert_eq!(from("sec-fetch-site", "same-site"), Err(Kind::CrossSite));
        assert_eq!(from("sec-fetch-site", "cross-site"), Err(Kind::CrossSite));
    }

    #[test]
    fn pages_may_lead_to_us() {
        let link = [("host", "localhost"), ("sec-fetch-site", "cross-site")];
        assert_eq!(check(Method::GET, &link), Ok(()));
    }
}
