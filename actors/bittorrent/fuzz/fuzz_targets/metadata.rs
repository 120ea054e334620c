//! Fuzzes what [`bittorrent_fuzz::metadata`] checks.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bittorrent_fuzz::metadata::check(bytes));
