//! Fuzzes what [`bittorrent_fuzz::tracker_url`] checks.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bittorrent_fuzz::tracker_url::check(bytes));
