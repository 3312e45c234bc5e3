//! The packed file as its readers see it: a slice of entries, mapped.

use std::{hint, io, os::fd::AsRawFd};

use memmap2::Mmap;

use super::{HEADER_BYTES, LENGTHS_BYTES, MAGIC, OFFSET_BYTES, lengths, record};

/// A page is at least this large.
const PAGE_BYTES_MIN: usize = 4096;

/// All entries of a packed file.
pub struct Entries {
    map: Mmap,
    entries: usize,
    offsets_at: usize,
}

impl Entries {
    /// Maps a finished file. One whose records do not lie one after the other, each where its offset says, is refused.
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
        let this = Self {
            map,
            entries,
            offsets_at,
        };
        let mut at = HEADER_BYTES;
        for number in 0..entries {
            let head = this.map[at..offsets_at].first_chunk();
            let (key, value) = lengths(*head.ok_or_else(not_packed)?);
            let record_bytes = LENGTHS_BYTES + key + value;
            if this.offset(number) != at as u64 || record_bytes > offsets_at - at {
                return Err(not_packed());
            }
            at += record_bytes;
        }
        if at != offsets_at {
            return Err(not_packed());
        }
        Ok(this)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The key and the value of entry `number`.
    pub fn get(&self, number: usize) -> (&[u8], &[u8]) {
        record(&self.map, self.offset(number) as usize)
    }

    fn offset(&self, number: usize) -> u64 {
        let at = &self.map[self.offsets_at + number * OFFSET_BYTES..];
        u64::from_le_bytes(*at.first_chunk().expect("the table of offsets is whole"))
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
    use std::{io::Write, os::unix::fs::FileExt};

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

    #[test]
    fn records_that_are_not_where_they_should_be_are_refused() {
        let mut writer = crate::packed::Writer::create().unwrap();
        writer.push(b"a", b"1").unwrap();
        writer.push(b"b", b"2").unwrap();
        let packed = writer.finish().unwrap();
        let offsets_at = packed.file().metadata().unwrap().len() - 16;
        let records = HEADER_BYTES as u64;
        // A length, an offset, and the place of the offsets.
        for (at, right, wrong) in [
            (records, 1, 2_u8),
            (records + 2, 1, 255),
            (offsets_at, 24, 25),
            (offsets_at + 15, 0, 255),
            (8, 2, 1),
            (16, offsets_at as u8, 0),
        ] {
            packed.file().write_all_at(&[wrong], at).unwrap();
            assert!(Entries::open(packed.file()).is_err(), "byte {at}: {wrong}");
            packed.file().write_all_at(&[right], at).unwrap();
            assert!(Entries::open(packed.file()).is_ok(), "byte {at}: {right}");
        }
    }
}
