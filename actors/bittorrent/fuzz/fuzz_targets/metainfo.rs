//! Fuzzes what [`bittorrent_fuzz::metainfo`] checks.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bittorrent_fuzz::metainfo::check(bytes));
