//! Lines of a file, of which no more is kept than an entry can need.

use std::io::{self, BufRead, Read};

/// One after the other.
pub struct Lines<R> {
    from: R,
    bytes_max: u64,
    line: Vec<u8>,
    number: u64,
    /// The rest of the last line is still to be skipped.
    is_cut: bool,
}

/// A line.
pub struct Line<'l> {
    /// Counted from 1.
    pub number: u64,
    /// Without its newline; of one longer than wanted, the beginning.
    pub text: &'l [u8],
    /// Bytes that were read since the line before.
    pub read: u64,
}

impl<R: BufRead> Lines<R> {
    /// Of a longer line than this, its newline included, no more is kept.
    pub fn new(from: R, bytes_max: u64) -> Self {
        Self {
            from,
            bytes_max,
            line: Vec::new(),
            number: 0,
            is_cut: false,
        }
    }

    /// The next line. The last one needs no newline.
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let skipped = if self.is_cut { self.skip()? } else { 0 };
        self.line.clear();
        let read = self
            .from
            .by_ref()
            .take(self.bytes_max)
            .read_until(b'\n', &mut self.line)? as u64;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let whole = self.line.strip_suffix(b"\n");
        self.is_cut = whole.is_none() && read == self.bytes_max;
        Ok(Some(Line {
            number: self.number,
            text: whole.unwrap_or(&self.line),
            read: skipped + read,
        }))
    }

    /// Reads up to a newline. Says how much that was.
    fn skip(&mut self) -> io::Result<u64> {
        self.from.skip_until(b'\n').map(|bytes| bytes as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_where_they_are_too_long_and_nowhere_else() {
        for buffer_bytes in 1..10 {
            let text = &b"abc\n\nabcd\nabcde\n\nabcdefghi\nend"[..];
            let from = io::BufReader::with_capacity(buffer_bytes, text);
            let mut lines = Lines::new(from, 5);
            let mut found = Vec::new();
            let mut read = 0;
            while let Some(line) = lines.next().unwrap() {
                found.push((line.number, line.text.to_vec()));
                read += line.read;
            }
            let expected = ["abc", "", "abcd", "abcde", "", "abcde", "end"];
            let expected = (1..).zip(expected.map(|line| line.as_bytes().to_vec()));
            assert_eq!(found, expected.collect::<Vec<_>>());
            assert_eq!(read, text.len() as u64);
        }
    }
}
