//! The rules: each takes a file and gives its findings.

use super::source::Source;
use std::fmt;

/// How far above an ordering its comment may stand: a call that is broken over lines is that long.
const COMMENT_LINES: usize = 8;

/// The floor table: each room may use those on lower floors only.
pub const ROOMS: &[(&str, u32)] = &[
    ("base", 0),
    ("memory", 1),
    ("index", 2),
    ("log", 2),
    ("store", 3),
    ("map", 4),
    ("typed", 5),
];

const MOST_LINES: usize = 700;

/// What breaks a rule, and where (lines from 0).
pub struct Finding {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line + 1, self.what)
    }
}

fn finding(source: &Source, line: usize, what: impl Into<String>) -> Finding {
    Finding {
        file: source.name.clone(),
        line,
        what: what.into(),
    }
}

fn floor(room: &str) -> Option<u32> {
    ROOMS
        .iter()
        .find(|(name, _)| *name == room)
        .map(|(_, floor)| *floor)
}

/// A room uses only the floors below it.
pub fn floors(source: &Source) -> Vec<Finding> {
    let (own, in_folder) = match source.name.split_once('/') {
        Some((folder, _)) => (folder, true),
        None => (source.name.trim_end_matches(".rs"), false),
    };
    let Some(own_floor) = floor(own) else {
        // `lib.rs` and its like stand above all floors.
        let strange =
            in_folder.then(|| finding(source, 0, format!("`{own}` is not on the floor table")));
        return strange.into_iter().collect();
    };
    let mut findings = Vec::new();
    for named in source.paths() {
        let from_root = named
            .path
            .strip_prefix("crate::")
            .or_else(|| named.path.strip_prefix("super::super::"));
        let Some(room) = from_root.map(|path| {
            path.trim_start_matches("super::")
                .split("::")
                .next()
                .unwrap_or_default()
        }) else {
            continue;
        };
        if room != own && floor(room).is_some_and(|floor| floor >= own_floor) {
            let line = named.line;
            let what = format!("`{own}` must not know `{room}`");
            if !findings
                .iter()
                .any(|found: &Finding| (found.line, &found.what) == (line, &what))
            {
                findings.push(finding(source, line, what));
            }
        }
    }
    findings
}

/// `unsafe` stands in the files of `allowed` only.
pub fn unsafe_files(source: &Source, allowed: &[&str]) -> Vec<Finding> {
    if allowed.contains(&source.name.as_str()) {
        return Vec::new();
    }
    let lines = source.lines_with("unsafe").into_iter();
    lines
        .map(|line| finding(source, line, "`unsafe` outside the files that may have it"))
        .collect()
}

/// Every `unsafe` block or `impl` has a `// SAFETY:` in the comment above its statement.
pub fn safety_comments(source: &Source) -> Vec<Finding> {
    let tokens: Vec<_> = source.tokens().collect();
    let pairs = tokens.iter().zip(tokens.iter().skip(1));
    let blocks =
        pairs.filter(|(token, next)| token.text == "unsafe" && ["{", "impl"].contains(&next.text));
    let lines = blocks.map(|(token, _)| token.line);
    lines
        .filter(|&line| !said_above(source, line, "SAFETY:"))
        .map(|line| {
            finding(
                source,
                line,
                "an `unsafe` block without `// SAFETY:` above it",
            )
        })
        .collect()
}

/// Whether the line, or the comment above its statement (which begins at most 4 lines up), says `word`.
fn said_above(source: &Source, line: usize, word: &str) -> bool {
    if source.lines[line].contains("//") && source.lines[line].contains(word) {
        return true;
    }
    let mut up = line;
    let is_comment = |at: usize| source.lines[at].trim_start().starts_with("//");
    while up > 0 && line - up < 4 && !is_comment(up - 1) {
        // A line that ends a statement or opens a block belongs to something else.
        let code = source.code[up - 1].trim_end();
        if code.is_empty() || code.ends_with([';', '{', '}']) {
            return false;
        }
        up -= 1;
    }
    while up > 0 && is_comment(up - 1) {
        up -= 1;
        if source.lines[up].contains(word) {
            return true;
        }
    }
    false
}

/// None of `paths` is named outside `home`, unit tests excepted.
pub fn only_in(source: &Source, paths: &[&str], home: &str) -> Vec<Finding> {
    if source.name == home {
        return Vec::new();
    }
    let named = source
        .paths()
        .into_iter()
        .filter(|named| named.line < source.tests_from);
    named
        .filter_map(|named| {
            let path = paths.iter().find(|&&path| {
                named
                    .path
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            })?;
            Some(finding(
                source,
                named.line,
                format!("`{path}` belongs in {home} alone"),
            ))
        })
        .collect()
}

/// Every ordering above `Relaxed` has a comment, on its line or shortly above, that names the operation it pairs with.
/// (That there is a comment is all that a test can see.) Unit tests excepted.
pub fn ordering_comments(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for word in ["Acquire", "Release", "AcqRel", "SeqCst"] {
        for line in source.lines_with(word) {
            let imported = source.code[line]
                .trim_start()
                .trim_start_matches("pub ")
                .starts_with("use ");
            let mut near = source.lines[line.saturating_sub(COMMENT_LINES)..=line].iter();
            let explained = near.any(|text| {
                let comment = text.find("//").map(|at| &text[at..]);
                comment.is_some_and(|comment| {
                    !comment.starts_with("///") && !comment.starts_with("//!")
                })
            });
            if line < source.tests_from && !imported && !explained {
                findings.push(finding(
                    source,
                    line,
                    format!("`{word}` without a comment that names its partner"),
                ));
            }
        }
    }
    findings
}

/// A file opens with `//!`.
pub fn heading(source: &Source) -> Vec<Finding> {
    let opens = source
        .lines
        .first()
        .is_some_and(|line| line.starts_with("//!"));
    let missing = (!opens).then(|| finding(source, 0, "a file opens with `//!`: what it is for"));
    missing.into_iter().collect()
}

/// A file ends after at most 700 lines.
pub fn length(source: &Source) -> Vec<Finding> {
    let lines = source.lines.len();
    let long = (lines > MOST_LINES)
        .then(|| finding(source, lines - 1, format!("longer than {MOST_LINES} lines")));
    long.into_iter().collect()
}
