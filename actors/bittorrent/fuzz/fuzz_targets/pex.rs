//! Fuzzes what [`bittorrent_fuzz::pex`] checks.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bittorrent_fuzz::pex::check(bytes));
