//! The figures of one store, each with what it is called and which way is better.

use crate::{child::Measured, packed::Totals, store::Kind};

const MIXED_ROW: &str = "mixed, million/s";
const MEBIBYTE: f64 = (1 << 20) as f64;
/// Two amounts of memory closer than this are called the same.
const SAME_MEMORY: f64 = 1.05;
/// The same for rates and times, which differ more from run to run.
const SAME_SPEED: f64 = 1.10;

/// What one store did.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Which one.
    pub kind: Kind,
    /// Memory with all entries in.
    pub loaded_mib: f64,
    /// The same for each entry.
    pub bytes_per_entry: f64,
    /// Of which not key or value.
    pub overhead_per_entry: f64,
    /// Entries put in, all threads together.
    pub load_per_s: f64,
    /// Entries looked up and compared, all threads together.
    pub lookup_per_s: f64,
    /// Operations of the mixed phase, all threads together, if there was one.
    pub mixed_per_s: Option<f64>,
    /// The longest insert.
    pub worst_insert_us: f64,
    /// Memory after deleting nine in ten.
    pub left_mib: f64,
    /// The same as a share of what it was; none if nothing could be measured.
    pub after_delete_ratio: Option<f64>,
    /// Giving the store back.
    pub drop_ms: f64,
}

impl Figures {
    /// Works them out.
    pub fn new(kind: Kind, totals: Totals, measured: &Measured) -> Self {
        let entries = totals.entries as f64;
        let per_second = |nanoseconds: u64| entries * 1e9 / nanoseconds.max(1) as f64;
        let (loaded, left) = (measured.loaded_bytes as f64, measured.left_bytes as f64);
        Self {
            kind,
            loaded_mib: loaded / MEBIBYTE,
            bytes_per_entry: loaded / entries,
            overhead_per_entry: (loaded - totals.payload_bytes as f64) / entries,
            load_per_s: per_second(measured.load_ns),
            lookup_per_s: per_second(measured.lookup_ns),
            mixed_per_s: measured.mixed_ns.map(per_second),
            worst_insert_us: measured.worst_insert_ns as f64 / 1e3,
            left_mib: left / MEBIBYTE,
            after_delete_ratio: (loaded > 0.0).then(|| left / loaded),
            drop_ms: measured.drop_ns as f64 / 1e6,
        }
    }
}

/// A figure that can be set against that of another store.
pub struct Metric {
    /// In the table.
    pub row: &'static str,
    /// In a sentence.
    pub noun: &'static str,
    /// The figure, in the row's unit.
    pub of: fn(&Figures) -> Option<f64>,
    /// What one that is better is called, and one that is worse.
    words: (&'static str, &'static str),
    /// Whether more of it is better.
    more_is_better: bool,
    /// Figures whose ratio is below this are the same.
    same_within: f64,
    /// Whether the verdict speaks of it; the others say the same in another unit.
    pub is_judged: bool,
}

/// All of them, in the table's order. That of the mixed phase has no figures where there was none.
pub const METRICS: [Metric; 10] = [
    Metric {
        row: "memory, MiB",
        noun: "memory",
        of: |figures| Some(figures.loaded_mib),
        words: ("less", "more"),
        more_is_better: false,
        same_within: SAME_MEMORY,
        is_judged: true,
    },
    Metric {
        row: "  bytes per entry",
        noun: "bytes per entry",
        of: |figures| Some(figures.bytes_per_entry),
        words: ("less", "more"),
        more_is_better: false,
        same_within: SAME_MEMORY,
        is_judged: false,
    },
    Metric {
        row: "  overhead per entry",
        noun: "overhead",
        of: |figures| Some(figures.overhead_per_entry),
        words: ("less", "more"),
        more_is_better: false,
        same_within: SAME_MEMORY,
        is_judged: false,
    },
    Metric {
        row: "  after deleting 90 %",
        noun: "memory after deleting 90 %",
        of: |figures| Some(figures.left_mib),
        words: ("less", "more"),
        more_is_better: false,
        same_within: SAME_MEMORY,
        is_judged: true,
    },
    Metric {
        row: "  still held, %",
        noun: "memory kept after deleting 90 %",
        of: |figures| figures.after_delete_ratio.map(|ratio| ratio * 100.0),
        words: ("less", "more"),
        more_is_better: false,
        same_within: SAME_MEMORY,
        is_judged: false,
    },
    Metric {
        row: "load, million/s",
        noun: "loading",
        of: |figures| Some(figures.load_per_s / 1e6),
        words: ("faster", "slower"),
        more_is_better: true,
        same_within: SAME_SPEED,
        is_judged: true,
    },
    Metric {
        row: "lookup, million/s",
        noun: "lookups",
        of: |figures| Some(figures.lookup_per_s / 1e6),
        words: ("faster", "slower"),
        more_is_better: true,
        same_within: SAME_SPEED,
        is_judged: true,
    },
    Metric {
        row: MIXED_ROW,
        noun: "mixed phase",
        of: |figures| figures.mixed_per_s.map(|mixed| mixed / 1e6),
        words: ("faster", "slower"),
        more_is_better: true,
        same_within: SAME_SPEED,
        is_judged: true,
    },
    Metric {
        row: "worst insert, ms",
        noun: "worst insert",
        of: |figures| Some(figures.worst_insert_us / 1e3),
        words: ("shorter", "longer"),
        more_is_better: false,
        same_within: SAME_SPEED,
        is_judged: true,
    },
    Metric {
        row: "time to drop, ms",
        noun: "drop",
        of: |figures| Some(figures.drop_ms),
        words: ("shorter", "longer"),
        more_is_better: false,
        same_within: SAME_SPEED,
        is_judged: true,
    },
];

/// How one figure stands to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// Better by this factor.
    Better(f64),
    /// Worse by this factor.
    Worse(f64),
    /// No difference that means anything.
    Same,
    /// There is nothing to divide by.
    Unknown,
}

impl Metric {
    /// Whether only a mixed phase has it.
    pub fn is_of_mixed_phase(&self) -> bool {
        self.row == MIXED_ROW
    }

    /// How `ours` stands to `theirs`.
    pub fn standing(&self, ours: &Figures, theirs: &Figures) -> Standing {
        let (Some(ours), Some(theirs)) = ((self.of)(ours), (self.of)(theirs)) else {
            return Standing::Unknown;
        };
        if ours <= 0.0 || theirs <= 0.0 {
            return Standing::Unknown;
        }
        let gain = if self.more_is_better {
            ours / theirs
        } else {
            theirs / ours
        };
        match gain {
            gain if gain >= self.same_within => Standing::Better(gain),
            gain if gain <= 1.0 / self.same_within => Standing::Worse(1.0 / gain),
            _ => Standing::Same,
        }
    }

    /// The standing in words: `1.8x less`.
    pub fn words(&self, standing: Standing) -> String {
        match standing {
            Standing::Better(factor) => format!("{} {}", times(factor), self.words.0),
            Standing::Worse(factor) => format!("{} {}", times(factor), self.words.1),
            Standing::Same => "same".into(),
            Standing::Unknown => "-".into(),
        }
    }
}

fn times(factor: f64) -> String {
    match factor {
        factor if factor < 9.95 => format!("{factor:.1}x"),
        factor if factor < 999.5 => format!("{factor:.0}x"),
        _ => ">999x".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{example, mixed_example};

    #[test]
    fn figures_are_ratios_of_what_was_measured() {
        let comparison = example();
        let (ours, rivals) = comparison.sides();
        assert_eq!(
            (ours.bytes_per_entry, ours.overhead_per_entry),
            (100.0, 20.0)
        );
        assert_eq!(
            (rivals[0].bytes_per_entry, rivals[0].overhead_per_entry),
            (200.0, 120.0)
        );
        assert_eq!(ours.after_delete_ratio, Some(0.12));
        assert_eq!((ours.worst_insert_us, ours.drop_ms), (1_400.0, 3.0));
        assert!((rivals[1].load_per_s - 2_469_134.0).abs() < 1.0);
    }

    #[test]
    fn better_and_worse_depend_on_the_metric() {
        let comparison = mixed_example();
        let (ours, rivals) = comparison.sides();
        let words = METRICS.map(|metric| metric.words(metric.standing(ours, &rivals[0])));
        let expected = [
            "2.0x less",
            "2.0x less",
            "6.0x less",
            "16x less",
            "7.9x less",
            "same",
            "2.0x faster",
            "1.5x slower",
            "2.0x longer",
            "30x shorter",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn nothing_is_divided_by_nothing() {
        let comparison = example();
        let (ours, _) = comparison.sides();
        let totals = comparison.totals;
        let empty = Figures::new(Kind::CMap, totals, &Measured::default());
        assert_eq!(empty.after_delete_ratio, None);
        assert_eq!(METRICS[0].standing(ours, &empty), Standing::Unknown);
        assert_eq!(METRICS[4].standing(&empty, ours), Standing::Unknown);
    }
}
