//! The packed file as its readers see it: a slice of entries, mapped.

use std::{hint, io, os::fd::AsRawFd};

use memmap2::Mmap;

use super::{HEADER_BYTES, MAGIC, OFFSET_BYTES, record};

/// A page is at least this large.
const PAGE_BYTES_MIN: usize = 4096;

/// All entries of a packed file.
pub struct Entries {
    map: Mmap,
    entries: usize,
    offsets_at: usize,
}

impl Entries {
    /// Maps a finished file.
    pub fn open(file: &impl AsRawFd) -> io::Result<Self> {
        let map = map(file)?;
        let word = |at: usize| {
            let bytes = map.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u64::from_le_bytes).ok_or_else(not_packed)
        };
        if word(0)? != MAGIC {
            return Err(not_packed());
        }
        let (entries, offsets_at) = (word(8)? as usize, word(16)? as usize);
        let end = entries
            .checked_mul(OFFSET_BYTES)
            .and_then(|bytes| bytes.checked_add(offsets_at));
        if offsets_at < HEADER_BYTES || end != Some(map.len()) {
            return Err(not_packed());
        }
        Ok(Self {
            map,
            entries,
            offsets_at,
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// The key and the value of entry `number`.
    pub fn get(&self, number: usize) -> (&[u8], &[u8]) {
        let at = &self.map[self.offsets_at + number * OFFSET_BYTES..];
        let at = u64::from_le_bytes(*at.first_chunk().expect("the table of offsets is whole"));
        record(&self.map, at as usize)
    }

    /// Brings every page into memory.
    pub fn touch(&self) {
        hint::black_box(
            self.map
                .iter()
                .step_by(PAGE_BYTES_MIN)
                .fold(0_u8, |sum, &byte| sum.wrapping_add(byte)),
        );
    }
}

fn not_packed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a packed file")
}

/// Maps a file, or the part of one that has been written.
#[allow(unsafe_code)]
pub(super) fn map(file: &impl AsRawFd) -> io::Result<Mmap> {
    // SAFETY: the file has no name, so only this program holds it; `Writer` writes to it only while it has no mapping of
    // its own, and has finished before it is handed to a child. Nobody changes or shortens it while it is mapped.
    unsafe { Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn another_file_is_refused() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(
            b"cmapack2 and then some bytes that are not a packed file at all, for sure.",
        )
        .unwrap();
        assert!(Entries::open(&file).is_err());
    }

    #[test]
    fn a_file_cut_short_is_refused() {
        let mut writer = crate::packed::Writer::create().unwrap();
        writer.push(b"key", b"value").unwrap();
        let packed = writer.finish().unwrap();
        let whole = packed.file().metadata().unwrap().len();
        assert_eq!(
            Entries::open(packed.file()).unwrap().get(0),
            (&b"key"[..], &b"value"[..])
        );
        packed.file().set_len(whole - 1).unwrap();
        assert!(Entries::open(packed.file()).is_err());
    }
}
