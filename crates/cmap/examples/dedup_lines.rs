//! Prints the lines of a file that have not come before, in their order, as `awk '!seen[$0]++'` does.
//!
//! ```text
//! cargo run --release -p cmap-bytes --example dedup_lines -- FILE      # `-` reads standard input
//! cargo run -p cmap-bytes --example dedup_lines                        # checks itself on its own source
//! ```

use cmap::{CMap, Changed, Error};
use std::{
    collections::HashSet,
    env,
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    process::ExitCode,
};

/// The lines that have come so far. Threads may share it: of those that bring the same line, one is told that it is new.
struct Lines {
    /// A line is a key, without a value.
    short: CMap,
    /// What is too long for a key is a value, under its hash and a number that tells lines of equal hash apart.
    long: CMap,
}

impl Lines {
    fn new() -> Self {
        Self {
            short: CMap::new(),
            long: CMap::new(),
        }
    }

    /// Whether `line` has not come before.
    ///
    /// # Errors
    /// Those of a map's writes; the line then counts as not seen.
    fn is_new(&self, line: &[u8]) -> Result<bool, Error> {
        match self.short.insert_if_absent(line, b"") {
            Err(Error::KeyTooLong { .. }) => self.is_new_and_long(line),
            done => Ok(done? == Changed::Inserted),
        }
    }

    fn is_new_and_long(&self, line: &[u8]) -> Result<bool, Error> {
        let hash = self.long.hash_key(line);
        for number in 0_u64.. {
            let key = [hash, number].map(u64::to_le_bytes).concat();
            if self.long.insert_if_absent(&key, line)? == Changed::Inserted {
                return Ok(true);
            }
            if self.long.get_with(&key, |other| other == line) == Some(true) {
                break;
            }
        }
        Ok(false)
    }

    fn len(&self) -> usize {
        self.short.len() + self.long.len()
    }

    fn bytes(&self) -> usize {
        self.short.memory().total() + self.long.memory().total()
    }
}

/// Copies the lines of `input` that are new to `output`, and returns how many lines there were. A last line without an end is
/// one, too.
fn copy_new(lines: &Lines, mut input: impl BufRead, mut output: impl Write) -> io::Result<usize> {
    let mut line = Vec::new();
    let mut count = 0;
    while input.read_until(b'\n', &mut line)? > 0 {
        count += 1;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if lines.is_new(text).map_err(io::Error::other)? {
            output.write_all(text)?;
            output.write_all(b"\n")?;
        }
        line.clear();
    }
    output.flush()?;
    Ok(count)
}

fn check() -> io::Result<()> {
    let text = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/dedup_lines.rs"
    ))?;
    let long = ["x".repeat(70_000), "y".repeat(70_000)];
    let input = [&text, &long[0], "\n", &text, &long[1], "\n", &long[0]].concat();
    let (lines, mut output) = (Lines::new(), Vec::new());
    let count = copy_new(&lines, input.as_bytes(), &mut output)?;

    let mut seen = HashSet::new();
    let mut expected = String::new();
    for line in input.lines().filter(|line| seen.insert(*line)) {
        expected.push_str(line);
        expected.push('\n');
    }
    assert!(output == expected.as_bytes(), "not the new lines");
    assert_eq!((count, lines.len()), (input.lines().count(), seen.len()));
    println!(
        "{count} lines, {} different, in {} bytes",
        lines.len(),
        lines.bytes()
    );
    Ok(())
}

fn run() -> io::Result<()> {
    let Some(path) = env::args_os().nth(1) else {
        return check();
    };
    let (lines, output) = (Lines::new(), BufWriter::new(io::stdout().lock()));
    let count = if path == "-" {
        copy_new(&lines, io::stdin().lock(), output)?
    } else {
        copy_new(&lines, BufReader::new(File::open(path)?), output)?
    };
    eprintln!(
        "{count} lines, {} different, in {} bytes",
        lines.len(),
        lines.bytes()
    );
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        // Who reads our output has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dedup_lines: {error}");
            ExitCode::FAILURE
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}
