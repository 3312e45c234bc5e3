//! Which of several records with one key is the last: found by sorting hashes, 16 bytes a record.

use std::hash::BuildHasher;

use super::record;

/// Where a record lies, and the hash of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub hash: u64,
    pub at: u64,
}

impl Record {
    pub fn new(hasher: &impl BuildHasher, key: &[u8], at: u64) -> Self {
        Self {
            hash: hasher.hash_one(key),
            at,
        }
    }
}

/// Leaves the last record of each key, sorted by hash; tells each other one, as its key and value, to `superseded`.
/// Keys of one hash are compared by their bytes.
pub fn prune(records: &mut Vec<Record>, bytes: &[u8], mut superseded: impl FnMut(&[u8], &[u8])) {
    records.sort_unstable();
    let mut kept = 0;
    let mut next = 0;
    while next < records.len() {
        let hash = records[next].hash;
        let end = next
            + records[next..]
                .iter()
                .take_while(|record| record.hash == hash)
                .count();
        let group_at = kept;
        // Backwards, so that the first record met of a key is its last. What is kept never overtakes what is read:
        // it is gathered at the group's end and moved down afterwards.
        let mut lowest = end;
        for candidate in (next..end).rev() {
            let (key, value) = record(bytes, records[candidate].at as usize);
            let known = &records[lowest..end];
            if known
                .iter()
                .any(|known| record(bytes, known.at as usize).0 == key)
            {
                superseded(key, value);
            } else {
                lowest -= 1;
                records[lowest] = records[candidate];
            }
        }
        records.copy_within(lowest..end, group_at);
        kept += end - lowest;
        next = end;
    }
    records.truncate(kept);
}
