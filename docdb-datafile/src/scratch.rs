//! A buffer per thread, so that a read neither allocates nor zeroes what it only looks through.

use std::cell::RefCell;

/// What a thread keeps, in bytes; more is allocated for the one read that needs it.
const SCRATCH_BYTES_MAX: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Calls `read` with `len` bytes of any content. It must not read another frame.
pub(crate) fn with<T>(len: usize, read: impl FnOnce(&mut [u8]) -> T) -> T {
    if len > SCRATCH_BYTES_MAX {
        return read(&mut vec![0; len]);
    }
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < len {
            scratch.resize(len.next_power_of_two(), 0);
        }
        read(&mut scratch[..len])
    })
}
