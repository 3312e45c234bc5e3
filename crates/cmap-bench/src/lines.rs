//! `lines`: counts the cache lines that operations take from other threads' caches.
//!
//! Where few cores are, contention of many cannot be timed. It can be counted: threads take turns under valgrind, whose tool
//! lackey names every address that is loaded or stored, and an operation that touches a line which another thread has written
//! since would have had to fetch it from that thread's core. That is a *transfer*. No cache size, clock or scheduler has a say in
//! how many there are.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::args::LinesArgs;
use crate::job::{Job, Kind};
use crate::machine::Machine;
use crate::report::{Table, digits};
use crate::store::StoreName;
use crate::workload::{COUNTED, MARKS, MARKS_AT, Mark, THREADS_MAX};

const LINE_BYTES: u64 = 64;
/// A line is hot if it is transferred in more than one of so many operations.
const HOT_ONE_IN: u64 = 100;
/// Lines of other text than the trace that are shown if the child fails.
const MESSAGES: usize = 20;

/// Counts, and prints a table.
pub fn run(args: &LinesArgs) -> Result<()> {
    ensure!(
        (2..=THREADS_MAX).contains(&args.threads),
        "it takes 2 to {THREADS_MAX} threads"
    );
    let mut columns = Vec::new();
    for &store in &args.stores {
        let job = Job {
            threads: args.threads,
            seed: args.seed,
            ops: args.ops,
            ..Job::new(Kind::Lines, store, args.entries)
        };
        if let Some(reason) = job.unfit() {
            println!("{} was skipped: {reason}.", store.title());
            continue;
        }
        eprintln!("{job}");
        columns.push((store, count(&job).with_context(|| job.id())?));
    }
    print(args, &columns);
    Ok(())
}

fn print(args: &LinesArgs, columns: &[(StoreName, Vec<PerOp>)]) {
    let mut head = vec!["operation"];
    head.extend(columns.iter().map(|(store, _)| store.title()));
    let mut table = Table::new(head);
    for (number, name) in COUNTED.iter().enumerate() {
        let mut row = vec![(*name).to_owned()];
        row.extend(columns.iter().map(|(_, counts)| {
            let PerOp { hot, chance } = counts[number];
            format!("{} ({})", digits(hot), digits(chance))
        }));
        table.row(row);
    }
    let Machine {
        commit,
        cores,
        allocator,
        ..
    } = Machine::detect();
    println!("{table}");
    println!(
        "Cache lines an operation fetches that another thread wrote since this one last touched them: hot ones, which are"
    );
    println!(
        "transferred in more than 1 % of these operations, and in brackets the others, which threads chance to share."
    );
    println!(
        "{} entries, {} operations a row, {} threads in turns; commit {commit}; built for {cores} cores; allocator: {allocator}; \
         seed {}.",
        args.entries, args.ops, args.threads, args.seed
    );
}

/// Runs a job under valgrind.
fn count(job: &Job) -> Result<Vec<PerOp>> {
    let mut child = Command::new("valgrind")
        // The lock that threads run under goes round: who yields is not the next to have it.
        .args(["-q", "--fair-sched=yes", "--tool=lackey"])
        .args(["--basic-counts=no", "--trace-mem=yes"])
        .arg(std::env::current_exe()?)
        .arg("run-one")
        .arg(serde_json::to_string(job)?)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting valgrind, which must be installed")?;
    let mut trace = BufReader::new(child.stderr.take().context("a pipe")?);
    let mut transfers = Transfers::default();
    let mut messages = VecDeque::new();
    let mut text = Vec::new();
    while trace.read_until(b'\n', &mut text)? > 0 {
        if !transfers.line(&text) {
            messages.truncate(MESSAGES - 1);
            messages.push_front(String::from_utf8_lossy(&text).into_owned());
        }
        text.clear();
    }
    let status = child.wait()?;
    let messages: String = messages.into_iter().rev().collect();
    ensure!(status.success(), "it ended with {status}:\n{messages}");
    let ops: u64 = transfers.rows.iter().map(|row| row.ops).sum();
    ensure!(ops > 0, "no operation in the trace:\n{messages}");
    Ok(transfers.rows.iter().map(Row::per_op).collect())
}

/// Transfers per operation.
#[derive(Clone, Copy, Debug, PartialEq)]
struct PerOp {
    hot: f64,
    chance: f64,
}

/// Operations of one kind.
#[derive(Default)]
struct Row {
    ops: u64,
    /// By line; at most one an operation, for who has fetched it keeps it until another writes.
    transfers: HashMap<u64, u64>,
}

impl Row {
    fn per_op(&self) -> PerOp {
        let is_hot = |&count: &u64| count * HOT_ONE_IN > self.ops;
        let all: u64 = self.transfers.values().sum();
        let hot: u64 = self.transfers.values().filter(|count| is_hot(count)).sum();
        PerOp {
            hot: hot as f64 / self.ops.max(1) as f64,
            chance: (all - hot) as f64 / self.ops.max(1) as f64,
        }
    }
}

/// Who has a line.
#[derive(Default)]
struct Held {
    writer: Option<usize>,
    /// A bit for each thread that has touched it since it was last written.
    by: u64,
}

/// Reads a trace and keeps sums.
#[derive(Default)]
struct Transfers {
    /// Where the marks are; nothing counts before that is known.
    marks: Option<u64>,
    inside: Option<usize>,
    lines: HashMap<u64, Held>,
    row: usize,
    rows: [Row; COUNTED.len()],
}

impl Transfers {
    /// Takes a line of the trace; false if it is other text.
    fn line(&mut self, text: &[u8]) -> bool {
        let text = text.trim_ascii_end();
        match text {
            [b'I', b' ', b' ', ..] => true,
            [b' ', kind @ (b'L' | b'S' | b'M'), b' ', access @ ..] => match address(access) {
                Some((at, bytes)) => {
                    self.access(at, bytes, *kind != b'L');
                    true
                }
                None => false,
            },
            _ => match text.strip_prefix(MARKS_AT.as_bytes()).and_then(hexadecimal) {
                Some(at) => {
                    self.marks = Some(at);
                    true
                }
                None => false,
            },
        }
    }

    fn access(&mut self, at: u64, bytes: u64, writes: bool) {
        let Some(marks) = self.marks else { return };
        match at.checked_sub(marks) {
            Some(byte) if byte < MARKS as u64 => {
                if writes {
                    self.mark(Mark::at(byte as usize));
                }
            }
            _ => {
                let Some(thread) = self.inside else { return };
                for line in at / LINE_BYTES..=(at + bytes.max(1) - 1) / LINE_BYTES {
                    self.touch(line, thread, writes);
                }
            }
        }
    }

    fn mark(&mut self, mark: Mark) {
        match mark {
            Mark::Outside => self.inside = None,
            Mark::Inside(thread) => {
                self.inside = Some(thread);
                self.rows[self.row].ops += 1;
            }
            Mark::Next(row) => self.row = row,
        }
    }

    fn touch(&mut self, line: u64, thread: usize, writes: bool) {
        let bit = 1 << thread;
        let held = self.lines.entry(line).or_default();
        let is_transfer = held.writer.is_some_and(|writer| writer != thread) && held.by & bit == 0;
        match writes {
            true => {
                *held = Held {
                    writer: Some(thread),
                    by: bit,
                }
            }
            false => held.by |= bit,
        }
        if is_transfer {
            *self.rows[self.row].transfers.entry(line).or_default() += 1;
        }
    }
}

/// Address and length of an access: `04025310,8`.
fn address(text: &[u8]) -> Option<(u64, u64)> {
    let comma = text.iter().position(|&byte| byte == b',')?;
    let bytes = std::str::from_utf8(&text[comma + 1..]).ok()?.parse().ok()?;
    Some((hexadecimal(&text[..comma])?, bytes))
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 0x1000;

    fn mark(mark: Mark) -> String {
        format!(" S {:x},1\n", AT + mark.byte() as u64)
    }

    fn op(thread: usize, accesses: &str) -> String {
        mark(Mark::Inside(thread)) + accesses + &mark(Mark::Outside)
    }

    fn counted(trace: &str) -> Vec<PerOp> {
        let mut transfers = Transfers::default();
        for line in trace.lines() {
            assert!(transfers.line(line.as_bytes()), "{line}");
        }
        transfers.rows.iter().map(Row::per_op).collect()
    }

    #[test]
    fn a_transfer_is_the_first_touch_after_anothers_write() {
        let trace = [
            format!(" S 8000,8\n{MARKS_AT}{AT:x}\n"),
            mark(Mark::Next(0)),
            // Nobody wrote it, as far as operations go.
            op(0, "I  04000000,3\n L 8000,8\n"),
            // Written, and read again, by the same.
            op(0, " S 8000,8\n L 8008,8\n M 8010,8\n"),
            " L 8000,8\n S 8000,8\n".into(),
            // Read by another, once as a transfer.
            op(1, " L 8000,8\n L 8038,4\n"),
            op(1, " L 8000,8\n"),
            // Its writer still has it, and writes it: the other loses it.
            op(0, " M 8000,8\n"),
            op(1, " S 8000,8\n"),
            mark(Mark::Next(1)),
            // Across two lines, of which the other thread wrote one.
            op(0, " L 803c,8\n"),
        ]
        .concat();
        let hot = |hot| PerOp { hot, chance: 0.0 };
        assert_eq!(counted(&trace)[..2], [hot(2.0 / 6.0), hot(1.0)]);
    }

    #[test]
    fn a_line_is_hot_above_one_transfer_in_a_hundred_operations() {
        let mut trace = format!("{MARKS_AT}{AT:x}\n{}", mark(Mark::Next(0)));
        for n in 0..1000 {
            trace += &op(
                n % 2,
                &format!(" M 8000,8\n M {:x},8\n", 0x9000 + n / 2 * 64),
            );
        }
        let expected = PerOp {
            hot: 0.999,
            chance: 0.5,
        };
        assert_eq!(counted(&trace)[0], expected);
    }

    #[test]
    fn other_text_is_told_from_the_trace() {
        let mut transfers = Transfers::default();
        for text in ["", "==1== x", " S x,8", " S 10", "thread panicked", "I am"] {
            assert!(!transfers.line(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_byte_has_one_mark() {
        for byte in 0..MARKS {
            assert_eq!(Mark::at(byte).byte(), byte);
        }
    }
}
