//! Reads the bytes of pieces out of files.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::layout::{Layout, Span};

/// Bytes that could not be read.
#[derive(Debug, Clone)]
pub(crate) struct Unreadable {
    /// The extent's place in the layout.
    pub(crate) extent: usize,
    /// Why.
    pub(crate) why: Why,
}

/// Why bytes could not be read.
#[derive(Debug, Clone)]
pub(crate) enum Why {
    /// There is no such file.
    Missing,
    /// The file ends before them.
    TooShort,
    /// The system refused, or what stands there is no file.
    Failed(Arc<io::Error>),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file"),
            Self::TooShort => f.write_str("it is shorter than it should be"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl Why {
    /// What stands there is a directory, a device or the like.
    pub(crate) fn no_file() -> Self {
        Self::Failed(Arc::new(io::Error::other("it is not a regular file")))
    }
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::UnexpectedEof => Self::TooShort,
            _ => Self::Failed(Arc::new(error)),
        }
    }
}

/// Reads for one thread. It keeps the file open that it read last: the next bytes are mostly there.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    layout: &'a Layout,
    last: Option<(usize, Result<File, Why>)>,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(layout: &'a Layout) -> Self {
        Self { layout, last: None }
    }

    /// Fills `buffer` with the bytes from `begin` of all pieces on. Pads and gaps are zeros.
    ///
    /// # Errors
    ///
    /// The first file that does not give its bytes.
    pub(crate) fn fill(&mut self, begin: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        let layout = self.layout;
        let (mut at, mut rest) = (begin, buffer);
        for span in layout.spans(begin, rest.len() as u64) {
            let Some(extent) = layout.extents().get(span.extent) else { continue };
            let gap = (extent.offset + span.offset).saturating_sub(at);
            let (zeros, after) = split(rest, gap);
            let (bytes, after) = split(after, span.length);
            zeros.fill(0);
            match &extent.path {
                None => bytes.fill(0),
                Some(path) => self
                    .read(path, span, bytes)
                    .map_err(|why| Unreadable { extent: span.extent, why })?,
            }
            at += gap + span.length;
            rest = after;
        }
        rest.fill(0);
        Ok(())
    }

    fn read(&mut self, path: &Path, span: Span, bytes: &mut [u8]) -> Result<(), Why> {
        if self.last.as_ref().is_none_or(|(extent, _)| *extent != span.extent) {
            self.last = Some((span.extent, open(path)));
        }
        match &self.last {
            Some((_, Ok(file))) => Ok(file.read_exact_at(bytes, span.offset)?),
            Some((_, Err(why))) => Err(why.clone()),
            None => Err(Why::Missing),
        }
    }
}

fn split(bytes: &mut [u8], at: u64) -> (&mut [u8], &mut [u8]) {
    let at = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.split_at_mut(at)
}

/// Opens a regular file. Opening a pipe would wait for its writer, so what it is comes first.
fn open(path: &Path) -> Result<File, Why> {
    if !fs::metadata(path)?.is_file() {
        return Err(Why::no_file());
    }
    Ok(File::open(path)?)
}
