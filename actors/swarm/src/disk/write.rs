//! Writing pieces from the buffers that they were received into, without a copy.

use std::io::IoSlice;

use bittorrent::BlockRef;
use bytes::Bytes;
use env::disk::FileSystem;

use super::error::StorageError;
use super::handles::Access;
use super::layout::Layout;

/// Bytes for one range of a file.
#[derive(Debug)]
pub(super) struct Extent<'b> {
    layout: &'b Layout,
    file: usize,
    begin: u64,
    end: u64,
    slices: Vec<IoSlice<'b>>,
    /// The caller's number for what these bytes belong to.
    owner: usize,
}

/// Adds the file ranges of `range` to `out`, with the bytes of `blocks`, which follow each other.
pub(super) fn add_extents<'b>(
    layout: &'b Layout,
    range: BlockRef,
    blocks: &'b [Bytes],
    owner: usize,
    out: &mut Vec<Extent<'b>>,
) {
    let mut cut = Cut { blocks: blocks.iter(), rest: &[] };
    for span in layout.spans(range) {
        let slices = cut.take(usize::try_from(span.length).unwrap_or(usize::MAX));
        if !layout.is_pad(span.file) {
            let (begin, end) = (span.offset, span.offset + span.length);
            out.push(Extent { layout, file: span.file, begin, end, slices, owner });
        }
    }
}

/// Blocks that are cut at the ends of files.
struct Cut<'b> {
    blocks: std::slice::Iter<'b, Bytes>,
    rest: &'b [u8],
}

impl<'b> Cut<'b> {
    fn take(&mut self, mut length: usize) -> Vec<IoSlice<'b>> {
        let mut slices = Vec::with_capacity(self.blocks.len() + 1);
        while length > 0 {
            if self.rest.is_empty() {
                let Some(block) = self.blocks.next() else { break };
                self.rest = block;
            }
            let (now, later) = self.rest.split_at(length.min(self.rest.len()));
            if !now.is_empty() {
                slices.push(IoSlice::new(now));
            }
            length -= now.len();
            self.rest = later;
        }
        slices
    }
}

/// Writes all extents, those that follow each other in a file by one call. Gives the owners whose bytes
/// are not all written, and why.
pub(super) fn write(
    files: &dyn FileSystem,
    mut extents: Vec<Extent<'_>>,
) -> Vec<(usize, StorageError)> {
    extents.sort_by_key(|extent| (extent.layout.uid, extent.file, extent.begin));
    let mut failed = Vec::new();
    let mut extents = extents.into_iter().peekable();
    while let Some(mut run) = extents.next() {
        let mut owners = vec![run.owner];
        while let Some(next) = extents.next_if(|next| run.continues_with(next)) {
            run.slices.extend(next.slices);
            run.end = next.end;
            owners.push(next.owner);
        }
        if let Err(error) = write_run(files, &mut run) {
            failed.extend(owners.into_iter().map(|owner| (owner, error.clone())));
        }
    }
    failed
}

impl Extent<'_> {
    fn continues_with(&self, next: &Extent<'_>) -> bool {
        (next.layout.uid, next.file, next.begin) == (self.layout.uid, self.file, self.end)
    }
}

fn write_run(files: &dyn FileSystem, run: &mut Extent<'_>) -> Result<(), StorageError> {
    let file = run.layout.open(files, run.file, Access::Write)?;
    run.layout.touch(run.file);
    file.write_all_at(&mut run.slices, run.begin)
        .map_err(|error| StorageError::new(&run.layout.path_at(run.file), &error))
}
