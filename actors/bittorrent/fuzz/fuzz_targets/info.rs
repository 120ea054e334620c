//! Fuzzes what [`bittorrent_fuzz::info`] checks.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bittorrent_fuzz::info::check(bytes));
