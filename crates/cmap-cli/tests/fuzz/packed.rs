//! Bytes as a packed file: one that is what it says is read and comes into a map, any other is refused.

use super::common::into_a_map;
use arbitrary::{Result, Unstructured};
use cmap_cli::packed::{Entries, Writer};
use std::{
    fs::File,
    io::Write,
    os::unix::fs::{FileExt, MetadataExt},
};

/// The packed file that `bytes` say, as the writer makes it, and the same with up to two bytes changed and up to three cut off;
/// seldom the bytes themselves. Whether entries came into a map: what is changed is read besides, so that a fuzzer that prefers
/// what is refused still feeds the map.
pub fn run(bytes: &[u8]) -> bool {
    let (&first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    if first % 64 == 63 {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(rest).expect("room for it");
        return read(&file);
    }
    built(first, &mut Unstructured::new(rest)).expect("what is missing reads as zero")
}

fn built(first: u8, input: &mut Unstructured<'_>) -> Result<bool> {
    let mut writer = Writer::create().expect("a temporary file");
    let mut expected: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for _ in 0..first % 16 {
        let [key, value] = input.arbitrary::<[u8; 2]>()?;
        let mut bytes = |len: u8| Ok(input.bytes(input.len().min(len.into()))?.to_vec());
        let (key, value) = (bytes(key % 16)?, bytes(value)?);
        writer.push(&key, &value).expect("room for it");
        expected.retain(|(earlier, _)| *earlier != key);
        expected.push((key, value));
    }
    let packed = writer.finish().expect("room for it");
    let file = packed.file();
    let reached = {
        let found = Entries::open(file).expect("as the writer left it");
        let found = (0..found.len()).map(|number| {
            let (key, value) = found.get(number);
            (key.to_vec(), value.to_vec())
        });
        assert_eq!(found.collect::<Vec<_>>(), expected);
        read(file)
    };
    let (changes, cut) = match first {
        0..128 => (0, 0),
        128..192 => (1, 0),
        _ => (2, u64::from(input.arbitrary::<u8>()? % 4)),
    };
    let size = file.metadata().expect("a file").size();
    for _ in 0..changes {
        let (at, byte): (u16, u8) = (input.arbitrary()?, input.arbitrary()?);
        file.write_at(&[byte], u64::from(at) % size)
            .expect("room for it");
    }
    file.set_len(size - cut).expect("shorter");
    if changes > 0 {
        read(file);
    }
    Ok(reached)
}

/// Whether the file is one, and its entries came into a map. It is read to the last byte in any case.
fn read(file: &File) -> bool {
    Entries::open(file).is_ok_and(|entries| {
        entries.touch();
        // No entry is as good as some: it was read.
        into_a_map(&entries) || entries.is_empty()
    })
}
