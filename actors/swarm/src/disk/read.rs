//! Reading blocks into buffers, with one call for blocks that lie together on disk.

use std::io::{self, IoSliceMut};

use bittorrent::BlockRef;
use bittorrent::wire::piece_header;
use bytes::BytesMut;
use env::disk::{File, FileSystem};

use super::error::StorageError;
use super::handles::Access;
use super::layout::Layout;

/// Buffers of one call at most: `IOV_MAX` on Linux.
const SLOTS_MAX: usize = 1024;
/// Bytes before a block on the wire.
const HEADER_LEN: usize = 13;

/// Lays the blocks out in `buf` as piece messages, ready to be sent.
///
/// `buf` gets the right length first; bytes that it already has are written over.
pub(super) fn read_messages(
    layout: &Layout,
    files: &dyn FileSystem,
    blocks: &[BlockRef],
    buf: &mut BytesMut,
) -> Result<(), StorageError> {
    let total: usize = blocks.iter().map(|block| HEADER_LEN + block.length as usize).sum();
    // Memory that was used before is not set to zero again.
    if buf.len() < total {
        buf.resize(total, 0);
    }
    buf.truncate(total);
    let (mut reader, mut rest) = (Reader::new(layout, files), &mut buf[..]);
    for &block in blocks {
        let out_of_range = StorageError::OutOfRange(block);
        let Some((header, after)) = rest.split_at_mut_checked(HEADER_LEN) else {
            return Err(out_of_range);
        };
        header.copy_from_slice(&piece_header(block.piece, block.begin, block.length));
        let Some((slot, after)) = after.split_at_mut_checked(block.length as usize) else {
            return Err(out_of_range);
        };
        reader.add(block, slot)?;
        rest = after;
    }
    reader.finish()
}

/// Reads one block.
pub(super) fn read_block(
    layout: &Layout,
    files: &dyn FileSystem,
    block: BlockRef,
    buf: &mut [u8],
) -> Result<(), StorageError> {
    let mut reader = Reader::new(layout, files);
    reader.add(block, buf)?;
    reader.finish()
}

/// Bytes that follow each other in one file, and where they go.
#[derive(Debug)]
struct Run<'b> {
    file: usize,
    begin: u64,
    end: u64,
    slots: Vec<IoSliceMut<'b>>,
}

/// Collects blocks and reads them in runs.
pub(super) struct Reader<'a, 'b> {
    layout: &'a Layout,
    files: &'a dyn FileSystem,
    run: Option<Run<'b>>,
}

impl<'a, 'b> Reader<'a, 'b> {
    pub(super) fn new(layout: &'a Layout, files: &'a dyn FileSystem) -> Self {
        Self { layout, files, run: None }
    }

    /// Has a block read into `slot`, which is as long, at [`Reader::finish`] at the latest.
    pub(super) fn add(&mut self, block: BlockRef, slot: &'b mut [u8]) -> Result<(), StorageError> {
        let layout = self.layout;
        let mut rest = slot;
        for span in layout.spans(block) {
            let length = usize::try_from(span.length).unwrap_or(usize::MAX);
            let all = std::mem::take(&mut rest);
            let Some((part, after)) = all.split_at_mut_checked(length) else {
                return Err(StorageError::OutOfRange(block));
            };
            rest = after;
            if layout.is_pad(span.file) {
                part.fill(0);
                continue;
            }
            let end = span.offset + span.length;
            match &mut self.run {
                Some(run)
                    if run.file == span.file
                        && run.end == span.offset
                        && run.slots.len() < SLOTS_MAX =>
                {
                    run.end = end;
                    run.slots.push(IoSliceMut::new(part));
                }
                _ => {
                    self.flush()?;
                    let slots = vec![IoSliceMut::new(part)];
                    self.run = Some(Run { file: span.file, begin: span.offset, end, slots });
                }
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(StorageError::OutOfRange(block)) }
    }

    /// Reads what was not read yet.
    pub(super) fn finish(mut self) -> Result<(), StorageError> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        let Some(mut run) = self.run.take() else { return Ok(()) };
        let file = self.layout.open(self.files, run.file, Access::Read)?;
        read_all(&*file, &mut run.slots, run.begin)
            .map_err(|error| StorageError::new(&self.layout.path_at(run.file), &error))
    }
}

/// Fills all slots from `offset`.
fn read_all(file: &dyn File, mut slots: &mut [IoSliceMut<'_>], mut offset: u64) -> io::Result<()> {
    while !slots.is_empty() {
        match file.read_vectored_at(slots, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                IoSliceMut::advance_slices(&mut slots, read);
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
