//! `torrentedge simulate`: becomes the program `torrentedge-sim`.
//!
//! Simulations are a program of their own because it replaces the system's chance for all that is linked
//! into it. It stands beside this program, or somewhere on `PATH`.

use std::env;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::SimulateFlags;
use crate::failure::Failure;

/// The program that simulates.
const PROGRAM: &str = "torrentedge-sim";

/// Hands all arguments to the program that simulates, whose exit code is ours.
///
/// # Errors
///
/// It is not there, or cannot be started. Otherwise this does not return.
pub(crate) fn run(flags: &SimulateFlags) -> Result<(), Failure> {
    let beside = env::current_exe().ok();
    let path = env::var_os("PATH").unwrap_or_default();
    let Some(program) = find(beside.as_deref(), &path) else {
        return Err(Failure::failed(format_args!(
            "{PROGRAM} is neither beside this program nor on PATH; \
             `cargo build --release -p simulations` builds it"
        )));
    };
    // So that what it says of itself can be typed again.
    let mut name = env::args_os().next().unwrap_or_else(|| "torrentedge".into());
    name.push(" simulate");
    let error = Command::new(&program).arg0(name).args(&flags.arguments).exec();
    Err(Failure::failed(format_args!("{}: cannot start: {error}", program.display())))
}

/// The program beside the running one, or the first on `path`.
fn find(running: Option<&Path>, path: &OsStr) -> Option<PathBuf> {
    let beside = running.and_then(Path::parent).map(Path::to_path_buf);
    beside
        .into_iter()
        .chain(env::split_paths(path))
        .map(|dir| dir.join(PROGRAM))
        .find(|p| p.is_file())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn the_one_beside_comes_before_those_on_the_path() {
        let [beside, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let running = beside.path().join("torrentedge");
        let path = env::join_paths([Path::new("/nowhere"), elsewhere.path()]).unwrap();
        let found = || find(Some(&running), &path);
        assert_eq!(found(), None);
        std::fs::write(elsewhere.path().join(PROGRAM), "").unwrap();
        assert_eq!(found(), Some(elsewhere.path().join(PROGRAM)));
        std::fs::write(beside.path().join(PROGRAM), "").unwrap();
        assert_eq!(found(), Some(beside.path().join(PROGRAM)));
        assert_eq!(find(None, &OsString::new()), None);
    }
}
