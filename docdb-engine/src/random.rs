//! Random bits, from the file system seam, so that a simulation can repeat them.

use docdb_vfs::Vfs;

/// What makes a file this one and no other.
pub(crate) fn random_salt(vfs: &dyn Vfs) -> u128 {
    let mut raw = [0; 16];
    vfs.fill_random(&mut raw);
    u128::from_le_bytes(raw)
}

/// What makes a hash function unpredictable.
pub(crate) fn random_seed(vfs: &dyn Vfs) -> u64 {
    let mut raw = [0; 8];
    vfs.fill_random(&mut raw);
    u64::from_le_bytes(raw)
}
