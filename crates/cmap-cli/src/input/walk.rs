//! A directory tree: each path with its size, mode and times.
//!
//! ```text
//! value, 48 bytes, little-endian:
//! | size u64 | mode u32 | accessed | modified | changed |      a time: seconds i64, nanoseconds u32
//! ```
//!
//! Files, directories, symbolic links (themselves, not what they point to) and everything else that has a path. The
//! key is the path as it is reached from the root that the user named. Other file systems are not entered.

use std::{
    fs::Metadata,
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
};

use walkdir::WalkDir;

use crate::{failure::Failure, packed::KEY_MAX};

use super::Sink;

const VALUE_BYTES: usize = 48;

/// Hands every path to the sink; those that cannot be read are counted.
pub fn read(root: &Path, sink: &mut Sink<'_>) -> Result<(), Failure> {
    for found in WalkDir::new(root)
        .same_file_system(true)
        .follow_links(false)
    {
        if sink.is_full() {
            break;
        }
        let found = match found {
            Ok(found) => found,
            // The root itself: then there is nothing to walk.
            Err(error) if error.depth() == 0 => {
                let error = error
                    .into_io_error()
                    .unwrap_or_else(|| io::ErrorKind::Other.into());
                return Err(sink.unreadable(error));
            }
            Err(_) => {
                sink.skipped += 1;
                continue;
            }
        };
        let key = found.path().as_os_str().as_bytes();
        match found.metadata() {
            Ok(metadata) if key.len() <= KEY_MAX => sink.push(key, &value(&metadata))?,
            _ => sink.skipped += 1,
        }
    }
    Ok(())
}

fn value(metadata: &Metadata) -> [u8; VALUE_BYTES] {
    let mut value = [0; VALUE_BYTES];
    value[..8].copy_from_slice(&metadata.size().to_le_bytes());
    value[8..12].copy_from_slice(&metadata.mode().to_le_bytes());
    let times = [
        (metadata.atime(), metadata.atime_nsec()),
        (metadata.mtime(), metadata.mtime_nsec()),
        (metadata.ctime(), metadata.ctime_nsec()),
    ];
    for (place, (seconds, nanoseconds)) in value[12..].chunks_exact_mut(12).zip(times) {
        place[..8].copy_from_slice(&seconds.to_le_bytes());
        place[8..].copy_from_slice(&(nanoseconds as u32).to_le_bytes());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Limits, tests::pairs_of};
    use std::{collections::BTreeMap, ffi::OsStr, fs, os::unix::fs::symlink, path::PathBuf};

    fn walk(root: &Path) -> (BTreeMap<PathBuf, Vec<u8>>, u64) {
        let mut skipped = 0;
        let found = pairs_of("root", Limits::ENTRY, |sink| {
            read(root, sink)?;
            skipped = sink.skipped;
            Ok(())
        });
        let path = |key: Vec<u8>| PathBuf::from(OsStr::from_bytes(&key));
        let found = found.unwrap().into_iter();
        (
            found.map(|(key, value)| (path(key), value)).collect(),
            skipped,
        )
    }

    #[test]
    fn links_are_entries_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(root.join("sub/file"), b"12345").unwrap();
        symlink("..", root.join("sub/loop")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        let (found, skipped) = walk(root);
        let paths: Vec<_> = found
            .keys()
            .map(|path| path.strip_prefix(root).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(paths, ["", "dangling", "sub", "sub/file", "sub/loop"]);
        assert_eq!(skipped, 0);
        let value = &found[&root.join("sub/file")];
        let metadata = fs::metadata(root.join("sub/file")).unwrap();
        assert_eq!(value.len(), VALUE_BYTES);
        assert_eq!(value[..8], 5_u64.to_le_bytes());
        assert_eq!(value[8..12], metadata.mode().to_le_bytes());
        assert_eq!(value[24..32], metadata.mtime().to_le_bytes());
        assert_eq!(value[44..48], (metadata.ctime_nsec() as u32).to_le_bytes());
    }

    #[test]
    fn a_root_that_is_gone_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        let failure = pairs_of("root", Limits::ENTRY, |sink| read(&gone, sink)).unwrap_err();
        assert_eq!(failure.status(), 3);
    }
}
