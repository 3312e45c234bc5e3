//! Writes the packed file, and makes each key unique in it.
//!
//! Records are appended as they come. Their hashes are kept in memory, 16 bytes each; whenever these have doubled, those
//! of superseded records are dropped ([`super::duplicates`]), so memory is bounded by the *distinct* keys, however
//! often they are given. At the end, if there were duplicates, the records that count move down over those that do not.

use std::{
    fs::File,
    hash::BuildHasher,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    os::unix::fs::FileExt,
};

use super::{
    HEADER_BYTES, KEY_MAX, LENGTHS_BYTES, MAGIC, VALUE_MAX,
    duplicates::{Record, prune},
    lengths,
    reader::map,
};

const BUFFER_BYTES: usize = 1 << 20;
/// The first look for superseded records: 64 MiB of hashes.
const PRUNE_AT_RECORDS: usize = 1 << 22;

/// What the entries add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Distinct keys.
    pub entries: u64,
    /// Bytes of keys and values.
    pub payload_bytes: u64,
    /// Bytes that glibc's allocator takes for a key and a value of their own.
    pub heap_bytes: u64,
}

impl Totals {
    fn of(key: &[u8], value: &[u8]) -> Self {
        Self::of_sizes(1, key.len(), value.len())
    }

    /// Of so many entries with keys and values of these sizes.
    pub fn of_sizes(entries: u64, key: usize, value: usize) -> Self {
        Self {
            entries,
            payload_bytes: entries * (key as u64 + value as u64),
            heap_bytes: entries * (heap_bytes(key) + heap_bytes(value)),
        }
    }

    fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.payload_bytes += other.payload_bytes;
        self.heap_bytes += other.heap_bytes;
    }

    fn subtract(&mut self, other: Self) {
        self.entries -= other.entries;
        self.payload_bytes -= other.payload_bytes;
        self.heap_bytes -= other.heap_bytes;
    }
}

/// What glibc's `malloc` takes for `len` bytes: a header of 8, rounded up to 16, at least 32.
fn heap_bytes(len: usize) -> u64 {
    if len == 0 {
        0
    } else {
        (len as u64 + 8).next_multiple_of(16).max(32)
    }
}

/// A packed file being written.
pub struct Writer<S = foldhash::quality::RandomState> {
    out: BufWriter<File>,
    at: u64,
    records: Vec<Record>,
    prune_at: usize,
    hasher: S,
    totals: Totals,
    duplicates: u64,
}

impl Writer {
    /// Starts one, without a name, in the directory for temporary files.
    pub fn create() -> io::Result<Self> {
        Self::with(foldhash::quality::RandomState::default(), PRUNE_AT_RECORDS)
    }
}

impl<S: BuildHasher> Writer<S> {
    fn with(hasher: S, prune_at: usize) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, tempfile::tempfile()?);
        out.write_all(&[0; HEADER_BYTES])?;
        let at = HEADER_BYTES as u64;
        Ok(Self {
            out,
            at,
            records: Vec::new(),
            prune_at,
            hasher,
            totals: Totals::default(),
            duplicates: 0,
        })
    }

    /// Appends an entry. If its key was there already, this value counts.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        assert!(
            key.len() <= KEY_MAX && value.len() <= VALUE_MAX,
            "the parsers refuse what is longer"
        );
        self.records.push(Record::new(&self.hasher, key, self.at));
        self.totals.add(Totals::of(key, value));
        self.out.write_all(&(key.len() as u16).to_le_bytes())?;
        self.out.write_all(&(value.len() as u32).to_le_bytes())?;
        self.out.write_all(key)?;
        self.out.write_all(value)?;
        self.at += (LENGTHS_BYTES + key.len() + value.len()) as u64;
        if self.records.len() >= self.prune_at {
            self.prune()?;
            self.prune_at = self.prune_at.max(self.records.len() * 2);
        }
        Ok(())
    }

    /// How many entries were pushed so far, those since superseded included.
    pub fn pushed(&self) -> u64 {
        self.totals.entries + self.duplicates
    }

    /// Writes the table of offsets and the header.
    pub fn finish(mut self) -> io::Result<Packed> {
        self.prune()?;
        self.records.sort_unstable_by_key(|record| record.at);
        let records_end = if self.duplicates == 0 {
            self.at
        } else {
            self.squeeze()?
        };
        let file = self.out.into_inner()?;
        let mut out = BufWriter::with_capacity(
            BUFFER_BYTES,
            At {
                file: &file,
                at: records_end,
            },
        );
        for record in &self.records {
            out.write_all(&record.at.to_le_bytes())?;
        }
        let end = out.into_inner()?.at;
        file.set_len(end)?;
        for (word, value) in [MAGIC, self.totals.entries, records_end].iter().enumerate() {
            file.write_all_at(&value.to_le_bytes(), word as u64 * 8)?;
        }
        Ok(Packed {
            file,
            totals: self.totals,
            duplicates: self.duplicates,
        })
    }

    /// Forgets superseded records.
    fn prune(&mut self) -> io::Result<()> {
        self.out.flush()?;
        let bytes = map(self.out.get_ref())?;
        prune(&mut self.records, &bytes, |key, value| {
            self.totals.subtract(Totals::of(key, value));
            self.duplicates += 1;
        });
        Ok(())
    }

    /// Moves the records that count, sorted by place, to the front. Says where they end.
    fn squeeze(&mut self) -> io::Result<u64> {
        let file = self.out.get_ref();
        let start = HEADER_BYTES as u64;
        let mut from = BufReader::with_capacity(BUFFER_BYTES, At { file, at: start });
        let mut to = BufWriter::with_capacity(BUFFER_BYTES, At { file, at: start });
        let (mut read_at, mut write_at) = (start, start);
        for record in &mut self.records {
            skip(&mut from, record.at - read_at)?;
            let mut head = [0; LENGTHS_BYTES];
            from.read_exact(&mut head)?;
            to.write_all(&head)?;
            let (key, value) = lengths(head);
            io::copy(&mut from.by_ref().take((key + value) as u64), &mut to)?;
            let record_bytes = (LENGTHS_BYTES + key + value) as u64;
            read_at = record.at + record_bytes;
            record.at = write_at;
            write_at += record_bytes;
        }
        to.flush()?;
        Ok(write_at)
    }
}

fn skip(from: &mut impl BufRead, mut bytes: u64) -> io::Result<()> {
    while bytes > 0 {
        let buffered = from.fill_buf()?.len() as u64;
        if buffered == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let step = buffered.min(bytes);
        from.consume(step as usize);
        bytes -= step;
    }
    Ok(())
}

/// A place in a file, so that one file can be read at one place and written at another.
struct At<'f> {
    file: &'f File,
    at: u64,
}

impl Read for At<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Write for At<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write_at(bytes, self.at)?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A finished packed file.
pub struct Packed {
    file: File,
    totals: Totals,
    duplicates: u64,
}

impl Packed {
    /// To be handed to a child, which opens it with [`super::Entries`].
    pub fn file(&self) -> &File {
        &self.file
    }

    /// What its entries add up to.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Entries that are not in it, because a later one had the same key.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::Entries;
    use std::{collections::HashMap, hash::Hasher};

    /// Every key has the same hash.
    struct OneHash;
    impl BuildHasher for OneHash {
        type Hasher = OneHash;
        fn build_hasher(&self) -> OneHash {
            OneHash
        }
    }
    impl Hasher for OneHash {
        fn finish(&self) -> u64 {
            7
        }
        fn write(&mut self, _: &[u8]) {}
    }

    fn entries(packed: &Packed) -> Vec<(Vec<u8>, Vec<u8>)> {
        let entries = Entries::open(packed.file()).unwrap();
        (0..entries.len())
            .map(|number| entries.get(number))
            .map(|(key, value)| (key.to_vec(), value.to_vec()))
            .collect()
    }

    #[test]
    fn entries_come_back_in_order() {
        let mut writer = Writer::create().unwrap();
        let long = vec![0xff; KEY_MAX];
        let given: [(&[u8], &[u8]); 4] = [
            (b"b", b"2"),
            (b"", b"empty key"),
            (b"a\0", b""),
            (&long, b"\0\xff\t\n"),
        ];
        for (key, value) in given {
            writer.push(key, value).unwrap();
        }
        let packed = writer.finish().unwrap();
        assert_eq!(
            entries(&packed),
            given.map(|(key, value)| (key.to_vec(), value.to_vec()))
        );
        assert_eq!(packed.duplicates(), 0);
        assert_eq!(
            packed.totals().payload_bytes,
            2 + 9 + 2 + KEY_MAX as u64 + 4
        );
    }

    #[test]
    fn the_last_value_counts_at_its_own_place() {
        let mut writer = Writer::create().unwrap();
        for (key, value) in [
            ("a", "first"),
            ("b", "1"),
            ("a", "second"),
            ("c", "1"),
            ("a", "last"),
            ("d", ""),
        ] {
            writer.push(key.as_bytes(), value.as_bytes()).unwrap();
        }
        let packed = writer.finish().unwrap();
        let expected = [("b", "1"), ("c", "1"), ("a", "last"), ("d", "")];
        assert_eq!(
            entries(&packed),
            expected.map(|(key, value)| (key.into(), value.into()))
        );
        assert_eq!(packed.duplicates(), 2);
        assert_eq!(packed.totals().entries, 4);
        assert_eq!(packed.totals().payload_bytes, 10);
    }

    /// Against a map, through many prunings, once with all hashes equal.
    fn against_a_map(hasher: impl BuildHasher, records: u32) {
        let mut writer = Writer::with(hasher, 10).unwrap();
        let mut expected = HashMap::new();
        let mut state = 1_u32;
        for number in 0..records {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = (state >> 24).to_string().into_bytes();
            let value = vec![number as u8; (state >> 16 & 63) as usize];
            writer.push(&key, &value).unwrap();
            expected.insert(key, value);
            assert_eq!(writer.pushed(), u64::from(number) + 1);
        }
        assert!(
            writer.records.len() < records as usize,
            "superseded records are forgotten on the way"
        );
        let packed = writer.finish().unwrap();
        assert_eq!(
            packed.duplicates(),
            u64::from(records) - expected.len() as u64
        );
        let found = entries(&packed);
        assert_eq!(found.len(), expected.len());
        assert_eq!(found.into_iter().collect::<HashMap<_, _>>(), expected);
    }

    #[test]
    fn many_prunings_lose_nothing() {
        against_a_map(foldhash::quality::RandomState::default(), 5_000);
    }

    #[test]
    fn keys_of_one_hash_stay_apart() {
        against_a_map(OneHash, 500);
    }

    #[test]
    fn squeezing_moves_records_longer_than_the_buffer() {
        let mut writer = Writer::create().unwrap();
        let value = |number: u8| {
            (0..3 * BUFFER_BYTES)
                .map(|at| (at % 251) as u8 ^ number)
                .collect::<Vec<_>>()
        };
        for (key, number) in [(b"a", 1), (b"b", 2), (b"a", 3), (b"c", 4)] {
            writer.push(key, &value(number)).unwrap();
        }
        let packed = writer.finish().unwrap();
        assert!(
            entries(&packed)
                == [(b"b", 2), (b"a", 3), (b"c", 4)]
                    .map(|(key, number)| (key.to_vec(), value(number)))
        );
        let bytes = packed.file().metadata().unwrap().len();
        assert_eq!(
            bytes,
            (HEADER_BYTES + 3 * (LENGTHS_BYTES + 1 + 3 * BUFFER_BYTES + 8)) as u64
        );
    }

    #[test]
    fn the_heap_is_counted_as_glibc_does() {
        for (len, bytes) in [(0, 0), (1, 32), (24, 32), (25, 48), (40, 48), (41, 64)] {
            assert_eq!(heap_bytes(len), bytes);
        }
    }
}
