//! Tests of what holds between sections.

use super::*;
use crate::source::Flag;

fn load_with(
    environment: &[(&'static str, &'static str)],
) -> Result<(Config, Origins), ConfigError> {
    Config::load(&Sources::bare(environment.iter().copied()))
}

#[test]
fn relative_paths_are_in_the_data_directory() {
    let (config, _) = load_with(&[("HOME", "/home/u")]).unwrap();
    assert_eq!(config.engine.download_dir, Path::new("/home/u/.local/share/torrentedge/downloads"));
    assert_eq!(config.store.path, Path::new("/home/u/.local/share/torrentedge/store.sqlite"));
    let (config, _) = load_with(&[
        ("TORRENTEDGE__NODE__DATA_DIR", "/data"),
        ("TORRENTEDGE__EVENT_LOG__PATH", "/elsewhere/events"),
    ])
    .unwrap();
    assert_eq!(config.engine.download_dir, Path::new("/data/downloads"));
    assert_eq!(config.event_log.path, Path::new("/elsewhere/events"));
}

#[test]
fn the_data_directory_follows_xdg_unless_it_is_given() {
    let (config, origins) = load_with(&[("XDG_DATA_HOME", "/xdg")]).unwrap();
    assert_eq!(config.node.data_dir, Path::new("/xdg/torrentedge"));
    assert_eq!(origins.of("node.data_dir").to_string(), "variable XDG_DATA_HOME");
    let given = [("XDG_DATA_HOME", "/xdg"), ("TORRENTEDGE__NODE__DATA_DIR", "/data")];
    assert_eq!(load_with(&given).unwrap().0.node.data_dir, Path::new("/data"));
}

#[test]
fn a_home_is_needed_only_where_it_is_meant() {
    let error = load_with(&[]).unwrap_err().to_string();
    assert!(error.contains("node.data_dir begins with ~, but HOME is not set"), "{error}");
    assert!(load_with(&[("TORRENTEDGE__NODE__DATA_DIR", "/data")]).is_ok());
}

#[test]
fn contradictions_name_both_keys_and_their_origins() {
    let sources = Sources::bare([("HOME", "/home/u")]).with_flags([Flag::new(
        "--connections",
        "engine.network.max_connections",
        "60",
    )]);
    assert_eq!(
        Config::load(&sources).unwrap_err().to_string(),
        "engine.network.max_connections_per_torrent (default) is more than \
         engine.network.max_connections (flag --connections)"
    );
}

#[test]
fn kafka_needs_brokers() {
    let wrong = [("HOME", "/home/u"), ("TORRENTEDGE__EVENT_LOG__KIND", "kafka")];
    assert_eq!(
        load_with(&wrong).unwrap_err().to_string(),
        "event_log.kind (variable TORRENTEDGE__EVENT_LOG__KIND) needs \
         event_log.kafka.brokers (default)"
    );
    let right = [wrong[0], wrong[1], ("TORRENTEDGE__EVENT_LOG__KAFKA__BROKERS", "a:1,b:1")];
    assert_eq!(load_with(&right).unwrap().0.event_log.kafka.brokers, ["a:1", "b:1"]);
}

#[test]
fn the_defaults_are_in_their_ranges() {
    let (config, origins) = load_with(&[("HOME", "/home/u")]).unwrap();
    assert_eq!(origins.given().count(), 0);
    assert!(config.gateway.listen.ip().is_loopback());
}
