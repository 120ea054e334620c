//! Which hosts are asked: names, redirects and addresses that lie.

use env::sim::Kill;

use super::*;
use crate::address::Refused;

const PUBLIC: &str = "93.184.215.14";

/// A world with a server at [`PUBLIC`], named "tracker", whose redirect leads to `location`. There is
/// another one in the local network, named "inside".
fn redirecting(location: &'static str) -> Scene {
    let mut scene = Scene::new();
    let host = scene.serve("server", None, move |head| {
        if head.starts_with("GET /go ") { redirect(location) } else { ok("", b"public") }
    });
    scene.names.route(PUBLIC, host);
    scene.names.name("tracker", &[PUBLIC]);
    scene.serve("inside", None, |_| ok("", b"inside"));
    scene.policy = AddressPolicy::default();
    scene
}

fn is_local(result: &Result<Body, FetchError>) -> bool {
    matches!(result, Err(FetchError::Refused { source: Refused::Local(_), .. }))
}

#[test]
fn follows_as_many_redirects_as_allowed() {
    let mut scene = Scene::with(|head| match head.split(' ').nth(1) {
        Some("/0") => redirect("1"),
        Some("/1") => redirect("//other/2?x=%aB"),
        Some("/3") => redirect("http://other/end#part"),
        Some("/loop") => redirect("/loop"),
        _ => ok("", b"wrong"),
    });
    scene.serve("other", None, |head| match head.split(' ').nth(1) {
        Some("/2?x=%aB") => redirect("http://tracker:80/3"),
        Some("/end") => ok("", b"end"),
        _ => ok("", b"wrong"),
    });
    let four = Limits { redirects_max: 4, ..Limits::TRACKER };
    assert_eq!(scene.fetch("http://tracker/0", four).unwrap(), body_of("end"));
    assert_eq!(scene.get("http://tracker/1").unwrap(), body_of("end"));
    let result = scene.get("http://tracker/0");
    assert!(matches!(result, Err(FetchError::Redirects { max: 3 })), "{result:?}");
    let before = scene.heads().len();
    let result = scene.get("http://tracker/loop");
    assert!(matches!(result, Err(FetchError::Redirects { max: 3 })), "{result:?}");
    assert_eq!(scene.heads().len() - before, 4);
}

#[test]
fn redirects_do_not_lead_inside() {
    for location in [
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.2]/",
        "http://10.0.0.2/",
        "//inside/",
        "http://169.254.169.254/latest/meta-data/",
    ] {
        let mut scene = redirecting(location);
        assert_eq!(scene.get("http://tracker/").unwrap(), body_of("public"));
        let result = scene.get("http://tracker/go");
        assert!(matches!(result, Err(FetchError::Refused { .. })), "{location}: {result:?}");
        assert_eq!(scene.heads().len(), 2, "{location}");
        // Not even where such addresses are allowed.
        scene.policy.allow_private = true;
        let result = scene.get("http://tracker/go");
        let inward = matches!(result, Err(FetchError::RedirectInward { .. }));
        let metadata = matches!(result, Err(FetchError::Refused { .. }));
        assert!(if location.contains("169.254") { metadata } else { inward }, "{result:?}");
        assert_eq!(scene.heads().len(), 3, "{location}");
    }
}

#[test]
fn redirects_lead_from_inside_out_and_around_inside() {
    let mut scene = redirecting("/");
    scene.serve("near", None, |_| redirect("http://inside/"));
    scene.serve("gate", None, |_| redirect("http://tracker/"));
    scene.serve("trap", None, |_| redirect("http://tracker/go"));
    scene.policy.allow_private = true;
    assert_eq!(scene.get("http://near/").unwrap(), body_of("inside"));
    assert_eq!(scene.get("http://gate/").unwrap(), body_of("public"));
    let mut scene = redirecting("http://inside/");
    scene.serve("trap", None, |_| redirect("http://tracker/go"));
    scene.policy.allow_private = true;
    let result = scene.get("http://trap/");
    assert!(matches!(result, Err(FetchError::RedirectInward { .. })), "{result:?}");
}

#[test]
fn redirects_to_other_schemes_and_with_credentials_are_refused() {
    for location in ["ftp://tracker/", "file:///etc/passwd", "http:///", "http://tracker:0/"] {
        let result = redirecting(location).get("http://tracker/go");
        assert!(matches!(result, Err(FetchError::Url { .. })), "{location}: {result:?}");
    }
    let result = redirecting("http://me:secret@tracker/").get("http://tracker/go");
    assert!(matches!(result, Err(FetchError::Credentials)), "{result:?}");
}

#[test]
fn names_and_addresses_inside_are_refused() {
    let mut scene = redirecting("/");
    scene.names.name("mixed", &[PUBLIC, "10.0.0.2"]);
    scene.names.name("0x7f.1", &["127.0.0.1"]);
    for url in ["http://inside/", "http://mixed/", "http://10.0.0.2/", "http://0x7f.1/"] {
        assert!(is_local(&scene.get(url)), "{url}");
    }
    scene.names.name("nowhere", &["0.0.0.0"]);
    let result = scene.get("http://nowhere/");
    let no_host = matches!(result, Err(FetchError::Refused { source: Refused::NoHost(_), .. }));
    assert!(no_host, "{result:?}");
    assert!(scene.heads().is_empty());
    scene.policy.allowed_networks = vec!["10.0.0.2/32".parse().unwrap()];
    assert_eq!(scene.get("http://inside/").unwrap(), body_of("inside"));
}

#[test]
fn a_name_is_looked_up_once_a_request_and_an_address_never() {
    let mut scene = redirecting("/x");
    scene.get("http://tracker/go").unwrap();
    assert_eq!(*scene.names.lookups.lock().unwrap(), ["tracker", "tracker"]);
    scene.get(&format!("http://{PUBLIC}/")).unwrap();
    assert_eq!(scene.names.lookups.lock().unwrap().len(), 2);
}

#[test]
fn the_next_address_is_tried_when_one_is_dead() {
    let mut scene = redirecting("/");
    let dark = scene.serve("dark", None, |_| ok("", b""));
    scene.world.kill(dark, Kill::Power);
    scene.names.route("93.184.215.1", dark);
    // One that nobody answers, one without a host, one that works.
    scene.names.name("some", &["93.184.215.1", "93.184.215.2", PUBLIC]);
    assert_eq!(scene.get("http://some/").unwrap(), body_of("public"));
    scene.names.name("none", &["93.184.215.2"]);
    let result = scene.get("http://none/");
    assert!(matches!(result, Err(FetchError::Connect { .. })), "{result:?}");
    let result = scene.get("http://unknown/");
    assert!(matches!(result, Err(FetchError::Resolve { .. })), "{result:?}");
    scene.names.name("empty", &[]);
    let result = scene.get("http://empty/");
    assert!(matches!(result, Err(FetchError::Resolve { .. })), "{result:?}");
}

#[test]
fn errors_show_no_secrets() {
    let secret = "http://me:hunter2@HOST/hunter2/announce?passkey=hunter2";
    let mut scene = redirecting("http://me:hunter2@tracker/hunter2?hunter2");
    scene.serve("silent", None, |_| Reply::Hold(Vec::new()));
    scene.serve("broken", None, |_| Reply::Close(b"hunter2\r\n".to_vec()));
    scene.serve("lost", None, |_| redirect("gopher://hunter2@x/hunter2"));
    scene.serve("coded", None, |_| ok("content-encoding: hunter2\r\n", b"x"));
    let hosts =
        ["tracker:1", "unknown", "10.0.0.2:x", "silent", "broken", "lost", "coded", "127.0.0.1"];
    for allow in [false, true] {
        scene.policy.allow_private = allow;
        for host in hosts {
            let error = scene.get(&secret.replace("HOST", host)).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{host}: {shown}");
        }
    }
    let error = scene.fetch(&secret.replace("HOST", "tracker"), Limits::METAINFO).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let error = scene.get("http://tracker/go").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}
