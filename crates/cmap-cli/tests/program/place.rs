//! A place to run the program in, and what is asked of what it says.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A directory for a test's input, and one for the program's temporary files.
pub struct Place {
    pub input: TempDir,
    pub temporary: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let dir = || TempDir::new().unwrap();
        Self {
            input: dir(),
            temporary: dir(),
        }
    }

    /// The program, about to do something.
    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cmap"));
        command
            .args(args)
            .env_remove("CMAP_CHILD_FAULT")
            .env("TMPDIR", self.temporary.path())
            .stdin(Stdio::null());
        command
    }

    /// The program, about to `compare`.
    pub fn compare<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.command(["compare"]);
        command.args(args);
        command
    }

    /// What it says when it is given these bytes on standard input.
    pub fn fed<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
        bytes: impl AsRef<[u8]>,
    ) -> Output {
        let mut command = self.compare(args);
        let mut program = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = program.stdin.take().unwrap();
        stdin.write_all(bytes.as_ref()).unwrap();
        drop(stdin);
        program.wait_with_output().unwrap()
    }

    /// A file of input.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.input.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Runs `compare --json -` on a file of these bytes.
    pub fn json(&self, bytes: impl AsRef<[u8]>) -> Value {
        let file = self.file("json.tsv", bytes);
        json(
            &self
                .compare([file.as_os_str(), "--json".as_ref(), "-".as_ref()])
                .output()
                .unwrap(),
        )
    }

    /// Nothing is left of the temporary files.
    pub fn expect_clean(&self) {
        let left: Vec<_> = fs::read_dir(self.temporary.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[track_caller]
pub fn expect(output: &Output, status: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(
        output.status.code(),
        Some(status),
        "{:?}\n{out}\n{err}",
        output.status
    );
    (out, err)
}

#[track_caller]
pub fn expect_parts(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[track_caller]
pub fn json(output: &Output) -> Value {
    let (out, err) = expect(output, 0);
    assert_eq!(err, "");
    serde_json::from_str(&out).unwrap()
}

pub fn lines(entries: usize) -> String {
    (0..entries)
        .map(|number| format!("key {number:08}\tvalue {number:08} {}\n", "v".repeat(70)))
        .collect()
}

/// What the JSON of `compare` with these arguments says of the input.
#[track_caller]
pub fn input(place: &Place, args: &[&str]) -> Value {
    let args = [args, &["--json", "-"]].concat();
    json(&place.compare(args).output().unwrap())["input"].clone()
}
