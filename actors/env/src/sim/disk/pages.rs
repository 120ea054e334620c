//! Pages, shared by all disks of a world: equal ones are held once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sim::trace::checksum;

/// Bytes of a page: room is taken in steps of this size.
pub(super) const PAGE: usize = 4096;
/// The table holds so many pages before it is swept.
const SWEPT_MIN: usize = 1024;

/// The bytes of a page.
pub(super) type Page = Arc<[u8; PAGE]>;

/// Where equal pages are found. Clones share it.
#[derive(Debug, Clone, Default)]
pub(in crate::sim) struct PageStore {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    /// By checksum. A page that has the checksum of another one is not shared.
    pages: BTreeMap<u64, Page>,
    /// With so many pages, those that no disk holds any more are thrown away.
    swept_at: usize,
}

impl PageStore {
    /// The page of these bytes that all share.
    pub(super) fn shared(&self, bytes: &[u8; PAGE]) -> Page {
        self.lock().find(bytes, || Arc::new(*bytes))
    }

    /// Replaces a page by the one that all share.
    pub(super) fn share(&self, page: &mut Page) {
        let shared = self.lock().find(page, || Arc::clone(page));
        *page = shared;
    }

    /// The page of zeros.
    pub(super) fn zeros(&self) -> Page {
        self.shared(&[0; PAGE])
    }

    /// How many different pages the disks hold.
    #[cfg(test)]
    pub(super) fn live(&self) -> usize {
        self.lock().pages.values().filter(|page| Arc::strong_count(page) > 1).count()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn find(&mut self, bytes: &[u8; PAGE], make: impl FnOnce() -> Page) -> Page {
        let sum = checksum(bytes);
        match self.pages.get(&sum) {
            Some(page) if **page == *bytes => return Arc::clone(page),
            Some(_) => return make(),
            None => {}
        }
        if self.pages.len() >= self.swept_at.max(SWEPT_MIN) {
            self.pages.retain(|_, page| Arc::strong_count(page) > 1);
            self.swept_at = 2 * self.pages.len();
        }
        let page = make();
        self.pages.insert(sum, Arc::clone(&page));
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pages_are_held_once_and_not_for_ever() {
        let store = PageStore::default();
        let one = store.shared(&[1; PAGE]);
        assert!(Arc::ptr_eq(&one, &store.shared(&[1; PAGE])));
        let mut own = Arc::new([1; PAGE]);
        store.share(&mut own);
        assert!(Arc::ptr_eq(&one, &own));
        for number in 0..10_000_u32 {
            let mut bytes = [0; PAGE];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            store.shared(&bytes);
        }
        assert!(store.lock().pages.len() <= SWEPT_MIN, "{}", store.lock().pages.len());
        assert!(Arc::ptr_eq(&one, &store.shared(&[1; PAGE])), "still held, so still shared");
    }
}
