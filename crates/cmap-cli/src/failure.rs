//! Why the program ends without having done what was asked, and the exit status that says so.

use std::io;

use crate::{
    output::{count, grouped},
    store::Kind,
};

/// Every way to fail. The text names what a person needs to act; the status is what a script needs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The arguments are well formed, but cannot be meant.
    #[error("{0}")]
    Arguments(String),

    /// The input cannot be read.
    #[error("{source_name}: {error}")]
    Unreadable {
        /// The file or directory.
        source_name: String,
        /// What the system says.
        error: io::Error,
    },

    /// A line that is no entry.
    #[error("{source_name}, line {line}: {reason}")]
    BadLine {
        /// The file.
        source_name: String,
        /// Counted from 1, a header included.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },

    /// Nothing to compare.
    #[error("{source_name}: no entries{}", if *skipped > 0 { format!(", {} skipped", count(*skipped, "bad line", "bad lines")) } else { String::new() })]
    NoEntries {
        /// The file or directory.
        source_name: String,
        /// Lines that are none.
        skipped: u64,
    },

    /// A store would not fit into memory.
    #[error(
        "{kind} would need about {} for {} entries, more than {}, 80 % of the {} of memory available{}",
        mebibytes(*needed), grouped(*entries), mebibytes(available / 5 * 4), mebibytes(*available), text_of(*hint)
    )]
    TooLarge {
        /// The store.
        kind: Kind,
        /// Its estimated bytes.
        needed: u64,
        /// Bytes available.
        available: u64,
        /// Entries in the input.
        entries: u64,
        /// The option that makes entries fewer, and as many as would fit, if any.
        hint: Option<(&'static str, u64)>,
    },

    /// The temporary file could not be written or read.
    #[error("the temporary file in {}: {error} (TMPDIR chooses another place)", std::env::temp_dir().display())]
    Temporary {
        /// What the system says.
        error: io::Error,
    },

    /// A store answered wrongly, or its process failed.
    #[error("{kind}: {reason}")]
    Child {
        /// The store.
        kind: Kind,
        /// What it said, or how it ended.
        reason: String,
    },

    /// The result could not be written.
    #[error("{target}: {error}")]
    Output {
        /// The file, or standard output.
        target: String,
        /// What the system says.
        error: io::Error,
    },

    /// The system refused something that it never refuses.
    #[error("{what}: {error}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// What it says.
        error: io::Error,
    },

    /// A signal asked for the end.
    #[error("interrupted")]
    Interrupted {
        /// The signal.
        signal: i32,
    },
}

impl Failure {
    /// For `map_err`.
    pub fn temporary(error: io::Error) -> Self {
        Failure::Temporary { error }
    }

    /// The exit status, as the help text lists them.
    pub fn status(&self) -> u8 {
        match self {
            Failure::Arguments(_) => 2,
            Failure::Unreadable { .. }
            | Failure::BadLine { .. }
            | Failure::NoEntries { .. }
            | Failure::TooLarge { .. } => 3,
            Failure::Temporary { .. }
            | Failure::Child { .. }
            | Failure::Output { .. }
            | Failure::System { .. } => 1,
            Failure::Interrupted { signal } => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", grouped(bytes.div_ceil(1 << 20)))
}

fn text_of(hint: Option<(&str, u64)>) -> String {
    match hint {
        Some((option, most)) => format!("; try {option} {most}"),
        None => "; not even one entry would fit".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_large_says_the_numbers_and_the_way_out() {
        let failure = Failure::TooLarge {
            kind: Kind::DashMap,
            needed: 9 << 30,
            available: 10 << 30,
            entries: 123_456,
            hint: Some(("--limit", 100_000)),
        };
        assert_eq!(failure.status(), 3);
        assert_eq!(
            failure.to_string(),
            "DashMap would need about 9 216 MiB for 123 456 entries, more than 8 192 MiB, \
             80 % of the 10 240 MiB of memory available; try --limit 100000"
        );
    }

    #[test]
    fn a_signal_gives_the_status_that_shells_expect() {
        assert_eq!(Failure::Interrupted { signal: 2 }.status(), 130);
        assert_eq!(Failure::Interrupted { signal: 15 }.status(), 143);
    }
}
