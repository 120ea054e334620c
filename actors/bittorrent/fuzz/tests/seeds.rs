//! The seeds are there, up to date, and hold; every target has its program.
//!
//! `UPDATE_EXPECT=1 cargo test` writes them anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use bittorrent_fuzz::TARGETS;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a directory, with its bytes.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("a directory can be read").path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            let bytes = fs::read(&path).expect("a seed can be read");
            files.insert(path, bytes);
        }
    }
    files
}

#[test]
fn seeds_are_fresh() {
    let directory = root().join("seeds");
    let mut expected = BTreeMap::new();
    for target in TARGETS {
        for (name, bytes) in (target.seeds)() {
            expected.insert(directory.join(target.name).join(name), bytes);
        }
    }
    if env::var_os("UPDATE_EXPECT").is_some() {
        let _ = fs::remove_dir_all(&directory);
        for (path, bytes) in &expected {
            fs::create_dir_all(path.parent().expect("below seeds")).expect("a directory is made");
            fs::write(path, bytes).expect("a seed is written");
        }
    }
    let stale = "seeds differ from what makes them: UPDATE_EXPECT=1 writes them anew";
    assert!(files(&directory) == expected, "{stale}");
}

#[test]
fn every_target_holds_for_every_seed() {
    let seeds: Vec<_> = TARGETS.iter().flat_map(|target| (target.seeds)()).collect();
    for target in TARGETS {
        seeds.iter().for_each(|(_, bytes)| (target.check)(bytes));
    }
}

#[test]
fn every_target_has_a_program() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    for target in TARGETS {
        let program = format!("fuzz_targets/{}.rs", target.name);
        assert!(root().join(&program).is_file(), "{program} is missing");
        assert!(manifest.contains(&format!("path = \"{program}\"")), "{program} is not built");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    assert!(TARGETS.is_sorted_by_key(|target| target.name));
}
