//! The configuration as text: the reference of all keys, and what is in force.

use std::fmt::Write;

use crate::config::Config;
use crate::section::{KeyInfo, Section};
use crate::source::Origins;

/// The reference: every key with its documentation and default, as a file that changes nothing.
///
/// `examples/torrentedge.toml` is this text.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(
        "# The configuration of TorrentEdge: every key, with its default.\n\
         #\n\
         # A file needs only the keys that differ. It is looked for at /etc/torrentedge/config.toml, then at\n\
         # $XDG_CONFIG_HOME/torrentedge/config.toml (or ~/.config/torrentedge/config.toml), then at the path\n\
         # of --config; the later wins. Stronger still are variables, TORRENTEDGE__SECTION__KEY (as in\n\
         # TORRENTEDGE__ENGINE__NETWORK__LISTEN_PORT=51413), and flags. `torrentedge config show --origin`\n\
         # prints what is in force and where it was given.\n",
    );
    let (keys, sections) = described();
    for (section, doc) in sections {
        let _ = writeln!(text, "\n#{}\n[{section}]", doc.join("\n#"));
        for key in keys.iter().filter(|key| is_in(key, &section)) {
            write_key(&mut text, key);
        }
    }
    text
}

fn write_key(text: &mut String, key: &KeyInfo) {
    let name = key.path.rsplit('.').next().unwrap_or_default();
    let _ = writeln!(text, "\n#{}", key.doc.join("\n#"));
    let _ = writeln!(text, "# Takes {}.", key.expects);
    if key.default.is_empty() {
        let _ = writeln!(text, "# {name} = (not set)");
    } else {
        let _ = writeln!(text, "{name} = {}", key.default);
    }
}

/// The configuration in force as TOML. Secrets are not shown.
#[must_use]
pub fn show(config: &Config) -> String {
    render(config, |_| String::new())
}

/// The configuration in force as TOML, with a comment at each key that says where it was given.
#[must_use]
pub fn show_origins(config: &Config, origins: &Origins) -> String {
    render(config, |path| format!("  # {}", origins.of(path)))
}

fn render(config: &Config, comment: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    let (keys, sections) = described();
    for (section, _) in sections {
        let mut inner = keys.iter().filter(|key| is_in(key, &section)).peekable();
        if inner.peek().is_none() {
            continue;
        }
        let _ = writeln!(text, "{}[{section}]", if text.is_empty() { "" } else { "\n" });
        for key in inner {
            let segments: Vec<&str> = key.path.split('.').collect();
            let value = config.get(&segments).unwrap_or_default();
            let name = segments.last().copied().unwrap_or_default();
            let (mark, value) = if value.is_empty() { ("# ", "(not set)") } else { ("", &*value) };
            let _ = writeln!(text, "{mark}{name} = {value}{}", comment(&key.path));
        }
    }
    text
}

fn described() -> (Vec<KeyInfo>, Vec<(String, &'static [&'static str])>) {
    let (mut keys, mut sections) = (Vec::new(), Vec::new());
    Config::describe("", &mut keys);
    Config::describe_sections("", &mut sections);
    (keys, sections)
}

/// Whether the key stands in the section itself, not in one inside it.
fn is_in(key: &KeyInfo, section: &str) -> bool {
    key.path.rsplit_once('.').is_some_and(|(prefix, _)| prefix == section)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flag, Sources};

    const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/torrentedge.toml");

    /// `UPDATE_EXPECT=1 cargo test -p cluster-config` writes the example anew.
    #[test]
    fn the_example_is_the_reference() {
        let wanted = reference();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(EXAMPLE, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(EXAMPLE).unwrap();
        assert!(found == wanted, "stale: run UPDATE_EXPECT=1 cargo test -p cluster-config");
    }

    #[test]
    fn the_reference_changes_nothing() {
        let environment = [("HOME", "/home/u")];
        let (plain, _) = Config::load(&Sources::bare(environment)).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reference.toml");
        std::fs::write(&path, reference()).unwrap();
        let (loaded, origins) = Config::load(&Sources::bare(environment).with_file(&path)).unwrap();
        assert_eq!(loaded, plain);
        assert!(origins.given().count() > 30);
    }

    #[test]
    fn what_is_shown_loads_as_the_same() {
        let environment = [("HOME", "/home/u")];
        let flags = [
            Flag::new("--limit-up", "engine.rates.up", "1.5 MiB/s"),
            Flag::new("--ratio", "engine.seeding.ratio", "1.25"),
            Flag::new("--allow", "engine.network.allowed_networks", "10.0.0.0/8,fd00::/8"),
        ];
        let sources = Sources::bare(environment).with_flags(flags);
        let (config, origins) = Config::load(&sources).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shown.toml");
        std::fs::write(&path, show_origins(&config, &origins)).unwrap();
        let (again, _) = Config::load(&Sources::bare(environment).with_file(&path)).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn shows_each_key_with_its_origin() {
        let sources = Sources::bare([("HOME", "/home/u"), ("TORRENTEDGE__NODE__SHARDS", "2")])
            .with_flags([Flag::new("--port", "engine.network.listen_port", "7000")]);
        let (config, origins) = Config::load(&sources).unwrap();
        let text = show_origins(&config, &origins);
        for line in [
            "shards = 2  # variable TORRENTEDGE__NODE__SHARDS",
            "listen_port = 7000  # flag --port",
            "listen_ip = \"0.0.0.0\"  # default",
            "# extra_ca_file = (not set)  # default",
            "data_dir = \"/home/u/.local/share/torrentedge\"  # default",
        ] {
            assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
        }
        assert!(!show(&config).contains("default"));
    }
}
