//! LZ4 blocks, or, in a build without the feature `lz4`, that there are none.

/// Whether this build can compress and expand.
pub(crate) const IS_BUILT_IN: bool = cfg!(feature = "lz4");

/// `bytes` as one block.
#[cfg(feature = "lz4")]
pub(crate) fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    use lz4_flex::block;
    let mut out = vec![0; block::get_maximum_output_size(bytes.len())];
    let length = block::compress_into(bytes, &mut out).ok()?;
    out.truncate(length);
    Some(out)
}

#[cfg(not(feature = "lz4"))]
pub(crate) fn compress(_: &[u8]) -> Option<Vec<u8>> {
    None
}

/// Expands `block` into `out`; whether it is a block of just so many bytes.
#[cfg(feature = "lz4")]
pub(crate) fn expand(block: &[u8], out: &mut [u8]) -> bool {
    lz4_flex::block::decompress_into(block, out).is_ok_and(|bytes| bytes == out.len())
}

#[cfg(not(feature = "lz4"))]
pub(crate) fn expand(_: &[u8], _: &mut [u8]) -> bool {
    false
}
