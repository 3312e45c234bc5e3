//! What the targets have in common: a reader's findings held against those expected, and entries that come into a map.

use cmap::CMap;
use cmap_cli::{
    input::{Options, read_file},
    packed::Entries,
    progress::Progress,
};
use std::io::BufReader;

/// A key and a value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// What a line should be, by its number: an entry, or none.
pub type Line = (usize, Option<Pair>);

/// Reads a text, in which there should be these lines. Whether entries came into a map.
pub fn read(text: &[u8], options: &Options, buffer_bytes: usize, lines: &[Line]) -> bool {
    let from = BufReader::with_capacity(buffer_bytes, text);
    let input = read_file(from, "name", options, &Progress::hidden());
    let (mut expected, mut skipped) = (Vec::new(), 0);
    for (number, line) in lines {
        if options
            .limit
            .is_some_and(|limit| expected.len() as u64 >= limit)
        {
            break;
        }
        match line {
            Some((key, value)) => expected.push((key.as_slice(), value.as_slice())),
            None if options.skip_bad => skipped += 1,
            None => {
                let failure = input.err().expect("a bad line");
                let said = failure.to_string();
                assert!(
                    said.starts_with(&format!("name, line {number}: ")),
                    "{said}"
                );
                assert_eq!(failure.status(), 3);
                return false;
            }
        }
    }
    let input = input.unwrap_or_else(|failure| panic!("{failure} instead of {expected:?}"));
    let entries = Entries::open(input.packed.file()).expect("a packed file");
    let found: Vec<_> = (0..entries.len())
        .map(|number| entries.get(number))
        .collect();
    // Each key once, with its last value, in the order of those.
    let is_last = |place: usize, key| expected[place + 1..].iter().all(|(later, _)| *later != key);
    let unique: Vec<_> = (0..expected.len())
        .filter(|&place| is_last(place, expected[place].0))
        .map(|place| expected[place])
        .collect();
    assert_eq!(found, unique);
    let payload: usize = unique
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    let totals = input.packed.totals();
    assert_eq!(
        (totals.entries, totals.payload_bytes),
        (unique.len() as u64, payload as u64)
    );
    assert_eq!(
        (input.packed.duplicates(), input.skipped),
        ((expected.len() - unique.len()) as u64, skipped)
    );
    into_a_map(&entries)
}

/// All entries into a map and out of it again. Whether there was one.
pub fn into_a_map(entries: &Entries) -> bool {
    let map = CMap::new();
    for number in 0..entries.len() {
        let (key, value) = entries.get(number);
        map.insert(key, value).expect("there is memory");
        assert_eq!(map.get_with(key, |found| found == value), Some(true));
    }
    !map.is_empty()
}
