//! Tests of merging, with a section of their own.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::secret::Secret;
use crate::section::section;
use crate::source::Flag;

section! {
    /// A section for tests.
    struct Outer {
        keys {
            /// A number.
            port: u16 = 80, in 1..=1000;
            /// A secret.
            token: Secret = Secret::default();
        }
        sections {
            /// A section inside.
            inner: Inner;
        }
    }
}

section! {
    /// A section inside.
    struct Inner {
        keys {
            /// A duration.
            wait: Duration = Duration::from_secs(1);
            /// A path that may be absent.
            file: Option<PathBuf> = None;
        }
    }
}

const NO_ENVIRONMENT: [(&str, &str); 0] = [];

fn with_text(text: &str) -> Result<(Outer, Origins), ConfigError> {
    let mut loader = Loader::<Outer>::new();
    loader.add_file(Path::new("/c.toml"), text);
    if loader.problems.is_empty() {
        Ok((loader.values, loader.origins))
    } else {
        Err(ConfigError { problems: loader.problems })
    }
}

/// The text of what is wrong with a file.
fn error_of(text: &str) -> String {
    with_text(text).unwrap_err().to_string()
}

#[test]
fn the_later_source_wins() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let weak = file("weak.toml", "port = 1\n[inner]\nwait = \"2s\"\n");
    let strong = file("strong.toml", "\nport = 2\n");
    let files = |environment: &[(&'static str, &'static str)]| {
        Sources::bare(environment.iter().copied()).with_file(&weak).with_file(&strong)
    };
    let (values, origins) = load::<Outer>(&files(&[])).unwrap();
    assert_eq!((values.port, values.inner.wait), (2, Duration::from_secs(2)));
    assert_eq!(origins.of("port"), &Origin::file(&strong, (2, 1)));
    assert_eq!(origins.of("inner.wait"), &Origin::file(&weak, (3, 1)));
    assert_eq!(origins.of("token"), &Origin::Default);

    let sources = files(&[("TORRENTEDGE__PORT", "3")]);
    let (values, origins) = load::<Outer>(&sources).unwrap();
    assert_eq!(values.port, 3);
    assert_eq!(origins.of("port"), &Origin::variable("TORRENTEDGE__PORT"));

    let sources =
        sources.with_flags([Flag::new("-p", "port", "4"), Flag::new("--port", "port", "5")]);
    let (values, origins) = load::<Outer>(&sources).unwrap();
    assert_eq!(values.port, 5);
    assert_eq!(origins.of("port").to_string(), "flag --port");
}

#[test]
fn an_unknown_key_names_its_place_and_the_nearest() {
    assert_eq!(
        error_of("token = \"x\"\n  prot = 5\n"),
        "/c.toml:2:3: unknown key prot, did you mean port?"
    );
    assert_eq!(
        error_of("[inner]\nwiat = \"1s\""),
        "/c.toml:2:1: unknown key inner.wiat, did you mean inner.wait?"
    );
    assert_eq!(
        error_of("[inter]\nwait = 5"),
        "/c.toml:1:2: unknown key inter, did you mean inner?"
    );
    assert_eq!(
        error_of("wait = \"1s\""),
        "/c.toml:1:1: unknown key wait, did you mean inner.wait?"
    );
    assert_eq!(error_of("zzzzzzzz = 1"), "/c.toml:1:1: unknown key zzzzzzzz");
    let sources = Sources::bare([("TORRENTEDGE__INNER__WAITS", "1s"), ("TORRENTEDGE_OTHER", "x")]);
    assert_eq!(
        load::<Outer>(&sources).unwrap_err().to_string(),
        "variable TORRENTEDGE__INNER__WAITS: unknown key inner.waits, did you mean inner.wait?"
    );
}

#[test]
fn a_wrong_value_names_key_value_expectation_and_place() {
    let expects = "expected a whole number, from 1 to 1000";
    assert_eq!(error_of("port = 70000"), format!("/c.toml:1:1: port = 70000: {expects}"));
    assert_eq!(error_of("port = \"5\""), format!("/c.toml:1:1: port = \"5\": {expects}"));
    assert_eq!(error_of("port = 1979-05-27"), format!("/c.toml:1:1: port = 1979-05-27: {expects}"));
    assert_eq!(error_of("port.x = 1"), format!("/c.toml:1:1: port = a table: {expects}"));
    assert_eq!(error_of("inner = 5"), "/c.toml:1:1: inner = 5: expected a section, [inner]");
    let sources = Sources::bare(NO_ENVIRONMENT).with_flags([Flag::new("--port", "port", "-1")]);
    assert_eq!(
        load::<Outer>(&sources).unwrap_err().to_string(),
        format!("flag --port: port = -1: {expects}")
    );
}

#[test]
fn a_long_value_is_cut() {
    let error = error_of(&format!("port = \"{}\"", "9".repeat(5000)));
    assert!(error.len() < 250 && error.contains("9…"), "{error}");
}

#[test]
fn all_problems_are_told_in_the_order_of_the_file() {
    let error = with_text("z = 1\nport = 0\na = 1\n[inner]\nwait = 5\n").unwrap_err();
    let lines: Vec<String> = error.to_string().lines().map(|l| l[..11].to_owned()).collect();
    assert_eq!(lines, ["/c.toml:1:1", "/c.toml:2:1", "/c.toml:3:1", "/c.toml:5:1"]);
}

#[test]
fn a_syntax_error_names_its_place() {
    let error = error_of("port = 1\ntoken = = 2\n");
    assert!(error.starts_with("/c.toml:2:9: not valid TOML: "), "{error}");
    assert!(error_of("port = 1\nport = 2\n").starts_with("/c.toml:2:1: not valid TOML: "));
}

#[test]
fn a_secret_is_never_in_an_error() {
    assert!(!error_of("token = 12345").contains("12345"));
    let (values, _) = with_text("token = \"hunter2\"").unwrap();
    assert_eq!(values.token.expose(), "hunter2");
    assert!(!format!("{values:?}").contains("hunter2"));
}

#[test]
fn a_secret_can_come_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "hunter2\n").unwrap();
    let name = path.to_str().unwrap();
    let (values, origins) = with_text(&format!("token_file = '{name}'")).unwrap();
    assert_eq!(values.token.expose(), "hunter2");
    assert_eq!(origins.of("token").to_string(), "/c.toml:1:1");

    let sources = Sources::bare([("TORRENTEDGE__TOKEN_FILE", name)]);
    assert_eq!(load::<Outer>(&sources).unwrap().0.token.expose(), "hunter2");

    let error = error_of("token_file = \"/nowhere/token\"");
    assert!(error.contains("token_file: cannot read the secret from /nowhere/token"), "{error}");
    assert!(error_of("port_file = \"/x\"").contains("unknown key port_file"));
}

#[test]
fn only_the_file_that_was_asked_for_must_be_there() {
    let missing = Sources::bare(NO_ENVIRONMENT).with_file("/nowhere/c.toml");
    let error = load::<Outer>(&missing).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/c.toml: cannot read the configuration: "), "{error}");

    let directory = tempfile::tempdir().unwrap();
    let home = Sources::standard([("XDG_CONFIG_HOME", directory.path())]);
    assert!(home.files.iter().all(|file| !file.must_exist));
    assert_eq!(home.files[1].path, directory.path().join("torrentedge/config.toml"));
    let fallback = Sources::standard([("HOME", "/home/u"), ("XDG_CONFIG_HOME", "relative")]);
    assert_eq!(fallback.files[1].path, Path::new("/home/u/.config/torrentedge/config.toml"));
}

#[test]
fn an_empty_text_takes_an_earlier_value_away() {
    let sources = Sources::bare([("TORRENTEDGE__INNER__FILE", "/a")]);
    assert_eq!(load::<Outer>(&sources).unwrap().0.inner.file, Some(PathBuf::from("/a")));
    let sources = sources.with_flags([Flag::new("--file", "inner.file", "")]);
    assert_eq!(load::<Outer>(&sources).unwrap().0.inner.file, None);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[a-z\\[\\]=\"'.\\n #0-9{},-]{0,80}") {
        let _ = with_text(&text);
    }
}
