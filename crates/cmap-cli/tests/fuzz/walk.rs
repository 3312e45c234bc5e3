//! Bytes as a directory tree: every path in it is found once, whatever it is called, and comes into a map.

use super::common::into_a_map;
use arbitrary::{Result, Unstructured};
use cmap_cli::{
    input::{Options, Source, read},
    packed::Entries,
    progress::Progress,
};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
};

/// Makes the tree that `bytes` say, and walks it. Whether its paths came into a map.
pub fn run(bytes: &[u8]) -> bool {
    let root = tempfile::tempdir().expect("a temporary directory");
    let mut made = vec![root.path().to_path_buf()];
    let mut input = Unstructured::new(bytes);
    let options: u8 = input.arbitrary().unwrap_or_default();
    while made.len() < 12 && !input.is_empty() && grow(&mut input, &mut made).is_ok() {}
    let all: BTreeSet<_> = made.iter().cloned().collect();
    let options = Options {
        layout: None,
        skip_bad: false,
        limit: options
            .is_multiple_of(4)
            .then(|| u64::from(options / 4) + 1),
    };
    let source = Source::find(Some(root.path())).expect("it is there");
    let found = read(&source, &options, &Progress::hidden()).expect("the root is an entry");
    assert_eq!(found.skipped, 0);
    let entries = Entries::open(found.packed.file()).expect("a packed file");
    let paths: BTreeSet<_> = (0..entries.len())
        .map(|number| path(entries.get(number).0))
        .collect();
    let limit = options.limit.map_or(usize::MAX, |limit| limit as usize);
    assert_eq!(
        (paths.len(), entries.len()),
        (all.len().min(limit), paths.len())
    );
    assert!(paths.is_subset(&all), "{paths:?} of {all:?}");
    into_a_map(&entries)
}

fn path(key: &[u8]) -> PathBuf {
    Path::new(OsStr::from_bytes(key)).into()
}

/// One more file, directory or link, if the system lets it have that name.
fn grow(input: &mut Unstructured<'_>, made: &mut Vec<PathBuf>) -> Result<()> {
    let [kind, parent, len] = input.arbitrary::<[u8; 3]>()?;
    let name = input.bytes(usize::from(len % 64).min(input.len()))?;
    let parent = made[usize::from(parent) % made.len()].clone();
    let is_name = !name.is_empty() && !matches!(name, b"." | b"..");
    let is_real_dir = parent.symlink_metadata().is_ok_and(|found| found.is_dir());
    if !is_name || !is_real_dir || name.iter().any(|byte| b"/\0".contains(byte)) {
        return Ok(());
    }
    let new = parent.join(OsStr::from_bytes(name));
    let done = match kind % 4 {
        0 => fs::create_dir(&new),
        1 => symlink("..", &new),
        2 => symlink("nowhere", &new),
        _ if new.symlink_metadata().is_ok() => return Ok(()),
        _ => fs::write(&new, name),
    };
    if done.is_ok() {
        made.push(new);
    }
    Ok(())
}
