//! Bytes as tab-separated lines: the reader against one that is three lines long; and what was read, into a map.

use cmap::CMap;
use cmap_cli::{
    input::{Options, read_lines},
    packed::Entries,
    progress::Progress,
};
use std::io::{BufReader, Read};

/// Reads what `bytes` say. Whether entries came into a map.
///
/// The first byte holds the options; then comes the text. It is read as it is, and once more with its lines given the tab that
/// they lack, so that a fuzzer that prefers what is refused still feeds the map.
pub fn run(bytes: &[u8]) -> bool {
    let (&first, text) = bytes.split_first().unwrap_or((&0, &[]));
    let options = Options {
        header: first & 1 != 0,
        limit: (first & 2 != 0).then(|| u64::from(first >> 4) + 1),
    };
    // A small buffer, so that lines cross its end.
    let buffer_bytes = 1 + usize::from(first >> 2);
    let as_it_is = read(text, options, buffer_bytes);
    read(&whole_lines(text), options, buffer_bytes) || as_it_is
}

/// Reads a text. Whether entries came into a map.
fn read(text: &[u8], options: Options, buffer_bytes: usize) -> bool {
    let expected = parse(text, options);
    let lines = BufReader::with_capacity(buffer_bytes, text.take(u64::MAX));
    let input = match (
        read_lines(lines, "name", options, &Progress::hidden()),
        &expected,
    ) {
        (Ok(input), Ok(_)) => input,
        (Err(failure), Err(line)) => {
            let said = failure.to_string();
            assert!(said.starts_with(&format!("name, line {line}: ")), "{said}");
            assert_eq!(failure.status(), 3);
            return false;
        }
        (found, _) => panic!("{:?} instead of {expected:?}", found.err()),
    };
    let expected = expected.expect("just matched");
    let entries = Entries::open(input.packed.file()).expect("a packed file");
    let found: Vec<_> = (0..entries.len())
        .map(|number| entries.get(number))
        .collect();
    // Each key once, with its last value, in the order of those.
    let last = |(place, (key, _)): &(usize, &(Vec<u8>, Vec<u8>))| {
        expected[place + 1..].iter().all(|(later, _)| later != key)
    };
    let unique: Vec<_> = expected
        .iter()
        .enumerate()
        .filter(last)
        .map(|(_, (key, value))| (key.as_slice(), value.as_slice()))
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
        input.packed.duplicates(),
        (expected.len() - unique.len()) as u64
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

/// The same bytes as lines that have a tab each.
fn whole_lines(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len() * 2);
    let lines: Vec<_> = bytes.split(|&byte| byte == b'\n').collect();
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            text.push(b'\n');
        }
        let is_last_and_empty = number + 1 == lines.len() && line.is_empty();
        if !(line.contains(&b'\t') || is_last_and_empty) {
            let key = line.len().min(line.len() / 2 + 1);
            text.extend_from_slice(&line[..key]);
            text.push(b'\t');
            text.extend_from_slice(&line[key..]);
        } else {
            text.extend_from_slice(line);
        }
    }
    text
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// What the reader should say: the entries, or the number of the first bad line.
fn parse(text: &[u8], options: Options) -> Result<Pairs, usize> {
    let is_nothing = text.is_empty();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let lines = text.split(|&byte| byte == b'\n').enumerate();
    lines
        .filter(|_| !is_nothing)
        .skip(options.header.into())
        .take(options.limit.map_or(usize::MAX, |limit| limit as usize))
        .map(|(number, line)| {
            let tab = line
                .iter()
                .position(|&byte| byte == b'\t')
                .ok_or(number + 1)?;
            Ok((line[..tab].to_vec(), line[tab + 1..].to_vec()))
        })
        .collect()
}
