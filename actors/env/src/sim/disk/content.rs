//! What a file holds: what a reader sees, what is durable, and the writes between the two.
//!
//! Both images share their pages with each other, with the writes and with other files. A page that is
//! written in part belongs to its file alone until the next sync.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

use rand::Rng;
use rand::rngs::SmallRng;

use super::pages::{PAGE, Page, PageStore};

/// Writes are torn at this size: a sector.
const SECTOR: usize = 512;

/// A file.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// As a reader sees it.
    pub(super) now: Image,
    /// As it is after a power cut that loses all that can be lost.
    durable: Image,
    /// Writes since the last sync, in their order.
    unsynced: Vec<Write>,
    /// Pages that differ from the durable ones.
    dirty: BTreeSet<u64>,
    /// The shortest length since the last sync: what is durable beyond it is outdated.
    cut_to: Option<u64>,
    /// Names that lead to it now, and that would after a power cut.
    pub(super) names: usize,
    pub(super) durable_names: usize,
    /// Open handles.
    pub(super) handles: usize,
    /// In nanoseconds of the world's clock.
    pub(super) modified_ns: i64,
}

/// Bytes in pages. A page that is not there is a hole: it reads as zeros and takes no room.
#[derive(Debug, Default, Clone)]
pub(super) struct Image {
    pub(super) len: u64,
    pages: BTreeMap<u64, Page>,
}

#[derive(Debug)]
struct Write {
    offset: u64,
    len: usize,
    parts: Vec<Part>,
}

/// What a write put on one page.
#[derive(Debug)]
enum Part {
    Whole(Page),
    Few(Box<[u8]>),
}

impl Part {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Whole(page) => page.as_slice(),
            Self::Few(bytes) => bytes,
        }
    }
}

/// The pages that `len` bytes from `offset` lie on.
pub(super) fn pages_of(offset: u64, len: u64) -> Range<u64> {
    let page = PAGE as u64;
    offset / page..offset.saturating_add(len).div_ceil(page)
}

/// Where on its page a byte lies.
fn place(offset: u64) -> usize {
    usize::try_from(offset % PAGE as u64).unwrap_or(0)
}

/// A page of a range: which, where on it the range begins, and how many bytes of it.
fn spans(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let first = place(offset);
    let mut left = len;
    (offset / PAGE as u64..).zip(std::iter::once(first).chain(std::iter::repeat(0))).map_while(
        move |(index, begin)| {
            let count = left.min(PAGE - begin);
            left -= count;
            (count > 0).then_some((index, begin, count))
        },
    )
}

impl Image {
    /// The image of these bytes.
    pub(super) fn of(bytes: &[u8], store: &PageStore) -> Self {
        let mut image = Self::default();
        let (whole, rest) = bytes.as_chunks::<PAGE>();
        image.pages = (0..).zip(whole.iter().map(|page| store.shared(page))).collect();
        if !rest.is_empty() {
            let offset = (bytes.len() - rest.len()) as u64;
            image.write(offset, rest);
            let last = image.pages.last_entry();
            last.into_iter().for_each(|mut last| store.share(last.get_mut()));
        }
        image.len = bytes.len() as u64;
        image
    }

    /// How many pages take room.
    pub(super) fn page_count(&self) -> u64 {
        self.pages.len() as u64
    }

    /// How many of these pages are holes.
    pub(super) fn holes(&self, pages: Range<u64>) -> u64 {
        let here = self.pages.range(pages.clone()).count() as u64;
        (pages.end - pages.start.min(pages.end)) - here
    }

    /// The bytes from `offset` to the end into `buf`: how many.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        let mut rest = buf.get_mut(..len).unwrap_or_default();
        for (index, begin, count) in spans(offset, len) {
            let (to, later) = std::mem::take(&mut rest).split_at_mut(count);
            match self.pages.get(&index).and_then(|page| page.get(begin..begin + count)) {
                Some(from) => to.copy_from_slice(from),
                None => to.fill(0),
            }
            rest = later;
        }
        len
    }

    /// Whether these bytes stand at `offset`.
    pub(super) fn matches(&self, offset: u64, expected: &[u8]) -> bool {
        if offset.saturating_add(expected.len() as u64) > self.len {
            return false;
        }
        let mut rest = expected;
        spans(offset, expected.len()).all(|(index, begin, count)| {
            let (wanted, later) = rest.split_at(count);
            rest = later;
            match self.pages.get(&index).and_then(|page| page.get(begin..begin + count)) {
                Some(found) => found == wanted,
                None => wanted.iter().all(|&byte| byte == 0),
            }
        })
    }

    /// A page to be changed, which from then on belongs to this image alone.
    fn page(&mut self, index: u64) -> &mut [u8; PAGE] {
        Arc::make_mut(self.pages.entry(index).or_insert_with(|| Arc::new([0; PAGE])))
    }

    /// Writes bytes that all lie on one page.
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let begin = place(offset);
        let to = self.page(offset / PAGE as u64).get_mut(begin..begin + bytes.len());
        if let Some(to) = to {
            to.copy_from_slice(bytes);
        }
        self.len = self.len.max(offset.saturating_add(bytes.len() as u64));
    }

    fn set_len(&mut self, len: u64) {
        if len < self.len {
            let keeps = pages_of(0, len).end;
            drop(self.pages.split_off(&keeps));
            let end = place(len);
            if end > 0 && self.pages.contains_key(&(keeps - 1)) {
                // A file that grows again shows zeros there.
                self.page(keeps - 1).iter_mut().skip(end).for_each(|byte| *byte = 0);
            }
        }
        self.len = len;
    }

    /// Flips a bit; says whether there is such a byte.
    fn flip_bit(&mut self, bit: u64) -> bool {
        let offset = bit / 8;
        if offset >= self.len {
            return false;
        }
        if let Some(byte) = self.page(offset / PAGE as u64).get_mut(place(offset)) {
            *byte ^= 1 << (bit % 8);
        }
        true
    }

    /// The next range at or after `from` that is no hole.
    pub(super) fn next_data(&self, from: u64) -> Option<Range<u64>> {
        let page = PAGE as u64;
        let (&first, _) = self.pages.range(from / page..).next()?;
        let run = self.pages.range(first..).zip(first..);
        let run = run.take_while(|((index, _), next)| *index == next).count() as u64;
        let range = from.max(first * page)..((first + run) * page).min(self.len);
        Some(range).filter(|range| !range.is_empty())
    }
}

impl Content {
    /// An empty file.
    pub(super) fn made_at(now_ns: i64) -> Self {
        Self { modified_ns: now_ns, ..Self::default() }
    }

    /// Becomes a durable file.
    pub(super) fn put(&mut self, image: Image) {
        self.durable = image.clone();
        self.now = image;
        self.unsynced.clear();
        self.dirty.clear();
        self.cut_to = None;
    }

    /// Writes `len` bytes out of `bufs`.
    pub(super) fn write(
        &mut self,
        offset: u64,
        bufs: &[IoSlice<'_>],
        len: usize,
        store: &PageStore,
    ) {
        let mut source = Gather { bufs, at: 0 };
        let mut scratch = [0; PAGE];
        let mut parts = Vec::with_capacity(len / PAGE + 2);
        for (index, begin, count) in spans(offset, len) {
            let bytes = source.take(count, &mut scratch);
            if let Ok(whole) = <&[u8; PAGE]>::try_from(bytes) {
                let page = store.shared(whole);
                self.now.pages.insert(index, Arc::clone(&page));
                parts.push(Part::Whole(page));
            } else {
                if let Some(to) = self.now.page(index).get_mut(begin..begin + count) {
                    to.copy_from_slice(bytes);
                }
                parts.push(Part::Few(bytes.into()));
            }
            self.dirty.insert(index);
        }
        self.now.len = self.now.len.max(offset.saturating_add(len as u64));
        self.unsynced.push(Write { offset, len, parts });
    }

    /// Cuts it off, or extends it by a hole.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.now.len {
            self.cut_to = Some(self.cut_to.map_or(len, |shortest| shortest.min(len)));
            self.dirty.insert(len / PAGE as u64);
        }
        self.now.set_len(len);
    }

    /// Fills the holes among its first `len` bytes with pages of zeros.
    pub(super) fn allocate(&mut self, len: u64, store: &PageStore) {
        let zeros = store.zeros();
        for index in pages_of(0, len) {
            self.now.pages.entry(index).or_insert_with(|| {
                self.dirty.insert(index);
                Arc::clone(&zeros)
            });
        }
    }

    /// Makes what a reader sees durable.
    pub(super) fn sync(&mut self, store: &PageStore) {
        if let Some(len) = self.cut_to.take() {
            drop(self.durable.pages.split_off(&pages_of(0, len).end));
        }
        for index in std::mem::take(&mut self.dirty) {
            if let Some(page) = self.now.pages.get_mut(&index) {
                store.share(page);
                self.durable.pages.insert(index, Arc::clone(page));
            }
        }
        self.durable.len = self.now.len;
        self.unsynced.clear();
    }

    /// Flips a bit of what a reader sees and of what is durable; says whether there is such a byte.
    pub(super) fn flip_bit(&mut self, bit: u64) -> bool {
        let there = self.now.flip_bit(bit);
        if there {
            self.durable.flip_bit(bit);
            self.dirty.insert(bit / 8 / PAGE as u64);
        }
        there
    }

    /// Loses or tears what was not synced.
    pub(super) fn lose_power(&mut self, rng: &mut SmallRng, store: &PageStore) {
        for write in std::mem::take(&mut self.unsynced) {
            let mut kept = match rng.random_range(0..3) {
                0 => 0,
                1 => write.len,
                _ => (rng.random_range(0..=write.len) / SECTOR) * SECTOR,
            };
            let mut offset = write.offset;
            for part in &write.parts {
                let bytes = part.bytes();
                let bytes = bytes.get(..kept.min(bytes.len())).unwrap_or_default();
                self.durable.write(offset, bytes);
                offset = offset.saturating_add(bytes.len() as u64);
                kept -= bytes.len();
                if kept == 0 {
                    break;
                }
            }
        }
        for &index in &self.dirty {
            if let Some(page) = self.durable.pages.get_mut(&index) {
                store.share(page);
            }
        }
        self.lose_all();
    }

    /// Goes back to what is durable.
    pub(super) fn lose_all(&mut self) {
        self.unsynced.clear();
        self.dirty.clear();
        self.cut_to = None;
        self.now = self.durable.clone();
    }
}

/// Takes bytes out of several buffers in turn, without copying where they stand together.
struct Gather<'a> {
    bufs: &'a [IoSlice<'a>],
    /// Bytes that were taken of the first.
    at: usize,
}

impl<'a> Gather<'a> {
    fn take<'s>(&mut self, count: usize, scratch: &'s mut [u8; PAGE]) -> &'s [u8]
    where
        'a: 's,
    {
        let mut filled = 0;
        while let [first, rest @ ..] = self.bufs {
            let left: &'a [u8] = first.get(self.at..).unwrap_or_default();
            let part = left.len().min(count - filled);
            let whole = filled == 0 && part == count;
            if !whole
                && let (Some(to), Some(from)) =
                    (scratch.get_mut(filled..filled + part), left.get(..part))
            {
                to.copy_from_slice(from);
            }
            filled += part;
            self.at += part;
            if self.at == first.len() {
                (self.bufs, self.at) = (rest, 0);
            }
            if whole {
                return left.get(..part).unwrap_or_default();
            }
            if filled == count {
                break;
            }
        }
        scratch.get(..filled).unwrap_or_default()
    }
}
