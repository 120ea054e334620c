//! `torrentedge verify`: compares files on this machine with a torrent's hashes.
//!
//! All cores hash. A file that is missing, short or unreadable makes its pieces missing and does not
//! end the command. Nothing is written.

mod expected;
mod report;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use crate::cli::VerifyFlags;
use crate::failure::Failure;
use crate::hashing::{self, Extent, Hasher, Layout, Unfinished, Why};
use crate::progress::Screen;
use crate::{output, shutdown};
use expected::Expected;
use report::Report;

/// Verifies a torrent's files and prints what is there.
///
/// # Errors
///
/// Something is missing or wrong; or the torrent is refused, or the directory is not there.
pub(crate) fn run(flags: &VerifyFlags, screen: &Screen) -> Result<(), Failure> {
    let bytes = output::read_file(&flags.torrent)?;
    let expected = Expected::read(&bytes)
        .map_err(|error| Failure::failed(format_args!("{}: {error}", flags.torrent.display())))?;
    fs::read_dir(&flags.dir).map_err(|error| Failure::file(&flags.dir, "open", &error))?;
    let info = expected.info();
    let layout = Layout::of_torrent(info.files(), info.piece_length(), &flags.dir);
    let report = shutdown::interruptible(|stop| verify(&expected, &layout, screen, stop))?;
    if flags.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.text())?;
    }
    if report.complete { Ok(()) } else { Err(Failure::failed(report.sentence())) }
}

fn verify(
    expected: &Expected,
    layout: &Layout,
    screen: &Screen,
    stop: &AtomicBool,
) -> Result<Report, Failure> {
    let pieces = usize::try_from(layout.piece_count()).unwrap_or(usize::MAX);
    let mut have = vec![false; pieces];
    let mut failures = absent(layout);
    let mut progress = screen.begin("verifying", layout.end());
    let version = expected.version();
    let hasher = Hasher { layout, version, threads: hashing::threads(), stop };
    let done = hasher.run(|piece, result| {
        progress.add(layout.piece_len(piece).into());
        match result {
            Ok(hash) => {
                let place = usize::try_from(piece).ok().and_then(|at| have.get_mut(at));
                place.into_iter().for_each(|has| *has = hash == expected.of(piece));
            }
            Err(failure) => {
                failures.entry(failure.extent).or_insert(failure.why);
            }
        }
        ControlFlow::Continue(())
    });
    drop(progress);
    done.map_err(Unfinished::into_failure)?;
    Ok(Report::new(expected.info().files(), layout, &have, &failures))
}

/// Files that are not there, are too short, or are no files. A piece that cannot be read tells it of its
/// first file only, and an empty file has no piece.
fn absent(layout: &Layout) -> BTreeMap<usize, Why> {
    let look = |extent: &Extent| match fs::metadata(extent.path.as_ref()?) {
        Err(error) => Some(Why::from(error)),
        Ok(found) if !found.is_file() => Some(Why::no_file()),
        Ok(found) => (found.len() < extent.length).then_some(Why::TooShort),
    };
    let extents = layout.extents().iter().enumerate();
    extents.filter_map(|(number, extent)| Some((number, look(extent)?))).collect()
}
