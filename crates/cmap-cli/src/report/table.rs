//! The table: one row a figure, one column a store, and how CMap stands to each of the others.

use std::{
    fmt::Write,
    io::{self, IsTerminal},
};

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use rustix::termios::tcgetwinsize;

use crate::{
    output::{count, significant, size},
    store::Kind,
};

use super::{Comparison, figures::METRICS};

/// How it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// With lines, no wider than the terminal.
    Terminal {
        /// Its width.
        columns: u16,
    },
    /// In plain characters, as wide as it needs to be.
    Plain,
}

impl Look {
    /// As standard output can show it.
    pub fn of_stdout() -> Self {
        let out = io::stdout();
        match tcgetwinsize(&out) {
            Ok(size) if out.is_terminal() && size.ws_col > 0 => Look::Terminal {
                columns: size.ws_col,
            },
            Ok(_) if out.is_terminal() => Look::Terminal { columns: 80 },
            _ => Look::Plain,
        }
    }
}

/// The table, with what was compared above it and how it was measured below.
pub fn render(comparison: &Comparison, look: Look) -> String {
    [
        heading(comparison),
        table(comparison, look),
        notes(comparison),
    ]
    .concat()
}

fn heading(comparison: &Comparison) -> String {
    let totals = comparison.totals;
    let mut text = comparison.source.clone();
    if comparison.source == "-" {
        text = "standard input".into();
    }
    if comparison.source_is_default {
        text += " (your home directory)";
    }
    let entries = count(totals.entries, "entry", "entries");
    let payload = size(totals.payload_bytes);
    let each = significant(totals.payload_bytes as f64 / totals.entries as f64);
    let duplicates = count(comparison.duplicates, "duplicate", "duplicates");
    let skipped = count(comparison.skipped, "unreadable path", "unreadable paths");
    let _ = write!(
        text,
        "\n{entries}, {payload} of payload, {each} bytes each\n\
         {duplicates} (the last value of a key counts), {skipped} skipped\n"
    );
    text
}

fn table(comparison: &Comparison, look: Look) -> String {
    let (ours, rivals) = comparison.sides();
    let mut table = Table::new();
    match look {
        Look::Terminal { columns } => {
            table.load_style(ruled('─'));
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(columns);
        }
        Look::Plain => {
            table.load_style(ruled('-'));
        }
    }
    let names = comparison.stores.iter().map(|figures| match figures.kind {
        Kind::RwLock => "RwLock\n<HashMap>".to_string(),
        kind => kind.name().to_string(),
    });
    let against = rivals.iter().map(|rival| match rival.kind {
        Kind::RwLock => "CMap vs\nHashMap".to_string(),
        kind => format!("CMap vs\n{kind}"),
    });
    table.set_header([String::new()].into_iter().chain(names).chain(against));
    for metric in METRICS {
        let value = |figures| (metric.of)(figures).map_or("-".into(), significant);
        let values = comparison.stores.iter().map(value);
        let standings = rivals
            .iter()
            .map(|rival| metric.words(metric.standing(ours, rival)));
        table.add_row(
            [metric.row.to_string()]
                .into_iter()
                .chain(values)
                .chain(standings),
        );
    }
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((1, 0));
        if place > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
        .lines()
        .map(|line| line.trim_end().to_string() + "\n")
        .collect()
}

/// Three lines across, none downwards: so it fits into 80 columns.
fn ruled(fill: char) -> TableStyle {
    let line = LineStyle::none().fill(fill).junction(fill);
    TableStyle::new()
        .top_border(line)
        .header_separator(line)
        .bottom_border(line)
}

fn notes(comparison: &Comparison) -> String {
    let threads = count(comparison.threads as u64, "thread", "threads");
    let (seed, clock) = (comparison.seed, comparison.clock_ns);
    format!(
        "All three: the same foldhash (quality, seed {seed}), the system's allocator,\n\
         {threads}, nothing reserved in advance, each in a process of its own.\n\
         Memory: RssAnon + RssShmem above the value just before the map was made, read\n\
         when the threads that loaded (or deleted) had ended. Rates exclude parsing;\n\
         loading includes timing every insert, which costs {clock} ns. Lookups go in a\n\
         scattered order and compare every byte. Deleted keys were checked to be absent\n\
         and kept ones to be right. The time to drop is that of the tenth left.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn it_fits_into_eighty_columns() {
        let text = render(&example(), Look::Terminal { columns: 80 });
        let plain = render(&example(), Look::Plain);
        assert_eq!(
            text.lines().count(),
            plain.lines().count(),
            "nothing is wrapped: {text}"
        );
        for line in text.lines().skip(1).chain(plain.lines().skip(1)) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert!(plain.is_ascii(), "{plain}");
    }

    #[test]
    fn it_says_what_was_measured_with_what() {
        let text = render(&example(), Look::Plain);
        for part in [
            "/home/someone (your home directory)\n1 234 567 entries",
            "3 duplicates",
            "2 unreadable paths skipped",
            "foldhash",
            "system's allocator",
            "2 threads",
            "45 ns",
            "16x less",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }
}
