//! The stage of one test: a network, a directory of its own, and a report when it fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow};

use crate::{Host, Network};

/// Lines of each program's output that a failure report shows.
const REPORTED_LINES: usize = 40;

/// Where a test runs.
#[derive(Debug)]
pub struct Scene {
    network: Network,
    dir: PathBuf,
}

impl Scene {
    /// Runs `test` on a thread with a network of its own. Its files are removed when it passes and
    /// named in the error when it fails, with the end of every program's output.
    ///
    /// # Errors
    ///
    /// What `test` failed with.
    pub fn run(test: impl FnOnce(&Self) -> Result<()> + Send) -> Result<()> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = root().join(format!("target/scenes/{}-{number}", std::process::id()));
        fs::create_dir_all(dir.join("logs"))?;
        let played = thread::scope(|scope| {
            let stage = scope.spawn(|| -> Result<()> {
                let network = Network::new()?;
                test(&Self { network, dir: dir.clone() })
            });
            stage.join().unwrap_or_else(|panic| Err(anyhow!("panicked: {}", message(&*panic))))
        });
        match played {
            Ok(()) => fs::remove_dir_all(&dir).context("cannot clean up"),
            Err(error) => Err(error.context(report(&dir.join("logs")))),
        }
    }

    /// Adds a host to the scene's network.
    ///
    /// # Errors
    ///
    /// See [`Network::host`].
    pub fn host(&self) -> Result<Host> {
        self.network.host()
    }

    /// A new directory of this name.
    ///
    /// # Errors
    ///
    /// The disk cannot be written.
    pub fn dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// Where programs leave their output.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the repository")
}

/// Where `make setup` puts what is no Debian package.
pub fn cache() -> PathBuf {
    root().join(".cache/interop")
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

fn report(logs: &Path) -> String {
    let mut report = format!("logs in {}\n", logs.display());
    let mut files: Vec<PathBuf> =
        fs::read_dir(logs).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.is_file()) {
        let text = String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(REPORTED_LINES)..];
        if !tail.is_empty() {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            report += &format!("--- {name}\n{}\n", tail.join("\n"));
        }
    }
    report
}
