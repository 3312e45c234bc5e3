//! Tab-separated lines: the key up to the first tab, the value after it.
//!
//! Any bytes but tab (in the key) and newline; they are not decoded, quoted or trimmed, so the carriage return of a
//! `\r\n` belongs to the value, and so do further tabs. The last line needs no newline. An empty line has no tab.

use std::io::{BufRead, Read};

use crate::{
    failure::Failure,
    output::grouped,
    packed::{KEY_MAX, VALUE_MAX},
};

use super::Sink;

/// The longest key and value, in bytes.
#[derive(Clone, Copy)]
struct Limits {
    key: usize,
    value: usize,
}

/// Hands every line to the sink. `name` is for messages.
pub fn read(
    lines: impl BufRead,
    name: &str,
    header: bool,
    sink: &mut Sink<'_>,
) -> Result<(), Failure> {
    read_within(
        Limits {
            key: KEY_MAX,
            value: VALUE_MAX,
        },
        lines,
        name,
        header,
        sink,
    )
}

fn read_within(
    limits: Limits,
    mut lines: impl BufRead,
    name: &str,
    header: bool,
    sink: &mut Sink<'_>,
) -> Result<(), Failure> {
    // The longest line there can be: key, tab, value, newline. Of a longer one no more is read.
    let line_bytes_max = (limits.key + 1 + limits.value + 1) as u64;
    let mut line = Vec::new();
    for number in 1.. {
        if sink.is_full() {
            break;
        }
        line.clear();
        let read = lines
            .by_ref()
            .take(line_bytes_max)
            .read_until(b'\n', &mut line);
        let read = read.map_err(|error| Failure::Unreadable {
            source_name: name.into(),
            error,
        })?;
        if read == 0 {
            break;
        }
        if header && number == 1 {
            continue;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let (key, value) = split(text, limits).map_err(|reason| Failure::BadLine {
            source_name: name.into(),
            line: number,
            reason,
        })?;
        sink.push(key, value, read as u64)?;
    }
    Ok(())
}

fn split(line: &[u8], limits: Limits) -> Result<(&[u8], &[u8]), String> {
    let Some(tab) = line.iter().position(|&byte| byte == b'\t') else {
        return Err("no tab between key and value".into());
    };
    let (key, value) = (&line[..tab], &line[tab + 1..]);
    if key.len() > limits.key {
        let (len, max) = (grouped(key.len() as u64), grouped(limits.key as u64));
        return Err(format!("the key has {len} bytes, more than {max}"));
    }
    if value.len() > limits.value {
        return Err(format!(
            "the value has more than {} bytes",
            grouped(limits.value as u64)
        ));
    }
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        packed::{Entries, Writer},
        progress::Progress,
    };

    type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

    fn parse(limits: Limits, text: &[u8], header: bool) -> Result<Pairs, Failure> {
        let progress = Progress::hidden();
        let mut sink = Sink {
            writer: Writer::create().unwrap(),
            limit: u64::MAX,
            progress: &progress,
        };
        read_within(limits, text, "name.tsv", header, &mut sink)?;
        let packed = sink.writer.finish().unwrap();
        let entries = Entries::open(packed.file()).unwrap();
        let owned = |(key, value): (&[u8], &[u8])| (key.to_vec(), value.to_vec());
        Ok((0..entries.len())
            .map(|number| owned(entries.get(number)))
            .collect())
    }

    fn pairs(pairs: &[(&[u8], &[u8])]) -> Pairs {
        pairs
            .iter()
            .map(|(key, value)| (key.to_vec(), value.to_vec()))
            .collect()
    }

    const USUAL: Limits = Limits {
        key: KEY_MAX,
        value: VALUE_MAX,
    };

    #[test]
    fn any_bytes_but_tab_and_newline() {
        let text = b"a\t1\r\n\xff\0\tv\0\xffw\twith\ttabs\n\tempty key\nempty value\t\nno newline\tat the end";
        let expected = pairs(&[
            (b"a", b"1\r"),
            (b"\xff\0", b"v\0\xffw\twith\ttabs"),
            (b"", b"empty key"),
            (b"empty value", b""),
            (b"no newline", b"at the end"),
        ]);
        assert_eq!(parse(USUAL, text, false).unwrap(), expected);
    }

    #[test]
    fn a_header_is_skipped_whatever_it_holds() {
        assert_eq!(
            parse(USUAL, b"no tab here\na\t1\n", true).unwrap(),
            pairs(&[(b"a", b"1")])
        );
        assert_eq!(parse(USUAL, b"only a header", true).unwrap(), pairs(&[]));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, header, line, reason) in [
            (&b"a\t1\nno tab\nb\t2\n"[..], false, 2, "no tab"),
            (b"key\tvalue\na\t1\n\nb\t2\n", true, 3, "no tab"),
            (b"a\t1\nno tab at the end", false, 2, "no tab"),
        ] {
            let failure = parse(USUAL, text, header).unwrap_err();
            assert_eq!(failure.status(), 3);
            let message = failure.to_string();
            assert!(
                message.starts_with(&format!("name.tsv, line {line}: {reason}")),
                "{message}"
            );
        }
    }

    #[test]
    fn lengths_are_held_to_the_byte() {
        let limits = Limits { key: 3, value: 4 };
        assert_eq!(
            parse(limits, b"abc\t1234\nabd\t1234", false).unwrap(),
            pairs(&[(b"abc", b"1234"), (b"abd", b"1234")])
        );
        let message = |text| parse(limits, text, false).unwrap_err().to_string();
        assert_eq!(
            message(b"abcd\t1\n"),
            "name.tsv, line 1: the key has 4 bytes, more than 3"
        );
        assert_eq!(
            message(b"a\t1\nabc\t12345\n"),
            "name.tsv, line 2: the value has more than 4 bytes"
        );
        assert_eq!(
            message(b"abc\t1234567890\n"),
            "name.tsv, line 1: the value has more than 4 bytes"
        );
        assert_eq!(
            message(b"a\t1234567890\n"),
            "name.tsv, line 1: the value has more than 4 bytes"
        );
    }

    #[test]
    fn the_longest_key_is_taken() {
        let mut text = vec![b'k'; KEY_MAX];
        text.extend(b"\tv\n");
        assert_eq!(parse(USUAL, &text, false).unwrap()[0].0.len(), KEY_MAX);
        text.insert(0, b'k');
        assert!(
            parse(USUAL, &text, false)
                .unwrap_err()
                .to_string()
                .contains("65 536 bytes")
        );
    }
}
