//! Chance of the operating system, made to follow from a seed.
//!
//! The keys of std's hash maps, on which the order of ractor's children and tokio's `select!` depend, come
//! from the C function `getrandom`. This module defines that symbol, and the linker prefers it to libc's.
//! On a thread that was seeded it gives a splitmix64 stream; on any other it asks the kernel. std keeps
//! the keys of a thread, so a simulation is to be run on a fresh thread that is seeded first.
//!
//! It is part of the program alone: a library that is linked into others must not take their chance
//! away. What it reaches: std (a weak symbol) and the crate getrandom from 0.3 on (`dlsym`, which finds
//! this one because libc has a symbol of that name). What it does not: the crate getrandom 0.2 (under
//! ring), which makes the system call itself, and `getentropy`, which nothing on Linux calls.

#![expect(unsafe_code, reason = "a C symbol can be defined and the kernel called in no other way")]

use std::cell::Cell;
use std::ffi::{c_uint, c_void};
use std::mem::MaybeUninit;

use libc::{size_t, ssize_t};

thread_local! {
    /// Where the stream of this thread is, if it was seeded.
    static STREAM: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on this thread's chance follows from `seed`.
pub(crate) fn seed(seed: u64) {
    STREAM.set(Some(seed));
}

/// The next 64 bits of a splitmix64 stream.
const fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// As getrandom(2), which see.
///
/// # Safety
///
/// `buf` is valid for writes of `len` bytes, or `len` is 0.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buf: *mut c_void, len: size_t, flags: c_uint) -> ssize_t {
    let Some(mut state) = STREAM.get() else {
        // SAFETY: the caller's buffer and its length are handed on as they are.
        let taken = unsafe { libc::syscall(libc::SYS_getrandom, buf, len, flags) };
        return ssize_t::try_from(taken).unwrap_or(-1);
    };
    if len == 0 {
        // Asks whether we are there; the buffer may be dangling.
        return 0;
    }
    // SAFETY: the caller says that so many bytes can be written there; nothing is read of them.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buf.cast::<MaybeUninit<u8>>(), len) };
    for part in bytes.chunks_mut(8) {
        for (to, from) in part.iter_mut().zip(next(&mut state).to_le_bytes()) {
            to.write(from);
        }
    }
    STREAM.set(Some(state));
    ssize_t::try_from(len).unwrap_or(ssize_t::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_types, reason = "what is tested is their order")]
    #![expect(clippy::disallowed_methods, reason = "what is tested belongs to a thread")]

    use std::collections::HashMap;
    use std::thread;

    use super::*;

    /// The order of a hash map on a fresh thread.
    fn order(seeded: Option<u64>) -> Vec<u32> {
        let run = move || {
            seeded.into_iter().for_each(seed);
            (0..100).map(|key| (key, ())).collect::<HashMap<u32, ()>>().into_keys().collect()
        };
        thread::spawn(run).join().unwrap()
    }

    #[test]
    fn threads_with_one_seed_hash_alike_and_others_do_not() {
        assert_eq!(order(Some(1)), order(Some(1)));
        assert_ne!(order(Some(1)), order(Some(2)));
        assert_ne!(order(None), order(None), "the kernel's chance");
    }

    #[test]
    fn the_stream_is_splitmix64_and_goes_on() {
        let draw = || {
            let mut bytes = [0_u8; 12];
            // SAFETY: the buffer is ours, and as long.
            let taken = unsafe { getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
            assert_eq!(taken, 12);
            bytes
        };
        let first = thread::spawn(move || {
            seed(0);
            [draw(), draw()]
        });
        let [first, second] = first.join().unwrap();
        // The first outputs of the reference implementation for the seed 0.
        assert_eq!(first[..8], 0xe220_a839_7b1d_cdaf_u64.to_le_bytes());
        assert_eq!(first[8..], 0x6e78_9e6a_a1b9_65f4_u64.to_le_bytes()[..4]);
        assert_eq!(second[..8], 0x06c4_5d18_8009_454f_u64.to_le_bytes());
    }

    #[test]
    fn libraries_that_look_the_symbol_up_find_this_one() {
        // SAFETY: the name is a C string.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"getrandom".as_ptr()) };
        assert!(std::ptr::eq(found, getrandom as *const c_void));
    }
}
