//! Fuzzes what [`bittorrent_fuzz::mse`] checks.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bittorrent_fuzz::mse::check(bytes));
