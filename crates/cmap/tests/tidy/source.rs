//! A source file in the shapes that the rules ask for: its lines, its code without comments and strings, and the paths in it.

/// One file.
pub struct Source {
    /// Its path below the folder that is checked.
    pub name: String,
    /// Its lines as they are.
    pub lines: Vec<String>,
    /// Its lines with comments and the contents of strings blanked out.
    pub code: Vec<String>,
    /// The line at which its unit tests begin, or the number of its lines.
    pub tests_from: usize,
}

/// A path such as `std::sync::Arc`, and the line (from 0) on which its last part stands.
pub struct Named {
    pub line: usize,
    pub path: String,
}

impl Source {
    pub fn new(name: &str, text: &str) -> Self {
        let blanked = blank(text);
        let lines: Vec<String> = text.lines().map(Into::into).collect();
        let code: Vec<String> = blanked.lines().map(Into::into).collect();
        let tests_from = (0..code.len())
            .find(|&at| opens_tests(&code[at..]))
            .unwrap_or(code.len());
        Self {
            name: name.into(),
            lines,
            code,
            tests_from,
        }
    }

    /// The lines on which `word` stands in the code.
    pub fn lines_with(&self, word: &str) -> Vec<usize> {
        let mut found: Vec<_> = self
            .tokens()
            .filter(|token| token.text == word)
            .map(|token| token.line)
            .collect();
        found.dedup();
        found
    }

    /// The tokens of the code: identifiers, `::`, and single characters.
    pub fn tokens(&self) -> impl Iterator<Item = Token<'_>> {
        self.code.iter().enumerate().flat_map(|(line, text)| {
            tokens(text)
                .into_iter()
                .map(move |text| Token { line, text })
        })
    }

    /// Every path in the code, those of `use` trees spelled out in full.
    pub fn paths(&self) -> Vec<Named> {
        let tokens: Vec<_> = self.tokens().collect();
        let mut paths = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let begins = is_word(tokens[at].text)
                && tokens.get(at + 1).is_some_and(|next| next.text == "::");
            let in_use = at > 0 && tokens[at - 1].text == "use";
            if begins || in_use {
                tree(&tokens, &mut at, String::new(), &mut paths)
            } else {
                at += 1
            }
        }
        paths
    }
}

/// Whether `code` begins with the attribute of a module of unit tests that stands in this file.
fn opens_tests(code: &[String]) -> bool {
    let gate = code[0].starts_with("#[cfg(") && tokens(&code[0]).contains(&"test");
    let item = code.iter().find(|line| !line.starts_with("#["));
    gate && item.is_some_and(|line| line.starts_with("mod ") && line.contains('{'))
}

pub struct Token<'a> {
    pub line: usize,
    pub text: &'a str,
}

/// Reads one tree (`a::b`, `a::{b, c::d}`, `a as b`, `a::*`) from `at` on, and notes each of its paths.
fn tree(tokens: &[Token], at: &mut usize, prefix: String, paths: &mut Vec<Named>) {
    let mut path = prefix;
    let mut line = tokens[*at].line;
    while let Some(token) = tokens.get(*at) {
        if token.text == "{" && path.ends_with("::") {
            *at += 1;
            while tokens.get(*at).is_some_and(|token| token.text != "}") {
                if tokens[*at].text == "," {
                    *at += 1
                } else {
                    tree(tokens, at, path.clone(), paths)
                }
            }
            *at += 1;
            return;
        }
        let goes_on = if path.is_empty() || path.ends_with("::") {
            is_word(token.text) || token.text == "*"
        } else {
            false
        };
        if !goes_on && token.text != "::" {
            break;
        }
        path.push_str(token.text);
        line = token.line;
        *at += 1;
    }
    if tokens.get(*at).is_some_and(|token| token.text == "as") {
        *at += 2;
    }
    if path.is_empty() || path.ends_with("::") {
        // A generic argument or another sign that no path goes on with.
        *at += 1;
    }
    paths.push(Named { line, path });
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn tokens(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = if is_word(rest) {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        found.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    found
}

/// The text with comments, strings and characters blanked out; line ends stay.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hidden = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            'r' if raw_hashes(rest).is_some()
                && !out.ends_with(|c: char| c.is_alphanumeric() || c == '_') =>
            {
                raw_string(rest)
            }
            '\'' => character(rest),
            _ => 0,
        };
        if hidden == 0 {
            out.push(first);
        }
        out.extend(
            rest[..hidden]
                .chars()
                .map(|c| if c == '\n' { c } else { ' ' }),
        );
        rest = &rest[if hidden == 0 {
            first.len_utf8()
        } else {
            hidden
        }..];
    }
    out
}

/// The length of the block comment at the start, nested ones included.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match &text.as_bytes()[at..text.len().min(at + 2)] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the string at the start, quotes included.
fn string(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The number of `#` of the raw string at the start, if it is one.
fn raw_hashes(text: &str) -> Option<usize> {
    let hashes = text[1..].bytes().take_while(|&byte| byte == b'#').count();
    text[1 + hashes..].starts_with('"').then_some(hashes)
}

fn raw_string(text: &str) -> usize {
    let hashes = raw_hashes(text).unwrap_or(0);
    let open = 2 + hashes;
    let close = format!("\"{}", "#".repeat(hashes));
    text[open..]
        .find(&close)
        .map_or(text.len(), |at| open + at + close.len())
}

/// The length of the character at the start, or 0 where the quote begins a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let from = at + escaped.len_utf8();
            text[from..].find('\'').map_or(0, |end| from + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}
