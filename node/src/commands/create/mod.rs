//! `torrentedge create`: makes a `.torrent` file (BEP 3, 12, 19, 27, 52).
//!
//! The info-hash follows from names and bytes alone: dates, owners and permissions are not told. All
//! cores hash; a file that changes meanwhile ends the command. The result is written beside its place
//! and moved there when it is whole.

mod scan;

use std::fs::{self, Permissions};
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bittorrent::PieceIndex;
use bittorrent::metainfo::Metainfo;
use bittorrent::metainfo::create::{
    Hashes, Options, Plan, Segment, SourceFile, Surroundings, Version,
};
use serde::Serialize;
use url::Url;

use crate::cli::CreateFlags;
use crate::failure::Failure;
use crate::hashing::{self, Extent, Hasher, Layout, PieceHash, Stamp, Unfinished, Unreadable};
use crate::progress::Screen;
use crate::{output, shutdown};
use scan::{Found, FoundFile};

/// What the files say of the program that made them.
const CREATED_BY: &str = concat!("TorrentEdge ", env!("CARGO_PKG_VERSION"));
/// The longest address, in bytes, and the most addresses: more are not read.
const URL_LEN_MAX: usize = 2048;
const URLS_MAX: usize = 500;
/// The longest comment in bytes; more is not read.
const COMMENT_LEN_MAX: usize = 16 * 1024;

/// What was made, for `--json`.
#[derive(Debug, Serialize)]
struct Made {
    v1: Option<String>,
    v2: Option<String>,
    name: String,
    piece_length: u32,
    pieces: u32,
}

/// Makes a `.torrent` file and prints its info-hashes.
///
/// # Errors
///
/// It was called wrongly, the files are refused or change, or the result cannot be written.
pub(crate) fn run(flags: &CreateFlags, screen: &Screen) -> Result<(), Failure> {
    let around = surroundings(flags)?;
    let output = replaceable(&flags.output)?;
    let found = scan::scan(&flags.path)?;
    refuse_itself(&output, &found.files)?;
    let plan = plan(flags, &found)?;
    let layout = layout(&plan, &found.files);
    let hashes = shutdown::interruptible(|stop| hash(&plan, &layout, screen, stop))?;
    refuse_changed(&found.files)?;
    let bytes = plan.finish(&hashes, &around).map_err(Failure::failed)?;
    write(&output, &bytes)?;
    let made = made(bytes)?;
    if flags.json { output::print_json(&made) } else { output::print(&made.text()) }
}

fn surroundings(flags: &CreateFlags) -> Result<Surroundings, Failure> {
    check_urls("--tracker", &flags.tracker, &["http", "https", "udp", "ws", "wss"])?;
    check_urls("--web-seed", &flags.web_seed, &["http", "https"])?;
    if flags.comment.as_ref().is_some_and(|comment| comment.len() > COMMENT_LEN_MAX) {
        return Err(Failure::usage(format_args!("--comment: longer than {COMMENT_LEN_MAX} bytes")));
    }
    Ok(Surroundings {
        trackers: flags.tracker.iter().map(|url| vec![url.clone()]).collect(),
        web_seeds: flags.web_seed.clone(),
        comment: flags.comment.clone(),
        created_by: Some(CREATED_BY.to_owned()),
        creation_date: None,
    })
}

/// Addresses are shown by their number: what is in them may be a secret.
fn check_urls(flag: &str, urls: &[String], schemes: &[&str]) -> Result<(), Failure> {
    if urls.len() > URLS_MAX {
        return Err(Failure::usage(format_args!("{flag}: more than {URLS_MAX} of them")));
    }
    for (number, url) in urls.iter().enumerate() {
        let refuse = |why: &str| Failure::usage(format_args!("{flag} {}: {why}", number + 1));
        let parsed = Url::parse(url).map_err(|error| refuse(&error.to_string()))?;
        if !schemes.contains(&parsed.scheme()) || !parsed.has_host() {
            return Err(refuse(&format!("must be an address of {}", schemes.join(", "))));
        }
        if url.len() > URL_LEN_MAX {
            return Err(refuse(&format!("longer than {URL_LEN_MAX} bytes")));
        }
    }
    Ok(())
}

/// Where the result is to be, behind links. A device or directory there is not replaced.
fn replaceable(path: &Path) -> Result<PathBuf, Failure> {
    match fs::canonicalize(path) {
        Ok(target) if !target.is_file() => Err(Failure::usage(format_args!(
            "{}: not a regular file, so it is not replaced",
            path.display()
        ))),
        Ok(target) => Ok(target),
        Err(_) => Ok(path.to_owned()),
    }
}

/// An earlier result inside the directory would become a part of its successor.
fn refuse_itself(output: &Path, files: &[FoundFile]) -> Result<(), Failure> {
    let Ok(stamp) = Stamp::of(output) else { return Ok(()) };
    match files.iter().find(|file| file.stamp.is_same_file(&stamp)) {
        Some(file) => Err(Failure::usage(format_args!(
            "{}: would be a part of the torrent that is written to it",
            file.path.display()
        ))),
        None => Ok(()),
    }
}

fn plan(flags: &CreateFlags, found: &Found) -> Result<Plan, Failure> {
    let version = match (flags.version.v2, flags.version.hybrid) {
        (true, _) => Version::V2,
        (_, true) => Version::Hybrid,
        (false, false) => Version::V1,
    };
    let options = Options { version, piece_length: flags.piece_length, private: flags.private };
    let files = found.files.iter().map(|file| SourceFile {
        path: file.parts.clone(),
        length: file.stamp.length,
        ..SourceFile::default()
    });
    let refuse = |error| Failure::failed(format_args!("{}: {error}", flags.path.display()));
    Plan::new(&found.name, files.collect(), options).map_err(refuse)
}

/// Where the bytes of all pieces are. `files` are in the order of the plan's: both sort by path.
fn layout(plan: &Plan, files: &[FoundFile]) -> Layout {
    debug_assert!(plan.files().iter().map(|file| &file.path).eq(files.iter().map(|f| &f.parts)));
    let mut extents = Vec::new();
    for piece in 0..plan.piece_count() {
        let mut at = u64::from(piece) * u64::from(plan.piece_length());
        for segment in plan.segments(PieceIndex(piece)) {
            let (path, length, bytes) = match segment {
                // The extent of a file is that of its first segment.
                Segment::File { offset: 1.., length, .. } => {
                    at += u64::from(length);
                    continue;
                }
                Segment::File { file, length, .. } => match files.get(file) {
                    Some(file) => (Some(file.path.clone()), file.stamp.length, length),
                    None => continue,
                },
                Segment::Zeros { length } => (None, u64::from(length), length),
            };
            extents.push(Extent { path, offset: at, length });
            at += u64::from(bytes);
        }
    }
    Layout::new(plan.piece_length(), extents)
}

fn hash(
    plan: &Plan,
    layout: &Layout,
    screen: &Screen,
    stop: &AtomicBool,
) -> Result<Hashes, Failure> {
    let count = plan.piece_count() as usize;
    let mut pieces = vec![PieceHash::default(); count];
    let mut failure = None;
    let mut progress = screen.begin("hashing", layout.end());
    let version = plan.version();
    let hasher = Hasher { layout, version, threads: hashing::threads(), stop };
    let done = hasher.run(|piece, result| {
        progress.add(layout.piece_len(piece).into());
        match result {
            Ok(hash) => {
                let place = usize::try_from(piece).ok().and_then(|at| pieces.get_mut(at));
                place.into_iter().for_each(|place| *place = hash);
                ControlFlow::Continue(())
            }
            Err(unreadable) => {
                failure = Some(unreadable);
                ControlFlow::Break(())
            }
        }
    });
    drop(progress);
    if let Some(failure) = failure {
        return Err(unreadable(layout, &failure));
    }
    done.map_err(Unfinished::into_failure)?;
    Ok(Hashes {
        v1: pieces.iter().filter_map(|piece| piece.v1).collect(),
        v2: pieces.iter().filter_map(|piece| piece.v2).collect(),
    })
}

/// It was there and as long as it was found to be.
fn unreadable(layout: &Layout, failure: &Unreadable) -> Failure {
    let path = layout.extents().get(failure.extent).and_then(|extent| extent.path.as_deref());
    let path = path.unwrap_or(Path::new("")).display();
    match &failure.why {
        hashing::Why::Failed(error) => Failure::failed(format_args!("{path}: {error}")),
        hashing::Why::Missing | hashing::Why::TooShort => {
            Failure::failed(format_args!("{path}: changed while it was hashed: {}", failure.why))
        }
    }
}

fn refuse_changed(files: &[FoundFile]) -> Result<(), Failure> {
    let is_as_it_was = |file: &FoundFile| Stamp::of(&file.path).is_ok_and(|now| now == file.stamp);
    match files.iter().find(|file| !is_as_it_was(file)) {
        Some(file) => Err(Failure::failed(format_args!(
            "{}: changed while it was hashed",
            file.path.display()
        ))),
        None => Ok(()),
    }
}

/// Writes beside `path` and moves it there, so that nobody ever finds half a file.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| Failure::file(path, "write", error);
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    // As any new file: what the umask leaves.
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)
        .map_err(|error| failed(&error))?;
    file.write_all(bytes).map_err(|error| failed(&error))?;
    file.as_file().sync_all().map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error.error))?;
    Ok(())
}

/// What others will read in it.
fn made(bytes: Vec<u8>) -> Result<Made, Failure> {
    let info = Metainfo::parse(&bytes.into()).map_err(Failure::failed)?.info;
    Ok(Made {
        v1: info.v1().map(|hash| hash.to_string()),
        v2: info.v2().map(|hash| hash.to_string()),
        name: info.name().to_owned(),
        piece_length: info.piece_length(),
        pieces: info.piece_count(),
    })
}

impl Made {
    fn text(&self) -> String {
        let hashes = [("v1", &self.v1), ("v2", &self.v2)];
        let lines =
            hashes.into_iter().filter_map(|(version, hash)| Some((version, hash.as_ref()?)));
        lines.map(|(version, hash)| format!("info-hash {version}  {hash}\n")).collect()
    }
}
