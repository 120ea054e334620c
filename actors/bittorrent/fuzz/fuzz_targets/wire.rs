//! Fuzzes what [`bittorrent_fuzz::wire`] checks.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bittorrent_fuzz::wire::check(bytes));
