//! An entry's bytes: `header | key | value`, contiguous, padded to the granule. Frozen.
//!
//! ```text
//! control byte   7 6 5   kind: 101 entry, 110 pad (anything else is no record)
//!                4       an extension length follows (unused)
//!                3       4 expiry bytes follow (unused)
//!                2 1     bytes of the value's length - 1
//!                0       bytes of the key's length - 1
//! entry          control | key length 1-2 | value length 1-4 | key | value     3 + key + value bytes for ordinary ones
//! pad            control | granules - 1, 3 bytes                               skips the rest of a stretch
//! ```
//! Lengths are little-endian. A pad fits any remainder, since those are multiples of the granule.

use crate::memory::{GRANULE, Location};

/// Longest key.
pub(crate) const KEY_BYTES_MAX: usize = u16::MAX as usize;
/// Longest value.
pub(crate) const VALUE_BYTES_MAX: usize = u32::MAX as usize;

const KIND_MASK: u8 = 0b1110_0000;
const KIND_ENTRY: u8 = 0b1010_0000;
const KIND_PAD: u8 = 0b1100_0000;
const UNUSED: u8 = 0b0001_1000;

// The longest header fits a word, and 64 bits are what a usize has.
const _: () = assert!(1 + 2 + 4 <= size_of::<usize>());

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Entry {
        header: usize,
        key: usize,
        value: usize,
    },
    Pad {
        bytes: usize,
    },
}

/// An entry as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'p> {
    pub(crate) key: &'p [u8],
    pub(crate) value: &'p [u8],
    /// What it takes in the log: header and padding included.
    pub(crate) bytes: usize,
}

/// What a walk sees of an entry. The value of one that is not published may still be being written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'p> {
    pub(crate) at: Location,
    pub(crate) key: &'p [u8],
    /// Header, key and value.
    pub(crate) len: usize,
    /// As in [`Entry`].
    pub(crate) bytes: usize,
}

#[inline]
fn value_length_bytes(value: usize) -> usize {
    match value {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xff_ffff => 3,
        _ => 4,
    }
}

/// What an entry of `len` bytes (header, key and value) takes in the log.
#[inline]
pub(super) const fn space(len: usize) -> usize {
    if cfg!(cmap_asan) {
        // AddressSanitizer keeps notes of 8 bytes each: what lies between two entries must be some of them.
        return len.next_multiple_of(8) + 8;
    }
    len.next_multiple_of(GRANULE)
}

#[inline]
fn header_bytes(key: usize, value: usize) -> usize {
    1 + if key > 0xff { 2 } else { 1 } + value_length_bytes(value)
}

/// What an entry of these lengths takes in the log.
#[inline]
pub(crate) fn entry_bytes(key: usize, value: usize) -> usize {
    space(header_bytes(key, value) + key + value)
}

/// The header of an entry, and its length: the rest of the word is zeros.
#[inline]
pub(super) fn encode(key: usize, value: usize) -> ([u8; 8], usize) {
    debug_assert!(key <= KEY_BYTES_MAX && value <= VALUE_BYTES_MAX);
    let (wide_key, value_len) = (usize::from(key > 0xff), value_length_bytes(value));
    let control = usize::from(KIND_ENTRY) | (value_len - 1) << 1 | wide_key;
    let word = control | key << 8 | value << (16 + 8 * wide_key);
    (word.to_le_bytes(), 2 + wide_key + value_len)
}

/// The header of a pad over `bytes` bytes.
#[inline]
pub(super) fn encode_pad(bytes: usize) -> [u8; GRANULE] {
    debug_assert!(bytes >= GRANULE && bytes % GRANULE == 0);
    let granules = (bytes / GRANULE - 1) as u32;
    debug_assert!(granules < 1 << 24);
    let [a, b, c, _] = granules.to_le_bytes();
    [KIND_PAD, a, b, c]
}

/// Length of the header that starts with `control`.
#[inline]
pub(super) fn header_length(control: u8) -> usize {
    if control & KIND_MASK == KIND_PAD {
        return GRANULE;
    }
    3 + usize::from(control & 1) + usize::from((control >> 1) & 3)
}

/// Length of the common header: two lengths of a byte each.
pub(super) const ORDINARY_HEADER_BYTES: usize = 3;

/// The length of the value, if this is the common header of an entry with a key of this length.
#[inline(always)]
pub(super) fn ordinary(header: &[u8], key_len: usize) -> Option<usize> {
    let [kind, key, value, ..] = *header else {
        return None;
    };
    // Both at once.
    let expected = usize::from(KIND_ENTRY) | key_len << 8;
    (usize::from(u16::from_le_bytes([kind, key])) == expected).then_some(value.into())
}

/// Whether two keys of one length are the same. Short ones without a call.
#[inline]
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    // The first bytes and the last ones, which may be some of the first.
    macro_rules! ends_are_same {
        ($word:ty) => {{
            let word = |bytes: &[u8], at: usize| {
                let word = bytes[at..at + size_of::<$word>()].try_into();
                <$word>::from_le_bytes(word.unwrap_or_default())
            };
            let last = a.len() - size_of::<$word>();
            word(a, 0) == word(b, 0) && word(a, last) == word(b, last)
        }};
    }
    let is_same = match a.len() {
        len if b.len() != len => false,
        1 => ends_are_same!(u8),
        2..=3 => ends_are_same!(u16),
        4..=7 => ends_are_same!(u32),
        8..=16 => ends_are_same!(u64),
        _ => a == b,
    };
    is_same || cfg!(planted_key_not_compared)
}

/// The common header, if this is one.
#[inline(always)]
pub(super) fn decode_ordinary(header: &[u8]) -> Option<Record> {
    let [KIND_ENTRY, key, value, ..] = *header else {
        return None;
    };
    Some(Record::Entry {
        header: ORDINARY_HEADER_BYTES,
        key: key.into(),
        value: value.into(),
    })
}

/// Reads a header. Anything that [`encode`] and [`encode_pad`] do not write is a broken invariant.
#[inline]
pub(super) fn decode(header: &[u8]) -> Record {
    decode_ordinary(header).unwrap_or_else(|| decode_slow(header))
}

#[cold]
fn decode_slow(header: &[u8]) -> Record {
    let control = header[0];
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0usize, |n, &byte| n << 8 | usize::from(byte))
    };
    match control & KIND_MASK {
        KIND_ENTRY if control & UNUSED == 0 => {
            let (key_len, value_len) = (
                1 + usize::from(control & 1),
                1 + usize::from((control >> 1) & 3),
            );
            Record::Entry {
                header: 1 + key_len + value_len,
                key: number(&header[1..=key_len]),
                value: number(&header[1 + key_len..1 + key_len + value_len]),
            }
        }
        KIND_PAD => Record::Pad {
            bytes: (number(&header[1..4]) + 1) * GRANULE,
        },
        _ => unreachable!("Written-once is broken: control byte {control:#04x} starts no record"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_class_reads_back() {
        for key in [0, 1, 255, 256, KEY_BYTES_MAX] {
            for value in [
                0,
                1,
                255,
                256,
                0xffff,
                0x1_0000,
                0xff_ffff,
                0x100_0000,
                VALUE_BYTES_MAX,
            ] {
                let (out, header) = encode(key, value);
                assert_eq!(header_length(out[0]), header);
                assert_eq!(decode(&out[..header]), Record::Entry { header, key, value });
                assert_eq!(entry_bytes(key, value), space(header + key + value));
            }
        }
    }

    #[test]
    #[cfg(not(cmap_asan))]
    fn an_ordinary_entry_has_three_bytes_of_header() {
        assert_eq!(entry_bytes(16, 64), 84);
        assert_eq!(entry_bytes(0, 0), 4);
    }

    #[test]
    fn pads_read_back_up_to_the_largest_chunk() {
        for bytes in [4, 8, 1 << 20, 64 << 20] {
            assert_eq!(decode(&encode_pad(bytes)), Record::Pad { bytes });
        }
    }

    #[test]
    #[should_panic(expected = "Written-once")]
    fn zeros_are_no_record() {
        decode(&[0; 4]);
    }
}
