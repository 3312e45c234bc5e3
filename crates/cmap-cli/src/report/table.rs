//! The table: one row a figure, one column a store, and how CMap stands to each of the others.

use std::{
    fmt::Write,
    io::{self, IsTerminal},
};

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use rustix::termios::tcgetwinsize;

use crate::{
    input::Source,
    output::{count, significant, size},
    store::Kind,
};

use super::{Comparison, Origin};

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
    let mut text = title(&comparison.origin);
    let entries = count(totals.entries, "entry", "entries");
    let payload = size(totals.payload_bytes);
    let each = significant(totals.payload_bytes as f64 / totals.entries as f64);
    let _ = writeln!(text, "\n{entries}, {payload} of payload, {each} bytes each");
    if let Origin::Input { source, skipped } = &comparison.origin {
        let duplicates = count(comparison.duplicates, "duplicate", "duplicates");
        let skipped = match source {
            Source::Dir { .. } => count(*skipped, "unreadable path", "unreadable paths"),
            Source::File(_) | Source::Stdin => count(*skipped, "bad line", "bad lines"),
        };
        let _ = writeln!(
            text,
            "{duplicates} (the last value of a key counts), {skipped} skipped"
        );
    }
    text
}

/// What the entries are, in a line.
pub fn title(origin: &Origin) -> String {
    match origin {
        Origin::Input { source, .. } => match source {
            Source::Dir {
                is_default: true, ..
            } => format!("{} (your home directory)", source.title()),
            _ => source.title(),
        },
        Origin::Synthetic { synthetic, .. } => format!(
            "synthetic entries, keys of {}, values of {}, seed {}",
            count(synthetic.key_bytes as u64, "byte", "bytes"),
            count(synthetic.value_bytes as u64, "byte", "bytes"),
            synthetic.seed,
        ),
    }
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
    for metric in comparison.metrics() {
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
    let mixed = match comparison.origin {
        Origin::Input { .. } => String::new(),
        Origin::Synthetic { mix, .. } => format!(
            "Mixed: of as many operations as entries, {mix} % lookups as before, {} % inserts\n\
             that replace a value by another of its size.\n",
            100 - mix
        ),
    };
    format!(
        "All three: the same foldhash (quality, seed {seed}), the system's allocator,\n\
         {threads}, nothing reserved in advance, each in a process of its own.\n\
         Memory: RssAnon + RssShmem above the value just before the map was made, read\n\
         when the threads that loaded (or deleted) had ended. Rates exclude parsing;\n\
         loading includes timing every insert, which costs {clock} ns. Lookups go in a\n\
         scattered order and compare every byte. Deleted keys were checked to be absent\n\
         and kept ones to be right. The time to drop is that of the tenth left.\n\
         {mixed}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{example, mixed_example};

    #[test]
    fn it_fits_into_eighty_columns() {
        for comparison in [example(), mixed_example()] {
            let text = render(&comparison, Look::Terminal { columns: 80 });
            let plain = render(&comparison, Look::Plain);
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
    }

    #[test]
    fn the_mixed_phase_has_a_row_where_there_was_one() {
        assert!(
            !render(&example(), Look::Plain)
                .to_lowercase()
                .contains("mixed")
        );
        let text = render(&mixed_example(), Look::Plain);
        for part in [
            "synthetic entries, keys of 16 bytes, values of 64 bytes, seed 7\n1 234 567 entries",
            "\n mixed, million/s ",
            "1.5x slower",
            "95 % lookups as before, 5 % inserts",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(
            !text.contains("duplicates") && !text.contains("skipped"),
            "{text}"
        );
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
