//! Fuzzes what [`bittorrent_fuzz::bencode`] checks.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bittorrent_fuzz::bencode::check(bytes));
