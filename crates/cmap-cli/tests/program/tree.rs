//! Directories.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
};

use super::place::{Place, expect, expect_parts, json};

/// Puts a directory below `root` whose path is too long for the system, so that nobody, not even root, can read it by
/// that path: two chains of directories, each short enough, one moved to the end of the other.
fn too_deep(root: &Path) {
    let chain = |top: &Path, levels: usize| {
        let name = "d".repeat(200);
        let path = (0..levels).fold(top.to_path_buf(), |path, _| path.join(&name));
        fs::create_dir_all(&path).unwrap();
        path
    };
    let (upper, lower) = (root.join("upper"), root.join("lower"));
    let end = chain(&upper, 15);
    chain(&lower, 15);
    fs::rename(&lower, end.join("lower")).unwrap();
}

#[test]
fn a_directory_is_walked_without_following_links() {
    let place = Place::new();
    let root = place.input.path();
    fs::create_dir(root.join("sub")).unwrap();
    fs::write(root.join("sub/file"), "content").unwrap();
    fs::write(root.join(OsStr::from_bytes(b"not\xffUTF-8\n\t")), "").unwrap();
    symlink("..", root.join("sub/loop")).unwrap();
    symlink("/usr", root.join("elsewhere")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    let args = [root.as_os_str(), "--json".as_ref(), "-".as_ref()];
    let document = json(&place.compare(args).output().unwrap());
    let input = &document["input"];
    assert_eq!(
        (&input["entries"], &input["skipped"], &input["duplicates"]),
        (&7.into(), &0.into(), &0.into())
    );
    let paths = [
        "",
        "/sub",
        "/sub/file",
        "/sub/loop",
        "/not.UTF-8\n\t",
        "/elsewhere",
        "/dangling",
    ];
    let key_bytes = paths
        .iter()
        .map(|path| root.as_os_str().len() + path.len())
        .sum::<usize>();
    assert_eq!(input["payload_bytes"], key_bytes + paths.len() * 48);
}

#[test]
fn what_cannot_be_read_is_counted_and_skipped() {
    let place = Place::new();
    let root = place.input.path();
    too_deep(root);
    fs::write(root.join("file"), "").unwrap();
    let (out, err) = expect(&place.compare([root]).output().unwrap(), 0);
    let skipped = out
        .split(" unreadable path")
        .next()
        .unwrap()
        .rsplit(' ')
        .next()
        .unwrap();
    assert!(skipped.parse::<u64>().unwrap() > 0, "{out}");
    assert_eq!(err, "");
}

#[test]
fn without_an_argument_the_home_directory_is_walked() {
    let place = Place::new();
    let home = place.input.path();
    fs::write(home.join("file"), "").unwrap();
    let (out, err) = expect(
        &place.compare([""; 0]).env("HOME", home).output().unwrap(),
        0,
    );
    expect_parts(
        &out,
        &[&format!(
            "{} (your home directory)\n2 entries",
            home.display()
        )],
    );
    expect_parts(
        &err,
        &[&format!("walking your home directory, {}", home.display())],
    );
}
