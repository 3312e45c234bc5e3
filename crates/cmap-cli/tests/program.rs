//! The program as its users meet it: what it prints, how it ends, and what it leaves behind.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use serde_json::Value;
use tempfile::TempDir;

/// A directory for a test's input, and one for the program's temporary files.
struct Place {
    input: TempDir,
    temporary: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = || TempDir::new().unwrap();
        Self {
            input: dir(),
            temporary: dir(),
        }
    }

    /// The program, about to `compare`.
    fn compare<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cmap"));
        command
            .arg("compare")
            .args(args)
            .env_remove("CMAP_CHILD_FAULT");
        command
            .env("TMPDIR", self.temporary.path())
            .stdin(Stdio::null());
        command
    }

    /// A file of input.
    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.input.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Runs `compare --json -` on a file of these bytes.
    fn json(&self, bytes: impl AsRef<[u8]>) -> Value {
        let file = self.file("json.tsv", bytes);
        json(
            &self
                .compare([file.as_os_str(), "--json".as_ref(), "-".as_ref()])
                .output()
                .unwrap(),
        )
    }

    /// Nothing is left of the temporary files.
    fn expect_clean(&self) {
        let left: Vec<_> = fs::read_dir(self.temporary.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[track_caller]
fn expect(output: &Output, status: i32) -> (String, String) {
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
fn expect_parts(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[track_caller]
fn json(output: &Output) -> Value {
    let (out, err) = expect(output, 0);
    assert_eq!(err, "");
    serde_json::from_str(&out).unwrap()
}

fn lines(entries: usize) -> String {
    (0..entries)
        .map(|number| format!("key {number:08}\tvalue {number:08} {}\n", "v".repeat(70)))
        .collect()
}

#[test]
fn a_small_file_is_compared_and_called_too_small() {
    let place = Place::new();
    let file = place.file("small.tsv", "a\t1\nb\t2\nc\t3");
    let (out, err) = expect(&place.compare([&file]).output().unwrap(), 0);
    expect_parts(
        &out,
        &[
            &format!("{}\n3 entries,", file.display()),
            "0 duplicates",
            "RwLock",
            "<HashMap>",
            "DashMap",
            "CMap",
            "bytes per entry",
            "overhead per entry",
            "load, million/s",
            "lookup, million/s",
            "worst insert, ms",
            "after deleting 90 %",
            "time to drop, ms",
            "CMap vs",
            "foldhash",
            "the system's allocator",
            "Too small to judge: 3 entries",
        ],
    );
    assert!(out.is_ascii(), "no drawing in a pipe: {out}");
    assert_eq!(err, "", "no progress bar in a pipe");
    place.expect_clean();
}

#[test]
fn enough_entries_are_judged() {
    let place = Place::new();
    let file = place.file("enough.tsv", lines(50_000));
    let (out, _) = expect(&place.compare([&file]).output().unwrap(), 0);
    expect_parts(
        &out,
        &[
            "CMap against RwLock<HashMap>\n  gains:",
            "CMap against DashMap\n  gains:",
            "\n  no gain:",
        ],
    );
    assert!(!out.contains("Too small"), "{out}");
}

#[test]
fn the_json_has_exactly_the_fields_of_its_schema() {
    let fields = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    let named = |names: &[&str]| {
        names
            .iter()
            .map(ToString::to_string)
            .collect::<BTreeSet<_>>()
    };
    let place = Place::new();
    let file = place.file("some.tsv", lines(20_000));
    let written = place.input.path().join("figures.json");
    let args = [
        file.as_os_str(),
        "--threads".as_ref(),
        "3".as_ref(),
        "--json".as_ref(),
        written.as_os_str(),
    ];
    let (out, _) = expect(&place.compare(args).output().unwrap(), 0);
    expect_parts(&out, &["3 threads", "bytes per entry"]);

    let document: Value = serde_json::from_slice(&fs::read(&written).unwrap()).unwrap();
    assert_eq!(
        fields(&document),
        named(&["schema", "input", "threads", "stores"])
    );
    assert_eq!(
        (&document["schema"], &document["threads"]),
        (&1.into(), &3.into())
    );
    let input = &document["input"];
    assert_eq!(
        fields(input),
        named(&[
            "source",
            "entries",
            "payload_bytes",
            "duplicates",
            "skipped"
        ])
    );
    assert_eq!(input["source"], file.to_str().unwrap());
    assert_eq!(
        (&input["entries"], &input["payload_bytes"]),
        (&20_000.into(), &(20_000 * (12 + 85)).into())
    );
    let stores = document["stores"].as_array().unwrap();
    assert_eq!(
        stores
            .iter()
            .map(|store| &store["name"])
            .collect::<Vec<_>>(),
        ["RwLock<HashMap>", "DashMap", "CMap"]
    );
    for store in stores {
        let figures = [
            "bytes_per_entry",
            "overhead_per_entry",
            "load_per_s",
            "lookup_per_s",
            "worst_insert_us",
            "after_delete_ratio",
            "drop_ms",
        ];
        assert_eq!(fields(store), named(&[&figures[..], &["name"]].concat()));
        for figure in figures {
            assert!(
                store[figure].as_f64().is_some_and(|figure| figure > 0.0),
                "{figure} of {store}"
            );
        }
        let overhead = store["bytes_per_entry"].as_f64().unwrap() - 97.0;
        assert!(
            (store["overhead_per_entry"].as_f64().unwrap() - overhead).abs() < 0.001,
            "{store}"
        );
    }
}

#[test]
fn json_on_standard_output_stands_alone() {
    let document = Place::new().json("a\t1\n");
    assert_eq!(document["input"]["entries"], 1);
}

#[test]
fn of_a_key_given_twice_the_last_value_counts() {
    let place = Place::new();
    let document = place.json("a\tfirst\nb\t1\na\tlast one\n");
    assert_eq!(document["input"]["duplicates"], 1);
    assert_eq!(
        (
            &document["input"]["entries"],
            &document["input"]["payload_bytes"]
        ),
        (&2.into(), &11.into())
    );
    let file = place.file("again.tsv", "a\t1\na\t2\na\t3\n");
    expect_parts(
        &expect(&place.compare([file]).output().unwrap(), 0).0,
        &["\n1 entry,", "\n2 duplicates"],
    );
}

#[test]
fn standard_input_is_read() {
    let place = Place::new();
    let mut program = place.compare(["-", "--json", "-"]);
    let mut program = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    program
        .stdin
        .take()
        .unwrap()
        .write_all(b"a\t1\nb\t2")
        .unwrap();
    let document = json(&program.wait_with_output().unwrap());
    assert_eq!(
        (&document["input"]["source"], &document["input"]["entries"]),
        (&"-".into(), &2.into())
    );
}

#[test]
fn a_bad_line_of_standard_input_is_named() {
    let place = Place::new();
    let mut program = place.compare(["-"]);
    let mut program = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    program
        .stdin
        .take()
        .unwrap()
        .write_all(b"a\t1\n\nb\t2")
        .unwrap();
    let (_, err) = expect(&program.wait_with_output().unwrap(), 3);
    assert_eq!(
        err,
        "cmap: standard input, line 2: no tab between key and value\n"
    );
}

#[test]
fn a_header_is_skipped_only_when_asked() {
    let place = Place::new();
    let file = place.file("header.tsv", "name\tvalue\na\t1\nb\t2\n");
    let entries = |args: &[&str]| {
        let args = [&[file.to_str().unwrap(), "--json", "-"], args].concat();
        json(&place.compare(args).output().unwrap())["input"]["entries"].clone()
    };
    assert_eq!(entries(&[]), 3);
    assert_eq!(entries(&["--header"]), 2);
    assert_eq!(entries(&["--header", "--limit", "1"]), 1);
}

#[test]
fn any_bytes_but_tab_and_newline_are_kept_apart() {
    let mut text = Vec::new();
    for byte in (0..=255_u8).filter(|byte| !b"\t\n".contains(byte)) {
        text.extend([byte, 0, byte, b'\t', byte, 0xff, 0, b'\n']);
    }
    let document = Place::new().json(text);
    assert_eq!(
        (
            &document["input"]["entries"],
            &document["input"]["duplicates"]
        ),
        (&254.into(), &0.into())
    );
    assert_eq!(document["input"]["payload_bytes"], 254 * 6);
}

#[test]
fn bad_input_is_named_with_file_line_and_reason() {
    let place = Place::new();
    let long_key = [&b"a\t1\n"[..], &[b'k'; 65_536], b"\tv\n"].concat();
    for (name, bytes, args, reason) in [
        (
            "no-tab.tsv",
            &b"a\t1\nno tab here\nb\t2\n"[..],
            &[][..],
            ", line 2: no tab between key and value",
        ),
        (
            "empty-line.tsv",
            b"key\tvalue\na\t1\n\n",
            &["--header"],
            ", line 3: no tab between key and value",
        ),
        (
            "long-key.tsv",
            &long_key,
            &[],
            ", line 2: the key has 65 536 bytes, more than 65 535",
        ),
        ("empty.tsv", b"", &[], ": no entries"),
        (
            "header-only.tsv",
            b"key\tvalue\n",
            &["--header"],
            ": no entries",
        ),
    ] {
        let file = place.file(name, bytes);
        let (out, err) = expect(
            &place
                .compare([&[file.to_str().unwrap()], args].concat())
                .output()
                .unwrap(),
            3,
        );
        assert_eq!(
            (out, err),
            (String::new(), format!("cmap: {}{reason}\n", file.display()))
        );
    }
    let missing = place.input.path().join("missing.tsv");
    let (_, err) = expect(&place.compare([&missing]).output().unwrap(), 3);
    expect_parts(&err, &[missing.to_str().unwrap(), "No such file"]);
    place.expect_clean();
}

#[test]
fn bad_arguments_are_refused() {
    let place = Place::new();
    let file = place.file("input.tsv", "a\t1\n");
    let (file, dir) = (file.to_str().unwrap(), place.input.path().to_str().unwrap());
    let in_no_dir = format!("{dir}/missing/figures.json");
    for args in [
        &["--no-such-option"][..],
        &[file, "a second one"],
        &[file, "--threads", "0"],
        &[file, "--threads", "many"],
        &[file, "--limit", "0"],
        &[file, "--json", file],
        &[file, "--json", dir],
        &[file, "--json", &in_no_dir],
        &[dir, "--header"],
    ] {
        let (out, err) = expect(&place.compare(args).output().unwrap(), 2);
        assert!(out.is_empty() && !err.is_empty(), "{args:?}: {out}{err}");
    }
    assert_eq!(
        fs::read_to_string(file).unwrap(),
        "a\t1\n",
        "the input is never written to"
    );
    expect(
        &Command::new(env!("CARGO_BIN_EXE_cmap")).output().unwrap(),
        2,
    );
}

#[test]
fn help_and_version_are_given() {
    let place = Place::new();
    let (out, _) = expect(&place.compare(["--help"]).output().unwrap(), 0);
    expect_parts(
        &out,
        &[
            "FILE|DIR",
            "--threads",
            "--json",
            "--header",
            "--limit",
            "Exit status",
        ],
    );
    assert!(!out.contains("memory-available"), "for tests only");
    let (out, _) = expect(
        &Command::new(env!("CARGO_BIN_EXE_cmap"))
            .arg("--version")
            .output()
            .unwrap(),
        0,
    );
    assert!(out.starts_with("cmap "), "{out}");
}

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

#[test]
fn what_would_not_fit_is_refused_with_a_limit_that_fits() {
    let place = Place::new();
    let file = place.file("large.tsv", lines(50_000));
    let run = |args: &[&str]| {
        let args = [
            &[file.to_str().unwrap(), "--memory-available", "10000000"],
            args,
        ]
        .concat();
        place.compare(args).output().unwrap()
    };
    let (out, err) = expect(&run(&[]), 3);
    assert_eq!(out, "");
    expect_parts(
        &err,
        &[
            "RwLock<HashMap> would need about",
            "MiB for 50 000 entries",
            "80 % of the 10 MiB",
            "--limit ",
        ],
    );
    let limit = err.trim_end().rsplit(' ').next().unwrap();
    expect_parts(
        &expect(&run(&["--limit", limit]), 0).0,
        &["Too small to judge"],
    );
    place.expect_clean();
}

#[test]
fn a_child_that_goes_wrong_is_a_failure() {
    let place = Place::new();
    let file = place.file("input.tsv", lines(1_000));
    for (fault, reason) in [
        ("crash", "its process ended without a result: signal: 6"),
        (
            "silence",
            "its process ended without a result: exit status: 0",
        ),
        (
            "garbage",
            "its process said \"forty-two\", which is no result",
        ),
        ("refuse", "could not be inserted: no room"),
        (
            "lose",
            "wrong answer: it counts 999 entries after loading, not 1000",
        ),
        ("corrupt", "wrong answer: the value of key \"key "),
        (
            "undead",
            "wrong answer: it counts 101 entries after deleting, not 100",
        ),
    ] {
        let (out, err) = expect(
            &place
                .compare([&file])
                .env("CMAP_CHILD_FAULT", fault)
                .output()
                .unwrap(),
            1,
        );
        assert_eq!(out, "", "{fault}");
        expect_parts(&err, &["cmap: RwLock<HashMap>: ", reason]);
    }
    place.expect_clean();
}

/// The program with a child that never ends by itself, and that child's number.
fn hanging(
    place: &Place,
) -> (
    std::process::Child,
    BufReader<std::process::ChildStderr>,
    Pid,
) {
    let file = place.file("input.tsv", lines(1_000));
    let mut command = place.compare([&file]);
    command
        .env("CMAP_CHILD_FAULT", "hang")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut program = command.spawn().unwrap();
    let mut err = BufReader::new(program.stderr.take().unwrap());
    let mut line = String::new();
    err.read_line(&mut line).unwrap();
    let child = line
        .trim_end()
        .strip_prefix("hanging ")
        .unwrap()
        .parse()
        .unwrap();
    (program, err, Pid::from_raw(child).unwrap())
}

fn exists(process: Pid) -> bool {
    Path::new("/proc")
        .join(process.as_raw_pid().to_string())
        .exists()
}

#[test]
fn signals_end_the_child_and_leave_nothing() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let place = Place::new();
        let (mut program, mut err, child) = hanging(&place);
        assert!(exists(child));
        kill_process(Pid::from_child(&program), signal).unwrap();
        assert_eq!(program.wait().unwrap().code(), Some(status));
        assert!(!exists(child), "the child is ended and waited for");
        place.expect_clean();
        let mut said = String::new();
        err.read_to_string(&mut said).unwrap();
        assert_eq!(said, "\ncmap: interrupted\n");
    }
}

#[test]
fn a_child_that_gets_the_ctrl_c_first_is_no_failure() {
    let place = Place::new();
    let (mut program, _err, child) = hanging(&place);
    kill_process(child, Signal::INT).unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(130));
    place.expect_clean();
}

#[test]
fn ctrl_c_while_reading_ends_it_too() {
    let place = Place::new();
    let mut program = place.compare(["-"]).stdin(Stdio::piped()).spawn().unwrap();
    // More than a pipe holds: when it is written, the program is reading.
    program
        .stdin
        .as_mut()
        .unwrap()
        .write_all(lines(10_000).as_bytes())
        .unwrap();
    kill_process(Pid::from_child(&program), Signal::INT).unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(130));
    place.expect_clean();
}

#[test]
fn even_a_killed_program_leaves_nothing() {
    let place = Place::new();
    let (mut program, mut err, _) = hanging(&place);
    program.kill().unwrap();
    program.wait().unwrap();
    // Ends when the child, the last that holds it, has ended.
    assert_eq!(err.read_to_end(&mut Vec::new()).unwrap(), 0);
    place.expect_clean();
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let place = Place::new();
    let file = place.file("input.tsv", "a\t1\n");
    for args in [
        &[file.to_str().unwrap()][..],
        &[file.to_str().unwrap(), "--json", "-"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = place
            .compare(args)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        expect(&output, 0);
        assert!(output.stderr.is_empty(), "{output:?}");
    }
    // Even if nobody hears its complaint either.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(
        place
            .compare(["/no/such/file"])
            .stderr(writer)
            .status()
            .unwrap()
            .code(),
        Some(3)
    );
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let place = Place::new();
    let file = place.file("input.tsv", "a\t1\n");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = place
        .compare([&file])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    expect_parts(&expect(&output, 1).1, &["standard output", "No space left"]);
}

#[test]
fn a_terminal_shows_a_bar_and_a_table_that_fits() {
    let place = Place::new();
    let file = place.file("input.tsv", lines(20_000));
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    tcsetwinsize(
        &ours,
        Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )
    .unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = File::options()
        .read(true)
        .write(true)
        .open(OsStr::from_bytes(name.as_bytes()))
        .unwrap();
    let mut command = place.compare([file.as_os_str(), "--seed".as_ref(), "7".as_ref()]);
    command
        .stdout(theirs.try_clone().unwrap())
        .stderr(theirs)
        .env("TERM", "xterm");
    let mut program = command.spawn().unwrap();
    // Else this process holds the terminal open, and reading from it never ends.
    drop(command);
    let mut shown = Vec::new();
    // Ends with an error when the other side is closed.
    let _ = File::from(ours).read_to_end(&mut shown);
    assert_eq!(program.wait().unwrap().code(), Some(0));
    let shown = String::from_utf8(shown).unwrap();
    expect_parts(&shown, &["reading ", "##", "seed 7"]);
    let (bar, table) = shown.split_at(shown.rfind("\x1b[2K").unwrap());
    assert!(bar.contains(" %  "), "{bar}");
    let lines = table.trim_start_matches("\x1b[2K").split("\r\n").skip(1);
    let widest = lines.map(|line| line.chars().count()).max().unwrap();
    assert!(
        (70..=80).contains(&widest) && table.contains('─'),
        "{widest}: {table}"
    );
}
