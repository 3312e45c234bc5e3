//! The verdict: in words, where CMap gains and where it does not; or that the input is too small to tell.

use crate::output::{count, grouped, size};

use super::{Comparison, Figures, figures::Standing};

/// With fewer entries the figures are mostly noise.
const ENTRIES_MIN: u64 = 10_000;
/// The same for the payload.
const PAYLOAD_BYTES_MIN: u64 = 4 << 20;
/// Columns to stay within, and those before an item.
const WIDTH: usize = 76;
const INDENT: usize = 10;

/// A few lines.
pub fn render(comparison: &Comparison) -> String {
    let totals = comparison.totals;
    if is_too_small(comparison) {
        return format!(
            "Too small to judge: {} with {} of payload.
The figures mean something from {} entries and {} MiB on.
",
            count(totals.entries, "entry", "entries"),
            size(totals.payload_bytes),
            grouped(ENTRIES_MIN),
            PAYLOAD_BYTES_MIN >> 20,
        );
    }
    let (ours, rivals) = comparison.sides();
    rivals
        .iter()
        .map(|rival| against(comparison, ours, rival))
        .collect()
}

/// Whether there is too little to judge by.
pub fn is_too_small(comparison: &Comparison) -> bool {
    let totals = comparison.totals;
    totals.entries < ENTRIES_MIN || totals.payload_bytes < PAYLOAD_BYTES_MIN
}

fn against(comparison: &Comparison, ours: &Figures, rival: &Figures) -> String {
    let (mut gains, mut others) = (Vec::new(), Vec::new());
    for metric in comparison.metrics().filter(|metric| metric.is_judged) {
        let standing = metric.standing(ours, rival);
        let list = if matches!(standing, Standing::Better(_)) {
            &mut gains
        } else {
            &mut others
        };
        list.push(match standing {
            Standing::Unknown => format!("{} not measurable", metric.noun),
            _ => format!("{} {}", metric.noun, metric.words(standing)),
        });
    }
    let mut text = format!("CMap against {}\n", rival.kind);
    text += &listed("gains:", &gains);
    text += &listed("no gain:", &others);
    text
}

/// What there is of a kind, broken between items; nothing to be listed is said too.
fn listed(label: &str, items: &[String]) -> String {
    let mut text = format!("  {label:<INDENT$}");
    let mut column = INDENT;
    for (place, item) in items.iter().enumerate() {
        let item = if place + 1 < items.len() {
            format!("{item},")
        } else {
            item.clone()
        };
        if place > 0 && column + 1 + item.len() > WIDTH {
            text += &format!("\n  {:INDENT$}", "");
            column = INDENT;
        } else if place > 0 {
            text.push(' ');
            column += 1;
        }
        column += item.len();
        text += &item;
    }
    if items.is_empty() {
        text += "none";
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{example, mixed_example};

    #[test]
    fn gains_and_no_gains_are_told_apart() {
        let text = render(&example());
        let expected = "\
CMap against RwLock<HashMap>
  gains:    memory 2.0x less, memory after deleting 90 % 16x less,
            lookups 2.0x faster, drop 30x shorter
  no gain:  loading same, worst insert 2.0x longer
CMap against DashMap
";
        assert!(text.starts_with(expected), "{text}");
        assert!(render(&mixed_example()).contains("loading same, mixed phase 1.5x slower"));
    }

    #[test]
    fn too_small_is_said_under_either_limit() {
        for (entries, payload_bytes, is_small) in [
            (ENTRIES_MIN, PAYLOAD_BYTES_MIN, false),
            (ENTRIES_MIN - 1, PAYLOAD_BYTES_MIN, true),
            (ENTRIES_MIN, PAYLOAD_BYTES_MIN - 1, true),
        ] {
            let mut comparison = example();
            comparison.totals.entries = entries;
            comparison.totals.payload_bytes = payload_bytes;
            let text = render(&comparison);
            assert_eq!(text.contains("Too small to judge"), is_small, "{text}");
            assert_eq!(text.contains("gain"), !is_small, "{text}");
        }
    }

    #[test]
    fn where_nothing_is_gained_it_says_so() {
        let mut comparison = example();
        comparison.stores[2] = Figures {
            kind: crate::store::Kind::CMap,
            ..comparison.stores[0].clone()
        };
        let text = render(&comparison);
        assert!(
            text.contains("  gains:    none\n  no gain:  memory same,"),
            "{text}"
        );
    }
}
