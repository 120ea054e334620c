//! Tests of the simulated disk.

use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::disk::{File, FileSystem, OpenMode};

const PATH: &str = "/data/file";

fn disk_of(store: &PageStore) -> SimDisk {
    SimDisk::new(1, store.clone())
}

fn open(disk: &SimDisk, mode: OpenMode) -> Arc<dyn File> {
    SimFiles { disk: disk.clone() }.open(Path::new(PATH), mode).unwrap()
}

fn sync_dir(disk: &SimDisk) {
    SimFiles { disk: disk.clone() }.sync_dir(Path::new("/data")).unwrap();
}

fn write(file: &dyn File, offset: u64, bytes: &[u8]) {
    // In two buffers, so that a page can lie on both.
    let (front, back) = bytes.split_at(bytes.len() / 3);
    let bufs = [IoSlice::new(front), IoSlice::new(&[]), IoSlice::new(back)];
    assert_eq!(file.write_vectored_at(&bufs, offset).unwrap(), bytes.len());
}

fn used(disk: &SimDisk) -> u64 {
    disk.lock().used_pages
}

fn used_counted(disk: &SimDisk) -> u64 {
    let platter = disk.lock();
    let named = platter.contents.values().filter(|content| content.names > 0);
    named.map(|content| content.now.page_count()).sum()
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize, usize, u8),
    SetLen(usize),
    Allocate(usize),
    Sync,
    Truncate,
    Flip(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = 0_usize..30_000;
    let step = prop_oneof![
        6 => (at.clone(), 0_usize..20_000, any::<u8>()).prop_map(|(at, len, byte)| Step::Write(at, len, byte)),
        2 => (0_usize..5, 1_usize..4, any::<u8>())
            .prop_map(|(page, pages, byte)| Step::Write(page * 4096, pages * 4096, byte)),
        1 => at.clone().prop_map(Step::SetLen),
        1 => at.prop_map(Step::Allocate),
        1 => Just(Step::Sync),
        1 => Just(Step::Truncate),
        1 => (0_u64..240_000).prop_map(Step::Flip),
    ];
    prop::collection::vec(step, 1..30)
}

/// What a file should hold, in plain vectors.
#[derive(Default)]
struct Plain {
    now: Vec<u8>,
    synced: Vec<u8>,
}

impl Plain {
    fn apply(&mut self, step: &Step, file: &mut Arc<dyn File>, disk: &SimDisk) {
        match *step {
            Step::Write(offset, len, byte) => {
                let bytes: Vec<u8> = (byte..=255).cycle().take(len).collect();
                write(&**file, offset as u64, &bytes);
                let end = offset + len;
                self.now.resize(self.now.len().max(end), 0);
                self.now[offset..end].copy_from_slice(&bytes);
            }
            Step::SetLen(len) => {
                file.set_len(len as u64).unwrap();
                self.now.resize(len, 0);
            }
            Step::Allocate(len) => {
                file.allocate(len as u64).unwrap();
                self.now.resize(self.now.len().max(len), 0);
            }
            Step::Sync => {
                file.sync().unwrap();
                self.synced.clone_from(&self.now);
            }
            Step::Truncate => {
                *file = open(disk, OpenMode::Truncate);
                sync_dir(disk);
                (self.now, self.synced) = (Vec::new(), Vec::new());
            }
            Step::Flip(bit) => {
                let byte = usize::try_from(bit / 8).unwrap();
                assert_eq!(disk.flip_bit(PATH, bit), byte < self.now.len());
                if let Some(now) = self.now.get_mut(byte) {
                    *now ^= 1 << (bit % 8);
                    let synced = self.synced.get_mut(byte);
                    synced.into_iter().for_each(|synced| *synced ^= 1 << (bit % 8));
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn a_file_holds_what_was_written_and_what_was_synced_is_durable(steps in steps()) {
        let disk = disk_of(&PageStore::default());
        let mut file = open(&disk, OpenMode::ReadWrite);
        sync_dir(&disk);
        let mut plain = Plain::default();
        for step in &steps {
            plain.apply(step, &mut file, &disk);
            let got = disk.get(PATH).unwrap();
            prop_assert!(got == plain.now, "after {step:?}");
            prop_assert!(disk.matches(PATH, 0, &plain.now));
            prop_assert_eq!(used(&disk), used_counted(&disk));
        }
        // Without lotteries: all that was not synced is lost.
        let mut platter = disk.lock();
        let content = platter.contents.values_mut().next().unwrap();
        content.lose_all();
        let mut durable = vec![0; plain.synced.len() + 1];
        let len = content.now.read(0, &mut durable);
        prop_assert!(durable[..len] == plain.synced[..]);
    }
}

#[test]
fn a_write_that_was_not_synced_is_lost_whole_or_torn_at_a_sector() {
    let (mut lost, mut whole, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let disk = SimDisk::new(seed, PageStore::default());
        disk.put(PATH, &[1; 10_000]);
        write(&*open(&disk, OpenMode::ReadWrite), 300, &[2; 9000]);
        disk.power_cut();
        let left = disk.get(PATH).unwrap();
        assert_eq!(left.len(), 10_000);
        let kept = left.iter().filter(|&&byte| byte == 2).count();
        assert!(left[300..300 + kept].iter().all(|&byte| byte == 2), "from its beginning");
        match kept {
            0 => lost += 1,
            9000 => whole += 1,
            kept => {
                assert_eq!(kept % 512, 0);
                torn += 1;
            }
        }
    }
    assert!(lost > 40 && whole > 40 && torn > 40, "{lost} {whole} {torn}");
}

#[test]
fn a_name_that_was_not_synced_may_be_lost_and_the_old_one_come_back() {
    let (mut old, mut both) = (0, 0);
    for seed in 0..100 {
        let disk = SimDisk::new(seed, PageStore::default());
        disk.put(PATH, &[1; 5000]);
        let files = SimFiles { disk: disk.clone() };
        files.rename(Path::new(PATH), Path::new("/data/other")).unwrap();
        assert_eq!(disk.get(PATH), None);
        disk.power_cut();
        assert_eq!(disk.get(PATH), Some(vec![1; 5000]), "its name was durable");
        if disk.get("/data/other").is_some() {
            both += 1;
        } else {
            old += 1;
        }
        assert_eq!(used(&disk), 2);
        assert_eq!(used(&disk), used_counted(&disk));
    }
    assert!(old > 20 && both > 20, "{old} {both}");
}

#[test]
fn a_hundred_disks_hold_the_same_file_once() {
    let store = PageStore::default();
    let bytes: Vec<u8> = (0..60_000_u32).flat_map(|n| n.to_le_bytes()).take(200_003).collect();
    let disks: Vec<_> = (0..100).map(|_| disk_of(&store)).collect();
    for (number, disk) in disks.iter().enumerate() {
        if number % 2 == 0 {
            disk.put(PATH, &bytes);
        } else {
            let file = open(disk, OpenMode::ReadWrite);
            // In blocks that do not begin with pages.
            for (block, bytes) in bytes.chunks(10_000).enumerate() {
                write(&*file, block as u64 * 10_000, bytes);
            }
            file.sync().unwrap();
        }
    }
    // Pages that were written in part were their disk's own only until the sync.
    assert_eq!(store.live(), 49);
    assert!(disks.iter().all(|disk| disk.matches(PATH, 0, &bytes) && used(disk) == 49));
}

#[test]
fn matches_looks_at_holes_and_ends() {
    let disk = disk_of(&PageStore::default());
    let file = open(&disk, OpenMode::ReadWrite);
    write(&*file, 8190, &[5; 4]);
    file.set_len(20_000).unwrap();
    assert!(disk.matches(PATH, 8188, &[0, 0, 5, 5, 5, 5, 0]));
    assert!(!disk.matches(PATH, 8188, &[0, 0, 5, 5, 5, 4, 0]));
    assert!(disk.matches(PATH, 12_000, &[0; 8000]) && !disk.matches(PATH, 12_000, &[1]));
    assert!(!disk.matches(PATH, 12_001, &[0; 8000]), "beyond the end");
    assert!(disk.matches(PATH, 20_000, &[]) && !disk.matches("/data/none", 0, &[]));
}

#[test]
fn a_flipped_bit_is_seen_is_durable_and_tells_nobody() {
    let disk = disk_of(&PageStore::default());
    disk.put(PATH, &[0; 5000]);
    let modified = open(&disk, OpenMode::Read).facts().unwrap();
    assert!(disk.flip_bit(PATH, 4999 * 8 + 3));
    assert!(!disk.flip_bit(PATH, 5000 * 8) && !disk.flip_bit("/data/none", 0));
    assert_eq!(open(&disk, OpenMode::Read).facts().unwrap(), modified);
    assert!(disk.matches(PATH, 4998, &[0, 8]));
    disk.power_cut();
    assert!(disk.matches(PATH, 4998, &[0, 8]) && disk.matches(PATH, 0, &[0; 4999]));
}

#[test]
fn room_is_taken_by_pages_and_given_back() {
    let disk = disk_of(&PageStore::default());
    disk.set_faults(DiskFaults { capacity: Some(5 * 4096), ..DiskFaults::default() });
    let file = open(&disk, OpenMode::ReadWrite);
    file.set_len(1 << 30).unwrap();
    assert_eq!(used(&disk), 0, "a hole takes no room");
    write(&*file, 4095, &[1; 2]);
    assert_eq!(used(&disk), 2);
    let range: Option<Range<u64>> = file.next_data(0).unwrap();
    assert_eq!(range, Some(0..8192));
    let bytes = [1; 4 * 4096];
    let full = file.write_vectored_at(&[IoSlice::new(&bytes)], 8192);
    assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.allocate(6 * 4096).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.allocate(5 * 4096).unwrap();
    assert_eq!(used(&disk), 5);
    let mut read = [9; 4];
    file.read_vectored_at(&mut [IoSliceMut::new(&mut read)], 4094).unwrap();
    assert_eq!(read, [0, 1, 1, 0]);
    file.set_len(4096).unwrap();
    assert_eq!(used(&disk), 1);
    let files = SimFiles { disk: disk.clone() };
    files.remove_file(Path::new(PATH)).unwrap();
    assert_eq!(used(&disk), 0);
    write(&*file, 0, &[1; 100]);
    drop(file);
    assert!(disk.lock().contents.is_empty(), "an open file lives until it is closed");
}
