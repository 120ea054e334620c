//! Fuzzes what [`bittorrent_fuzz::handshake`] checks.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bittorrent_fuzz::handshake::check(bytes));
