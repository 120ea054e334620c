//! The scenarios that the program brings with it.

/// Name and text of each file in `scenarios/`.
macro_rules! built_in {
    ($($name:literal,)+) => {
        &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),+]
    };
}

/// In the order in which a newcomer may read them.
const FILES: &[(&str, &str)] = built_in![
    "one-seed-one-leech",
    "flash-crowd",
    "slow-seed",
    "partial-seeds",
    "endgame",
    "many-pieces",
    "asymmetric-links",
    "latency-classes",
    "rate-limited",
    "magnet",
    "private",
    "nat",
    "churn",
    "selfish-leechers",
    "corrupting-peer",
    "lying-bitfields",
    "tracker-outage",
    "partition",
    "disk-full",
    "slow-disk",
    "bit-rot",
    "crash-loop",
    "power-cuts",
    "everything",
    "faults-small",
    "flash-crowd-1000",
];

/// The built-in scenarios: name, and what each is about in a sentence.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().map(|&(name, text)| (name, about(text)))
}

/// The file and the text of a built-in scenario.
pub(super) fn text_of(name: &str) -> Option<(String, &'static str)> {
    let (name, text) = FILES.iter().find(|(own, _)| *own == name)?;
    Some((format!("scenarios/{name}.toml"), text))
}

/// The sentence behind `about`; a test sees that it is what the parser reads there.
fn about(text: &'static str) -> &'static str {
    let about = text.lines().find_map(|line| line.strip_prefix("about = \""));
    about.and_then(|about| about.strip_suffix('"')).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::scenario::find;

    #[test]
    fn every_file_in_the_directory_is_built_in_and_named_after_its_file() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut there = BTreeSet::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            there.insert(file.strip_suffix(".toml").unwrap().to_owned());
        }
        let known: BTreeSet<String> = names().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(known, there);
        assert_eq!(names().count(), FILES.len(), "each once");
        for (name, about) in names() {
            let scenario = find(name).unwrap();
            assert_eq!((scenario.name.as_str(), scenario.about.as_str()), (name, about));
        }
    }
}
