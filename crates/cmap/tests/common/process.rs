//! Child processes, for what needs a process of its own, and the memory that a process really has.

use std::{
    env, fs,
    os::unix::process::ExitStatusExt,
    process::{Command, Output},
};

/// Names the test that a child is to run.
const CHILD: &str = "CMAP_TEST_CHILD";

/// Starts the test `name` (its full path in this binary) again as a child, alone. `None`: this is that child.
fn child(name: &str) -> Option<Output> {
    if env::var(CHILD).as_deref() == Ok(name) {
        return None;
    }
    let child = Command::new(env::current_exe().expect("the test binary has a path"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, name)
        .env("RUST_BACKTRACE", "0")
        .output();
    Some(child.expect("the test binary starts again"))
}

/// Runs `body` in a process of its own, which ends by `body`'s call of `exit`, with 0.
#[track_caller]
pub fn alone_until_it_exits(name: &str, body: impl FnOnce()) {
    let Some(child) = child(name) else {
        body();
        panic!("the process goes on");
    };
    let stderr = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "({}): {stderr}", child.status);
}

/// Runs `body` in a process of its own, which the library aborts, saying `words`.
#[track_caller]
pub fn alone_until_it_aborts(name: &str, words: &str, body: impl FnOnce()) {
    let Some(child) = child(name) else {
        body();
        panic!("the process goes on");
    };
    let stderr = String::from_utf8_lossy(&child.stderr);
    let is_aborted = child.status.signal() == Some(libc::SIGABRT);
    assert!(
        is_aborted && stderr.lines().any(|line| line == words),
        "({}): {stderr}",
        child.status
    );
}

/// Runs `body` in a process of its own: the test `name` (its full path in this binary) is started again as a child, alone, and
/// runs `body` there. The parent passes on what the child printed, and fails as it fails.
#[track_caller]
pub fn alone(name: &str, body: impl FnOnce()) {
    let Some(child) = child(name) else {
        return body();
    };
    let stdout = String::from_utf8_lossy(&child.stdout);
    let stderr = String::from_utf8_lossy(&child.stderr);
    // The child's harness leaves its own words before the first line.
    let head = format!("test {name} ... ");
    let lines = stdout
        .lines()
        .map(|line| line.strip_prefix(&head).unwrap_or(line));
    for line in lines.filter(|line| line.starts_with(name)) {
        println!("{line}");
    }
    let tail: Vec<_> = stderr.lines().rev().take(40).collect();
    assert!(
        child.status.success(),
        "in the child ({}):\n{stdout}\n{}",
        child.status,
        tail.into_iter().rev().collect::<Vec<_>>().join("\n"),
    );
    assert!(
        stdout.contains("1 passed"),
        "`{name}` is not the full path of this test:\n{stdout}"
    );
}

/// Bytes of anonymous and shared memory that this process has in RAM, exact to the page.
pub fn resident() -> usize {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup")
        .expect("Linux tells a process its own memory");
    let bytes = |name: &str| -> usize {
        let line = rollup
            .lines()
            .find(|line| line.starts_with(name))
            .expect("a line for each kind of memory");
        let kib = line
            .split_whitespace()
            .nth(1)
            .and_then(|number| number.parse::<usize>().ok());
        kib.expect("a number of KiB") << 10
    };
    bytes("Pss_Anon:") + bytes("Pss_Shmem:")
}
