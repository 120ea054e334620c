//! Fuzzes what [`bittorrent_fuzz::resume`] checks.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bittorrent_fuzz::resume::check(bytes));
