//! Fuzzes what [`bittorrent_fuzz::bitfield`] checks.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bittorrent_fuzz::bitfield::check(bytes));
