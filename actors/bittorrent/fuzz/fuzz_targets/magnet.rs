//! Fuzzes what [`bittorrent_fuzz::magnet`] checks.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bittorrent_fuzz::magnet::check(bytes));
