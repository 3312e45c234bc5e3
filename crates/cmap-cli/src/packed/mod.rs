//! The packed file: the input, parsed once, as every child process maps it.
//!
//! ```text
//! 0        8          16            24                       offsets_at
//! | magic  | entries  | offsets_at  | record, record, ...    | u64 for each entry |
//!
//! record:  | key length u16 | value length u32 | key | value |      all little-endian, unaligned
//! ```
//!
//! Each key is in it once, with the value that the input gave last, in the order of those last places. The file has
//! no name: it is gone when the last process that holds it ends, however that ends.

mod duplicates;
mod reader;
mod writer;

pub use reader::Entries;
pub use writer::{Packed, Totals, Writer};

/// The longest key, in bytes.
pub const KEY_MAX: usize = u16::MAX as usize;
/// The longest value, in bytes.
pub const VALUE_MAX: usize = u32::MAX as usize;

const MAGIC: u64 = u64::from_le_bytes(*b"cmapack1");
const HEADER_BYTES: usize = 24;
const LENGTHS_BYTES: usize = 6;
const OFFSET_BYTES: usize = 8;

/// The lengths of a record's key and value.
fn lengths(lengths: [u8; LENGTHS_BYTES]) -> (usize, usize) {
    let [k0, k1, v0, v1, v2, v3] = lengths;
    (
        u16::from_le_bytes([k0, k1]).into(),
        u32::from_le_bytes([v0, v1, v2, v3]) as usize,
    )
}

/// The key and the value of the record at `at`.
fn record(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    let (head, rest) = bytes[at..]
        .split_first_chunk()
        .expect("a record has its lengths");
    let (key, value) = lengths(*head);
    let (key, rest) = rest.split_at(key);
    (key, &rest[..value])
}
