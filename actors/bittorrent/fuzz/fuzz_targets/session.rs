//! Fuzzes what [`bittorrent_fuzz::session`] checks.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bittorrent_fuzz::session::check(bytes));
