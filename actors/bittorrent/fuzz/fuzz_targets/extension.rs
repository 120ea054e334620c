//! Fuzzes what [`bittorrent_fuzz::extension`] checks.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bittorrent_fuzz::extension::check(bytes));
