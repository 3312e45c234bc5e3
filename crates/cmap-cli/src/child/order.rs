//! In which order the entries are visited, and which of them are deleted: the same for every store and every run.

/// Visits 0..entries, each once, far apart from one to the next: steps of about 0.618 of them, without a common divisor.
///
/// Entries that were loaded one after the other lie side by side in every store; looked up in the same order, they
/// would be in the cache already, as they hardly ever are in practice.
#[derive(Clone, Copy, Debug)]
pub struct Scattered {
    entries: usize,
    step: usize,
}

impl Scattered {
    pub fn new(entries: usize) -> Self {
        let golden = (entries as f64 * 0.618_033_988_749_895) as usize;
        let step = (golden.max(1)..)
            .find(|&step| common_divisor(step, entries) <= 1)
            .expect("entries + 1 is one");
        Self { entries, step }
    }

    /// The entry in `place`.
    pub fn at(&self, place: usize) -> usize {
        (place as u128 * self.step as u128 % self.entries as u128) as usize
    }

    /// The entry in the place after that of `entry`.
    pub fn after(&self, entry: usize) -> usize {
        (entry + self.step) % self.entries
    }
}

fn common_divisor(mut a: usize, mut b: usize) -> usize {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Whether the entry is the one of its ten that is kept. Which one differs from ten to ten, without a pattern that an
/// allocator could profit or suffer from.
pub fn is_kept(entry: usize) -> bool {
    mix(entry as u64 / 10) % 10 == entry as u64 % 10
}

/// How many of so many entries are kept.
pub fn kept(entries: usize) -> usize {
    let tens = entries / 10;
    tens + (tens * 10..entries).filter(|&entry| is_kept(entry)).count()
}

/// Whether the entry is one of the so many in a hundred that the mixed phase looks up; it replaces the values of the others.
pub fn is_looked_up(entry: usize, percent: u8) -> bool {
    // Not the numbers that decide what is kept.
    mix(!(entry as u64)) % 100 < u64::from(percent)
}

/// The finalizer of SplitMix64.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_visited_once() {
        for entries in (1..200).chain([1_000, 4_096, 99_991]) {
            let order = Scattered::new(entries);
            let mut seen = vec![false; entries];
            let mut entry = order.at(0);
            for place in 0..entries {
                assert_eq!(entry, order.at(place));
                assert!(
                    !std::mem::replace(&mut seen[entry], true),
                    "{entry} of {entries} twice"
                );
                entry = order.after(entry);
            }
        }
    }

    #[test]
    fn neighbours_are_visited_far_apart() {
        let order = Scattered::new(1_000_000);
        assert!((1..1_000).all(|place| order.at(place).abs_diff(order.at(place - 1)) > 100_000));
    }

    #[test]
    fn a_share_is_looked_up_among_the_kept_too() {
        for percent in [0, 5, 50, 95, 100] {
            let share = |entries: &[usize]| {
                let found = entries
                    .iter()
                    .filter(|&&entry| is_looked_up(entry, percent));
                found.count() as f64 * 100.0 / entries.len() as f64
            };
            let all: Vec<_> = (0..100_000).collect();
            let kept: Vec<_> = (0..100_000).filter(|&entry| is_kept(entry)).collect();
            for entries in [all, kept] {
                let share = share(&entries);
                assert!(
                    (share - f64::from(percent)).abs() < 1.5,
                    "{share} of {percent} %"
                );
                assert!(!percent.is_multiple_of(100) || share == f64::from(percent));
            }
        }
    }

    #[test]
    fn one_in_ten_is_kept_at_changing_places() {
        for entries in [0, 1, 9, 10, 11, 999, 100_000] {
            assert_eq!(
                kept(entries),
                (0..entries).filter(|&entry| is_kept(entry)).count()
            );
            assert!(kept(entries).abs_diff(entries / 10) <= 1);
        }
        let mut places = [0; 10];
        (0..10_000)
            .filter(|&entry| is_kept(entry))
            .for_each(|entry| places[entry % 10] += 1);
        assert!(
            places.iter().all(|&count| (60..140).contains(&count)),
            "{places:?}"
        );
    }
}
