//! `cmap-bench lines`, in a tiny setting, where valgrind is installed.

use std::process::Command;

#[test]
fn reads_alone_take_no_lines_and_writes_do() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: there is no valgrind");
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_cmap-bench"))
        .args([
            "lines",
            "--entries",
            "300",
            "--ops",
            "100",
            "--threads",
            "2",
        ])
        .args(["--stores", "cmap"])
        .output()
        .expect("the program");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let row = |name: &str| {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| {name} ")));
        row.unwrap_or_else(|| panic!("{name}: {text}")).to_owned()
    };
    assert!(row("miss").ends_with("| 0.00 (0.00) |"), "{text}");
    assert!(!row("overwrite").ends_with("| 0.00 (0.00) |"), "{text}");
}
