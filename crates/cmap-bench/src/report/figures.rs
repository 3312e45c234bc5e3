//! The figures by what they are of: medians over the rounds, and ratios round by round.

use std::collections::BTreeMap;

use crate::results::{Line, Outcome};
use crate::store::{StoreName, Variant};

/// A store, set up in one of its ways.
pub type Entrant = (StoreName, u8);

/// An entrant as it comes.
pub const fn plain(store: StoreName) -> Entrant {
    (store, Variant::Default as u8)
}

type Rounds = BTreeMap<u32, f64>;

/// All figures of some lines. A job that was run twice counts with its later run.
#[derive(Default)]
pub struct Figures {
    by: BTreeMap<(String, String), BTreeMap<Entrant, Rounds>>,
}

impl Figures {
    /// Those of `lines`.
    pub fn new<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Self {
        let mut figures = Self::default();
        for line in lines {
            if let Outcome::Measured(figure) = &line.outcome {
                let key = (line.job.setting(), figure.workload.clone());
                let entrant = (line.job.store, line.job.variant as u8);
                figures
                    .by
                    .entry(key)
                    .or_default()
                    .entry(entrant)
                    .or_default()
                    .insert(line.job.round, figure.figure);
            }
        }
        figures
    }

    /// The median over the rounds.
    pub fn median(&self, setting: &str, workload: &str, entrant: Entrant) -> Option<f64> {
        median(self.rounds(setting, workload, entrant)?.values().copied())
    }

    /// The median of the ratios of one entrant's figure to another's in the same round.
    pub fn ratio(
        &self,
        setting: &str,
        (workload, entrant): (&str, Entrant),
        (other_workload, other): (&str, Entrant),
    ) -> Option<f64> {
        let own = self.rounds(setting, workload, entrant)?;
        let others = self.rounds(setting, other_workload, other)?;
        let paired = own
            .iter()
            .filter_map(|(round, own)| Some(own / others.get(round)?));
        median(paired)
    }

    /// The rival with the lowest median.
    pub fn best_rival(&self, setting: &str, workload: &str) -> Option<StoreName> {
        self.best_of(setting, workload, &StoreName::RIVALS)
    }

    /// The one of `stores` with the lowest median.
    pub fn best_of(
        &self,
        setting: &str,
        workload: &str,
        stores: &[StoreName],
    ) -> Option<StoreName> {
        let medians = stores
            .iter()
            .filter_map(|&store| Some((self.median(setting, workload, plain(store))?, store)));
        medians
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map(|best| best.1)
    }

    /// The workloads that a setting has figures of.
    pub fn workloads(&self, setting: &str) -> impl Iterator<Item = &str> {
        self.by
            .keys()
            .filter(move |(of, _)| of == setting)
            .map(|(_, workload)| workload.as_str())
    }

    fn rounds(&self, setting: &str, workload: &str, entrant: Entrant) -> Option<&Rounds> {
        self.by
            .get(&(setting.to_owned(), workload.to_owned()))?
            .get(&entrant)
    }
}

/// The middle one, or the mean of the middle two.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median([].into_iter()), None);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
    }
}
