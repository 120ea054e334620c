//! Settings of a torrent as a client sends them: only those that it wants to change.

use std::path::{Component, Path, PathBuf};

use control::{FilePriority, SeedGoals, TorrentSettings};
use serde::{Deserialize, Deserializer};

use crate::problem::Problem;

/// Trackers that can be added to a torrent.
const TRACKERS_MAX: usize = 100;

/// Some settings. A field that is absent stays as it is; `null` is the node's default where one exists.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct SettingsPatch {
    #[serde(deserialize_with = "nullable")]
    download_dir: Option<Option<PathBuf>>,
    sequential: Option<bool>,
    priorities: Option<Vec<u8>>,
    down_bytes_per_s: Option<u64>,
    up_bytes_per_s: Option<u64>,
    connections_max: Option<u32>,
    #[serde(deserialize_with = "nullable")]
    seed_goals: Option<Option<Goals>>,
    queue_position: Option<u32>,
    trackers: Option<Vec<String>>,
    #[serde(deserialize_with = "nullable")]
    preallocate: Option<Option<bool>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Goals {
    ratio: Option<f64>,
    seconds: Option<u64>,
}

/// Tells a `null` from a field that is absent.
fn nullable<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

fn replace<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

impl SettingsPatch {
    /// Changes `settings`.
    ///
    /// # Errors
    ///
    /// A value is against the rules; `settings` is changed in part and of no use.
    pub(super) fn apply(self, settings: &mut TorrentSettings) -> Result<(), Problem> {
        self.check()?;
        replace(&mut settings.download_dir, self.download_dir);
        replace(&mut settings.sequential, self.sequential);
        let priorities = |levels: Vec<u8>| levels.into_iter().map(FilePriority::new).collect();
        replace(&mut settings.priorities, self.priorities.map(priorities));
        replace(&mut settings.down_bytes_per_s, self.down_bytes_per_s);
        replace(&mut settings.up_bytes_per_s, self.up_bytes_per_s);
        replace(&mut settings.connections_max, self.connections_max);
        let goals = |goals: Goals| SeedGoals { ratio: goals.ratio, seconds: goals.seconds };
        replace(&mut settings.seed_goals, self.seed_goals.map(|given| given.map(goals)));
        replace(&mut settings.queue_position, self.queue_position);
        replace(&mut settings.trackers, self.trackers);
        replace(&mut settings.preallocate, self.preallocate);
        Ok(())
    }

    /// The values by themselves. Errors do not repeat trackers: their addresses may hold secrets.
    fn check(&self) -> Result<(), Problem> {
        if let Some(Some(path)) = &self.download_dir
            && !is_plain(path)
        {
            return Err(Problem::field("downloadDir", "give an absolute path without .."));
        }
        if let Some(level) = self.priorities.iter().flatten().find(|level| **level > 7) {
            return Err(Problem::field("priorities", format!("{level} is not within 0 to 7")));
        }
        if let Some(Some(Goals { ratio: Some(ratio), .. })) = &self.seed_goals
            && *ratio < 0.0
        {
            return Err(Problem::field("seedGoals.ratio", format!("{ratio} is negative")));
        }
        let trackers = self.trackers.as_deref().unwrap_or_default();
        if trackers.len() > TRACKERS_MAX {
            let detail = format!("{} are more than {TRACKERS_MAX}", trackers.len());
            return Err(Problem::field("trackers", detail));
        }
        let is_tracker = |url: &String| {
            let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
            matches!(scheme.as_deref(), Some("http" | "https" | "udp"))
        };
        if !trackers.iter().all(is_tracker) {
            return Err(Problem::field("trackers", "give http, https or udp addresses"));
        }
        Ok(())
    }
}

/// Whether a path says by itself where it leads; where a torrent may be put is the engine's decision.
fn is_plain(path: &Path) -> bool {
    let climbs = path.components().any(|part| matches!(part, Component::ParentDir));
    path.is_absolute() && !climbs && !path.as_os_str().as_encoded_bytes().contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<TorrentSettings, String> {
        let mut settings =
            TorrentSettings { preallocate: Some(true), up_bytes_per_s: 7, ..Default::default() };
        let patch: SettingsPatch = serde_json::from_str(json).map_err(|error| error.to_string())?;
        patch.apply(&mut settings).map_err(|problem| problem.detail().to_owned())?;
        Ok(settings)
    }

    #[test]
    fn changes_only_what_is_named() {
        let settings = check(r#"{"sequential": true, "priorities": [0, 7]}"#).unwrap();
        assert!(settings.sequential);
        assert_eq!(settings.priorities, [FilePriority::SKIP, FilePriority::HIGH]);
        assert_eq!((settings.preallocate, settings.up_bytes_per_s), (Some(true), 7));
    }

    #[test]
    fn null_is_the_default_of_the_node() {
        assert_eq!(check(r#"{"preallocate": null}"#).unwrap().preallocate, None);
        let goals = check(r#"{"seedGoals": {"ratio": 1.5}}"#).unwrap().seed_goals.unwrap();
        assert_eq!((goals.ratio, goals.seconds), (Some(1.5), None));
    }

    #[test]
    fn refuses_what_is_against_the_rules() {
        for json in [
            r#"{"downloadDir": "relative"}"#,
            r#"{"downloadDir": "/data/../etc"}"#,
            r#"{"downloadDir": "/data/\u0000"}"#,
            r#"{"priorities": [8]}"#,
            r#"{"seedGoals": {"ratio": -1}}"#,
            r#"{"trackers": ["file:///etc/passwd"]}"#,
            r#"{"sequentail": true}"#,
        ] {
            assert!(check(json).is_err(), "{json}");
        }
    }

    #[test]
    fn errors_do_not_repeat_a_trackers_secrets() {
        let error = check(r#"{"trackers": ["ftp://t.example/?passkey=s3cret"]}"#).unwrap_err();
        assert!(!error.contains("s3cret"), "{error}");
    }
}
