//! Records, and where they are.

use bytes::Bytes;

use crate::error::EventLogError;

/// The largest record, in bytes of key, headers and payload together. Kafka's brokers take 1 MiB with
/// what they put around it.
pub const RECORD_LEN_MAX: usize = 1_000_000;

/// The most headers of a record.
const HEADERS_MAX: usize = 64;

/// What each record and header costs beside its bytes, in retention and page sizes.
const OVERHEAD_LEN: usize = 16;

/// An event as it is appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is about (an info-hash, a node, a user): decides the partition.
    pub key: Bytes,
    /// When it happened, in milliseconds since 1970-01-01 UTC. Retention goes by it.
    pub ts_ms: u64,
    /// Names and values that are read without looking into the payload.
    pub headers: Vec<(String, Bytes)>,
    /// The event itself. `None` in a compacted topic says that the key is gone.
    pub payload: Option<Bytes>,
}

impl Record {
    /// A record without headers.
    pub fn new(key: impl Into<Bytes>, ts_ms: u64, payload: impl Into<Bytes>) -> Self {
        Self { key: key.into(), ts_ms, headers: Vec::new(), payload: Some(payload.into()) }
    }

    /// Its size as retention and pages count it, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        let headers =
            self.headers.iter().map(|(name, value)| name.len() + value.len() + OVERHEAD_LEN);
        let payload = self.payload.as_ref().map_or(0, Bytes::len);
        self.key.len() + payload + headers.sum::<usize>() + OVERHEAD_LEN
    }

    /// Never: even a record without anything in it takes room.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Checks the bounds, which are the same for every log.
    ///
    /// # Errors
    ///
    /// [`EventLogError::Invalid`], with what is too much.
    pub fn check(&self) -> Result<(), EventLogError> {
        let (len, headers) = (self.len(), self.headers.len());
        if len > RECORD_LEN_MAX {
            return Err(EventLogError::Invalid(format!(
                "a record of {len} bytes, more than {RECORD_LEN_MAX}"
            )));
        }
        if headers > HEADERS_MAX {
            return Err(EventLogError::Invalid(format!(
                "a record with {headers} headers, more than {HEADERS_MAX}"
            )));
        }
        if i64::try_from(self.ts_ms).is_err() {
            return Err(EventLogError::Invalid(format!("the time {}", self.ts_ms)));
        }
        Ok(())
    }
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Its partition, from 0.
    pub partition: u32,
    /// Its offset in the partition, from 0.
    pub offset: u64,
}

/// A record with its offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its offset in the partition.
    pub offset: u64,
    /// The record.
    pub record: Record,
}

/// Records in their order, and where to go on. Between two of them offsets may be missing: compaction
/// removed what was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The records.
    pub records: Vec<Stored>,
    /// The offset to read, and to commit, next.
    pub next: u64,
}

/// How much a page holds; at least one record where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit {
    /// The most records.
    pub records: usize,
    /// The most bytes.
    pub bytes: usize,
}

impl Default for PageLimit {
    /// 500 records, as Kafka's clients, and 1 MiB.
    fn default() -> Self {
        Self { records: 500, bytes: 1 << 20 }
    }
}

impl PageLimit {
    /// Takes records while they fit.
    pub(crate) fn fill<E>(
        self,
        records: impl Iterator<Item = Result<Stored, E>>,
    ) -> Result<Vec<Stored>, E> {
        let mut page = Vec::new();
        let mut bytes = 0;
        for stored in records.take(self.records.max(1)) {
            let stored = stored?;
            bytes += stored.record.len();
            if bytes > self.bytes && !page.is_empty() {
                break;
            }
            page.push(stored);
        }
        Ok(page)
    }
}

/// The bounds of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watermarks {
    /// The first offset that can be read; what was before it is gone.
    pub low: u64,
    /// The next offset that will be appended.
    pub high: u64,
}

impl Watermarks {
    /// Checks that reading can begin at `from`.
    ///
    /// # Errors
    ///
    /// [`EventLogError::OutOfRange`].
    pub fn check(self, from: u64) -> Result<(), EventLogError> {
        let Self { low, high } = self;
        if (low..=high).contains(&from) {
            Ok(())
        } else {
            Err(EventLogError::OutOfRange { from, low, high })
        }
    }

    /// The page of `records`, which were read from `from` up to a limit or the end: where there is none,
    /// compaction has removed all up to the end.
    pub(crate) fn page(self, from: u64, records: Vec<Stored>) -> Page {
        let next = records.last().map_or(self.high.max(from), |last| last.offset + 1);
        Page { records, next }
    }
}
