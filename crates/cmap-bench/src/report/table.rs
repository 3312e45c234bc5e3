//! A table in Markdown, padded so that it can be read as it is.

use std::fmt;

/// Rows of cells under a head.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names.
    pub fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Self {
        Self {
            rows: vec![head.into_iter().map(Into::into).collect()],
        }
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        cells.resize(self.rows[0].len(), String::new());
        self.rows.push(cells);
    }

    /// Whether there is nothing under the head.
    pub const fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            for (column, cell) in row.iter().enumerate() {
                match column {
                    0 => write!(f, "| {cell:<0$} ", widths[column])?,
                    _ => write!(f, "| {cell:>0$} ", widths[column])?,
                }
            }
            writeln!(f, "|")?;
            if number == 0 {
                for (column, width) in widths.iter().enumerate() {
                    match column {
                        0 => write!(f, "|:{:-<1$}", "", width + 1)?,
                        _ => write!(f, "|{:-<1$}:", "", width + 1)?,
                    }
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// A figure with as many digits as mean something.
pub fn digits(figure: f64) -> String {
    match figure.abs() {
        _ if !figure.is_finite() => "–".into(),
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// The same, or a dash.
pub fn cell(figure: Option<f64>) -> String {
    figure.map_or_else(|| "–".into(), digits)
}

/// A number of entries, short.
pub fn count(entries: u64) -> String {
    match entries {
        n if n >= 1_000_000 && n % 100_000 == 0 => format!("{} M", n as f64 / 1e6),
        n if n >= 1_000_000 => format!("{:.2} M", n as f64 / 1e6),
        n if n >= 10_000 && n % 1000 == 0 => format!("{} k", n / 1000),
        n => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_padded() {
        let mut table = Table::new(["a", "figure"]);
        table.row(["hit", "12"]);
        assert_eq!(
            table.to_string(),
            "| a   | figure |\n|:----|-------:|\n| hit |     12 |\n"
        );
        assert_eq!(count(5_000_000), "5 M");
        assert_eq!(count(1_440_000), "1.44 M");
        assert_eq!(digits(0.123), "0.12");
    }
}
