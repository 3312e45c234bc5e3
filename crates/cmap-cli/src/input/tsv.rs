//! Tab-separated lines: the key up to the first tab, the value after it.
//!
//! Any bytes but tab (in the key) and newline; they are not decoded, quoted or trimmed, so the carriage return of a
//! `\r\n` belongs to the value, and so do further tabs. The last line needs no newline. An empty line has no tab.

use std::io::BufRead;

use crate::failure::Failure;

use super::{Sink, lines::Lines};

/// Hands every line to the sink.
pub fn read(from: impl BufRead, header: bool, sink: &mut Sink<'_>) -> Result<(), Failure> {
    // The longest line there can be: key, tab, value, newline.
    let mut lines = Lines::new(from, (sink.limits.key + 1 + sink.limits.value + 1) as u64);
    while !sink.is_full() {
        let Some(line) = lines.next().map_err(|error| sink.unreadable(error))? else {
            break;
        };
        if !(header && line.number == 1) {
            sink.take(line.number, line.read, split(line.text))?;
        }
    }
    Ok(())
}

fn split(line: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let tab = line.iter().position(|&byte| byte == b'\t');
    let tab = tab.ok_or("no tab between key and value")?;
    Ok((&line[..tab], &line[tab + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        input::{
            Limits,
            tests::{Pairs, pairs, pairs_of},
        },
        packed::KEY_MAX,
    };

    fn parse(limits: Limits, text: &[u8], header: bool) -> Result<Pairs, Failure> {
        pairs_of("name.tsv", limits, |sink| read(text, header, sink))
    }

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
        assert_eq!(parse(Limits::ENTRY, text, false).unwrap(), expected);
    }

    #[test]
    fn a_header_is_skipped_whatever_it_holds() {
        assert_eq!(
            parse(Limits::ENTRY, b"no tab here\na\t1\n", true).unwrap(),
            pairs(&[(b"a", b"1")])
        );
        assert_eq!(
            parse(Limits::ENTRY, b"only a header", true).unwrap(),
            pairs(&[])
        );
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, header, line, reason) in [
            (&b"a\t1\nno tab\nb\t2\n"[..], false, 2, "no tab"),
            (b"key\tvalue\na\t1\n\nb\t2\n", true, 3, "no tab"),
            (b"a\t1\nno tab at the end", false, 2, "no tab"),
        ] {
            let failure = parse(Limits::ENTRY, text, header).unwrap_err();
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
        assert_eq!(
            parse(Limits::ENTRY, &text, false).unwrap()[0].0.len(),
            KEY_MAX
        );
        text.insert(0, b'k');
        assert!(
            parse(Limits::ENTRY, &text, false)
                .unwrap_err()
                .to_string()
                .contains("65 536 bytes")
        );
    }
}
