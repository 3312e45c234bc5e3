//! Bytes as tab-separated lines: the reader against one that is three lines long; and what was read, into a map.

use super::common::{Line, read};
use cmap_cli::input::{Layout, Options};

/// Reads what `bytes` say. Whether entries came into a map.
///
/// The first byte holds the options; then comes the text. It is read as it is, and once more with its lines given the tab that
/// they lack, so that a fuzzer that prefers what is refused still feeds the map.
pub fn run(bytes: &[u8]) -> bool {
    let (&first, text) = bytes.split_first().unwrap_or((&0, &[]));
    let header = first & 1 != 0;
    let options = Options {
        layout: Some(Layout::Tsv { header }),
        skip_bad: first & 8 != 0,
        limit: (first & 2 != 0).then(|| u64::from(first >> 4) + 1),
    };
    // A small buffer, so that lines cross its end.
    let buffer_bytes = 1 + usize::from(first >> 2);
    let whole = whole_lines(text);
    let as_it_is = read(text, &options, buffer_bytes, &parse(text, header));
    read(&whole, &options, buffer_bytes, &parse(&whole, header)) || as_it_is
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

/// What the reader should find.
fn parse(text: &[u8], header: bool) -> Vec<Line> {
    let is_nothing = text.is_empty();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let lines = text.split(|&byte| byte == b'\n').enumerate();
    let entry = |(number, line): (usize, &[u8])| {
        let tab = line.iter().position(|&byte| byte == b'\t');
        let entry = tab.map(|tab| (line[..tab].to_vec(), line[tab + 1..].to_vec()));
        (number + 1, entry)
    };
    lines
        .filter(|_| !is_nothing)
        .skip(header.into())
        .map(entry)
        .collect()
}
