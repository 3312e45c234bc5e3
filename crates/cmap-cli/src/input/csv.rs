//! Comma-separated records below a header: RFC 4180, read leniently, as the crate `csv-core` does.
//!
//! A record is a line, or several if line ends stand between quotes. What separates them is `\n`, `\r\n` or `\r`; empty
//! lines are none, and a byte order mark before the header is skipped. The header names the columns; every record has as
//! many fields as it. Bytes are not decoded. A value that is a whole record is that record as it stands, quotes included.

use std::io::{self, BufRead, Cursor, Read};

use csv_core::{ReadRecordResult, Reader};

use crate::{
    failure::Failure,
    output::{count, grouped},
};

use super::Sink;

/// What a byte order mark has, and one more.
const HEAD_BYTES: u64 = 4;
/// Room for fields at first; it doubles when it is short.
const FIELDS: usize = 16;
/// Room for bytes at first; it doubles when it is short.
const BYTES: usize = 1024;
/// So many names of columns are listed.
const NAMES_SHOWN: usize = 20;

/// Hands every record to the sink, with the columns that are called so as its key and its value.
pub fn read(
    from: impl BufRead,
    key: Option<&str>,
    value: Option<&str>,
    sink: &mut Sink<'_>,
) -> Result<(), Failure> {
    let mut records =
        Records::new(from, sink.limits.value).map_err(|error| sink.unreadable(error))?;
    let Some(header) = records.next().map_err(|error| sink.unreadable(error))? else {
        return Ok(());
    };
    header
        .expect_whole(sink.limits.value)
        .map_err(|reason| sink.bad(header.line, reason))?;
    let columns = Columns::find(&header, key, value, sink.name)?;
    while !sink.is_full() {
        let Some(record) = records.next().map_err(|error| sink.unreadable(error))? else {
            break;
        };
        let said = record
            .expect_whole(sink.limits.value)
            .and_then(|()| columns.of(&record));
        sink.take(record.line, record.read, said)?;
    }
    Ok(())
}

/// Which columns are wanted.
struct Columns {
    key: usize,
    /// None for the whole record.
    value: Option<usize>,
    fields: usize,
}

impl Columns {
    fn find(
        header: &Record<'_>,
        key: Option<&str>,
        value: Option<&str>,
        file: &str,
    ) -> Result<Self, Failure> {
        let fields = header.ends.len();
        let place = |option: &str, name: &str| {
            let mut places = (0..fields).filter(|&place| header.field(place) == name.as_bytes());
            match (places.next(), places.count()) {
                (Some(place), 0) => Ok(place),
                (Some(_), more) => Err(Failure::Arguments(format!(
                    "{option} {name}: {file} has {} columns of that name",
                    more + 1
                ))),
                (None, _) => Err(Failure::Arguments(format!(
                    "{option} {name}: {file} has no such column, but {}",
                    header.names()
                ))),
            }
        };
        Ok(Self {
            key: key.map_or(Ok(0), |name| place("--key", name))?,
            value: value.map(|name| place("--value", name)).transpose()?,
            fields,
        })
    }

    fn of<'r>(&self, record: &Record<'r>) -> Result<(&'r [u8], &'r [u8]), String> {
        let fields = record.ends.len();
        if fields != self.fields {
            return Err(format!(
                "{}, but the header has {}",
                count(fields as u64, "field", "fields"),
                self.fields
            ));
        }
        Ok((
            record.field(self.key),
            self.value.map_or(record.text, |value| record.field(value)),
        ))
    }
}

/// A record, or what there is of one.
struct Record<'r> {
    /// In which it begins, counted from 1.
    line: u64,
    /// As it stands in the file, without its end.
    text: &'r [u8],
    bytes: &'r [u8],
    ends: &'r [usize],
    is_too_long: bool,
    is_open: bool,
    /// Bytes that were read since the one before.
    read: u64,
}

impl<'r> Record<'r> {
    fn field(&self, place: usize) -> &'r [u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[place]]
    }

    fn expect_whole(&self, bytes_max: usize) -> Result<(), String> {
        if self.is_too_long {
            return Err(format!(
                "the record has more than {} bytes",
                grouped(bytes_max as u64)
            ));
        }
        if self.is_open {
            return Err(
                "a quote is opened in this record, and not closed before the end of the file"
                    .into(),
            );
        }
        Ok(())
    }

    /// Its fields, for a person.
    fn names(&self) -> String {
        let name = |place| format!("{:?}", String::from_utf8_lossy(self.field(place)));
        let mut names: Vec<_> = (0..self.ends.len().min(NAMES_SHOWN)).map(name).collect();
        if self.ends.len() > NAMES_SHOWN {
            names.push(format!("{} more", self.ends.len() - NAMES_SHOWN));
        }
        names.join(", ")
    }
}

/// One record after the other. Of one that is longer than wanted, the rest is parsed only for where it ends.
struct Records<R> {
    from: R,
    core: Reader,
    bytes_max: usize,
    text: Vec<u8>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Newlines that were read.
    newlines: u64,
    /// The file has ended, and its end was taken for a newline: what still goes on then does so between quotes.
    has_ended: bool,
}

impl<R: BufRead> Records<io::Chain<Cursor<Vec<u8>>, R>> {
    fn new(mut from: R, bytes_max: usize) -> io::Result<Self> {
        // The parser skips a byte order mark if it comes in one piece, and takes it for the end if it comes alone.
        let mut head = Vec::new();
        from.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
        Ok(Self {
            from: Cursor::new(head).chain(from),
            core: Reader::new(),
            bytes_max,
            text: Vec::new(),
            bytes: vec![0; BYTES],
            ends: vec![0; FIELDS],
            newlines: 0,
            has_ended: false,
        })
    }
}

impl<R: BufRead> Records<R> {
    fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        let (mut filled, mut fields, mut read) = (0, 0, 0);
        let (mut newlines_before, mut is_too_long) = (self.newlines, false);
        self.text.clear();
        loop {
            let buffer = self.from.fill_buf()?;
            let is_end = buffer.is_empty();
            let input = if is_end && !self.has_ended {
                b"\n"
            } else {
                buffer
            };
            let (result, used, wrote, ended) =
                self.core
                    .read_record(input, &mut self.bytes[filled..], &mut self.ends[fields..]);
            let is_open = input.is_empty();
            if is_end {
                self.has_ended |= used > 0;
            } else {
                let mut taken = &input[..used];
                if self.text.is_empty() {
                    let lead = taken
                        .iter()
                        .take_while(|byte| b"\r\n".contains(byte))
                        .count();
                    self.newlines += newlines(&taken[..lead]);
                    newlines_before = self.newlines;
                    taken = &taken[lead..];
                }
                self.newlines += newlines(taken);
                // Its end has a byte.
                is_too_long |= self.text.len() + taken.len() > self.bytes_max + 1;
                if !is_too_long {
                    self.text.extend_from_slice(taken);
                }
                read += used as u64;
                self.from.consume(used);
            }
            (filled, fields) = if is_too_long {
                (0, 0)
            } else {
                (filled + wrote, fields + ended)
            };
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.bytes.resize(self.bytes.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::Record => {
                    let end = self.text.last().filter(|byte| b"\r\n".contains(byte));
                    let text = &self.text[..self.text.len() - usize::from(end.is_some())];
                    return Ok(Some(Record {
                        line: newlines_before + 1,
                        text,
                        bytes: &self.bytes[..filled],
                        ends: &self.ends[..fields],
                        is_too_long: is_too_long || text.len() > self.bytes_max,
                        is_open,
                        read,
                    }));
                }
            }
        }
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{
        Limits,
        tests::{Pairs, pairs, pairs_of},
    };
    use std::io::BufReader;

    fn parse(
        limits: Limits,
        text: &[u8],
        key: Option<&str>,
        value: Option<&str>,
    ) -> Result<Pairs, Failure> {
        let whole = pairs_of("name.csv", limits, |sink| read(text, key, value, sink));
        for buffer_bytes in 1..8 {
            let from = BufReader::with_capacity(buffer_bytes, text);
            let again = pairs_of("name.csv", limits, |sink| read(from, key, value, sink));
            assert_eq!(again.as_ref().ok(), whole.as_ref().ok());
            assert_eq!(
                again.err().map(|failure| failure.to_string()),
                whole.as_ref().err().map(ToString::to_string)
            );
        }
        whole
    }

    fn entries(text: &str, key: &str, value: Option<&str>) -> Pairs {
        parse(Limits::ENTRY, text.as_bytes(), Some(key), value).unwrap()
    }

    fn refused(text: &str, key: &str, value: Option<&str>) -> (u8, String) {
        let failure = parse(Limits::ENTRY, text.as_bytes(), Some(key), value).unwrap_err();
        (failure.status(), failure.to_string())
    }

    #[test]
    fn columns_are_found_by_their_names() {
        let text = "id,name,größe\n1,one,a\n2,two,b\n";
        assert_eq!(
            entries(text, "name", Some("id")),
            pairs(&[(b"one", b"1"), (b"two", b"2")])
        );
        assert_eq!(
            entries(text, "größe", Some("größe")),
            pairs(&[(b"a", b"a"), (b"b", b"b")])
        );
        let first = parse(Limits::ENTRY, text.as_bytes(), None, Some("name")).unwrap();
        assert_eq!(first, pairs(&[(b"1", b"one"), (b"2", b"two")]));
    }

    #[test]
    fn a_whole_record_is_kept_as_it_stands() {
        let text = "id,name\r\n1, \"a \"\"b\"\" \"\r\n\"2\",\"c,\r\nd\"\r\n\n3,\"e\n\"";
        assert_eq!(
            entries(text, "id", None),
            pairs(&[
                (b"1", b"1, \"a \"\"b\"\" \""),
                (b"2", b"\"2\",\"c,\r\nd\""),
                (b"3", b"3,\"e\n\""),
            ])
        );
    }

    #[test]
    fn quotes_are_taken_off_fields() {
        let text = "k,v\n\"a,b\",\"c\nd\"\n\"e\"\"f\",\"\"\n,\"\r\n\"\ng\"h,i\n";
        assert_eq!(
            entries(text, "k", Some("v")),
            pairs(&[
                (b"a,b", b"c\nd"),
                (b"e\"f", b""),
                (b"", b"\r\n"),
                (b"g\"h", b"i")
            ])
        );
    }

    #[test]
    fn any_line_end_will_do_and_the_last_may_lack() {
        let expected = pairs(&[(b"a", b"1"), (b"b", b"2")]);
        for text in [
            "k,v\na,1\nb,2\n",
            "k,v\na,1\nb,2",
            "k,v\r\na,1\r\nb,2\r\n",
            "k,v\ra,1\rb,2",
            "\u{feff}k,v\na,1\n\n\r\n\nb,2\n\n",
            "\n\nk,v\na,1\nb,2",
            "\u{feff}\"k\",v\na,1\nb,2",
        ] {
            assert_eq!(entries(text, "k", Some("v")), expected, "{text:?}");
        }
    }

    #[test]
    fn bytes_need_not_be_text() {
        let text = b"k,v\n\xff\0,\xfe\n";
        let found = parse(Limits::ENTRY, text, Some("k"), Some("v")).unwrap();
        assert_eq!(found, pairs(&[(b"\xff\0", b"\xfe")]));
    }

    #[test]
    fn a_bad_record_is_named_by_its_first_line() {
        for (text, reason) in [
            ("k,v\na,1\nb\n", "line 3: 1 field, but the header has 2"),
            (
                "k,v\na,\"1\n\n2\"\nb,2,3\n",
                "line 5: 3 fields, but the header has 2",
            ),
            (
                "k,v\r\n\r\na,1\r\nb,2,3\r\n",
                "line 4: 3 fields, but the header has 2",
            ),
            ("k,v\n\n,\n\n,,\n", "line 5: 3 fields, but the header has 2"),
            (
                "k,v\na,\"1\nb,2\n",
                "line 2: a quote is opened in this record, and not closed before the end of the file",
            ),
            (
                "k,v\na,\"",
                "line 2: a quote is opened in this record, and not closed before the end of the file",
            ),
            (
                "k,\"v\na,b\n",
                "line 1: a quote is opened in this record, and not closed before the end of the file",
            ),
        ] {
            assert_eq!(
                refused(text, "k", None),
                (3, format!("name.csv, {reason}")),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_column_that_is_not_there_or_there_twice_is_refused() {
        let text = "id,name,\"a \"\"b\"\"\",name\n1,2,3,4\n";
        assert_eq!(
            refused(text, "Id", None),
            (
                2,
                r#"--key Id: name.csv has no such column, but "id", "name", "a \"b\"", "name""#
                    .into()
            )
        );
        assert_eq!(
            refused(text, "id", Some("name")),
            (
                2,
                "--value name: name.csv has 2 columns of that name".into()
            )
        );
        assert_eq!(
            entries(text, "id", Some("a \"b\"")),
            pairs(&[(b"1", b"3")]),
            "others may be there twice"
        );
        let wide: Vec<_> = (0..50).map(|number| number.to_string()).collect();
        assert!(
            refused(&wide.join(","), "x", None)
                .1
                .ends_with("\"18\", \"19\", 30 more")
        );
        assert_eq!(
            entries(
                &[wide.join(","), wide.join(",")].join("\n"),
                "7",
                Some("49")
            ),
            pairs(&[(b"7", b"49")])
        );
    }

    #[test]
    fn nothing_and_a_header_alone_have_no_entries() {
        for text in ["", "\n\r\n", "\u{feff}", "k,v", "k,v\n", "k"] {
            assert_eq!(entries(text, "k", None), Pairs::new(), "{text:?}");
        }
    }

    #[test]
    fn lengths_are_held_to_the_byte() {
        let limits = Limits { key: 3, value: 8 };
        let found = |text: &str, value| {
            parse(limits, text.as_bytes(), Some("k"), value).map_err(|failure| failure.to_string())
        };
        assert_eq!(
            found("k,v\nabc,1234\r\n", None),
            Ok(pairs(&[(b"abc", b"abc,1234")]))
        );
        assert_eq!(
            found("k,v\nabcd,123\n", None),
            Err("name.csv, line 2: the key has 4 bytes, more than 3".into())
        );
        for text in [
            "k,v\na,1\nabc,12345\nb,2",
            "k,v\na,1\nabc,12345\r\n",
            "k,v\na,1\nabc,12345",
        ] {
            let said = "name.csv, line 3: the record has more than 8 bytes";
            assert_eq!(found(text, None), Err(said.into()), "{text:?}");
        }
        assert_eq!(
            found("key,value\n", None),
            Err("name.csv, line 1: the record has more than 8 bytes".into())
        );
    }

    #[test]
    fn a_long_record_is_skipped_to_its_end() {
        let limits = Limits { key: 3, value: 8 };
        let text = b"k,v\na,\"1\n23456789\nb,2\"\nc,3\n";
        let found = pairs_of("name.csv", limits, |sink| {
            sink.skip_bad = true;
            read(&text[..], Some("k"), Some("v"), sink)?;
            assert_eq!(sink.skipped, 1);
            Ok(())
        });
        assert_eq!(found.unwrap(), pairs(&[(b"c", b"3")]));
    }

    #[test]
    fn records_larger_than_the_first_buffers_are_read() {
        let long = "x".repeat(BYTES * 5);
        let text = format!("k,v\na,{long}\n\"{long}\",b\n");
        let found = entries(&text, "k", Some("v"));
        assert_eq!(
            found,
            pairs(&[(b"a", long.as_bytes()), (long.as_bytes(), b"b")])
        );
    }
}
