//! A job: what one child process does. Everything about it is in its id, by which a finished one is known again.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::entry::{Entries, KEY_BYTES, Sizes};
use crate::store::{Plan, StoreName, Variant};

/// What a process measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Fill, hit, held pin, batch, miss, zipf, 95/5, 50/50, iterate, remove.
    Steady,
    /// `insert_many`, `remove_many`.
    Batch,
    /// Fill and hits only.
    Hit,
    /// The oldest removed and a new one inserted, over some turnovers.
    Churn,
    /// Every insert timed, against the noise loop.
    Pause,
    /// The same inserts, each asked whether it took a page fault.
    Faults,
    /// Fill and drop.
    Drop,
    /// A reader alone, and beside a writer.
    Beside,
    /// go-cmap's six.
    Six,
    /// Overhead in steps of 1.2x from 1 M entries to the job's number, while growing.
    Growth,
    /// Overhead, just filled.
    Filled,
    /// Nine in ten removed at random.
    Deleted,
    /// The same keys overwritten again and again.
    Overwrite,
    /// Operations in turns, for a trace of their accesses.
    Lines,
}

impl Kind {
    /// As in ids.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Batch => "batch",
            Self::Hit => "hit",
            Self::Churn => "churn",
            Self::Pause => "pause",
            Self::Faults => "faults",
            Self::Drop => "drop",
            Self::Beside => "beside",
            Self::Six => "six",
            Self::Growth => "growth",
            Self::Filled => "filled",
            Self::Deleted => "deleted",
            Self::Overwrite => "overwrite",
            Self::Lines => "lines",
        }
    }
}

/// What one process does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The workloads.
    pub kind: Kind,
    /// The store.
    pub store: StoreName,
    /// How CMap is set up.
    pub variant: Variant,
    /// Entries in the store.
    pub entries: u64,
    /// Lengths of the values.
    pub sizes: Sizes,
    /// Threads that work.
    pub threads: usize,
    /// Of keys, values, choices and hashes.
    pub seed: u64,
    /// Operations of a workload that has no natural number of them.
    pub ops: u64,
    /// How often a churn replaces everything, or an overwrite all keys.
    pub turnovers: u64,
    /// The allocator is asked for huge pages.
    pub huge: bool,
    /// Two such processes at once, phase by phase.
    pub twins: bool,
    /// Which of the rounds.
    pub round: u32,
}

impl Job {
    /// A job on two threads (fewer, where there are fewer cores) with the sizes most used.
    pub fn new(kind: Kind, store: StoreName, entries: u64) -> Self {
        Self {
            kind,
            store,
            variant: Variant::Default,
            entries,
            sizes: Sizes::Fixed,
            threads: crate::machine::cores().min(2),
            seed: 1,
            ops: entries.clamp(1 << 20, 10_000_000),
            turnovers: 4,
            huge: false,
            twins: false,
            round: 1,
        }
    }

    /// The entries' sequence.
    pub const fn sequence(&self) -> Entries {
        Entries::new(self.seed, self.sizes)
    }

    /// What the store is built for.
    pub fn plan(&self) -> Plan {
        let updates = match self.kind {
            // 5 % and 50 % of the operations; half of what a thread does next to the reader.
            Kind::Steady => self.ops * 56 / 100,
            Kind::Beside => self.ops * 8,
            Kind::Six => self.ops * 4,
            Kind::Overwrite | Kind::Churn => self.entries * self.turnovers,
            _ => 0,
        };
        Plan {
            seed: self.seed,
            entries: self.entries,
            payload_bytes: self.sequence().payload(0..self.entries),
            updates,
            threads: self.threads,
            variant: self.variant,
        }
    }

    /// What the figures of different stores and rounds have in common.
    pub fn setting(&self) -> String {
        let Self {
            kind,
            entries,
            sizes,
            threads,
            ..
        } = self;
        let mut text = format!("{}/{entries}/{}/t{threads}", kind.name(), sizes.name());
        if self.turnovers != 4 {
            text += &format!("/x{}", self.turnovers);
        }
        if self.huge {
            text += "/huge";
        }
        if self.twins {
            text += "/twins";
        }
        text
    }

    /// Tells this job from every other.
    pub fn id(&self) -> String {
        format!(
            "{}/{}/{}/s{}/o{}/r{}",
            self.setting(),
            self.store.name(),
            self.variant.name(),
            self.seed,
            self.ops,
            self.round
        )
    }

    /// A guess, on the high side, at the memory that the job needs at its peak.
    pub fn bytes_needed(&self) -> u64 {
        let value = match self.sizes {
            Sizes::Fixed => 64,
            Sizes::Mixed => 100,
        };
        let payload = KEY_BYTES as u64 + value;
        let entry = match self.store {
            StoreName::Noop => 0,
            StoreName::Bound | StoreName::LockedBound => payload + 20,
            // It works on removed space; the twenty percent are for a pool held in advance.
            StoreName::Cmap => (payload + 24) * 12 / 10,
            // Sized for all updates.
            StoreName::Segcache => (payload + 64) * 3,
            // 60 to 75 bytes, and the old table beside the new one.
            _ => payload + 140,
        };
        let churned = match (self.kind, self.store) {
            (Kind::Churn, store) if !store.is_bound() => 2,
            _ => 1,
        };
        let noise = match self.kind {
            Kind::Pause | Kind::Faults => self.entries * payload,
            Kind::Steady => self.ops * 4,
            _ => 0,
        };
        let processes = if self.twins { 2 } else { 1 };
        ((entry * self.entries * churned).max(noise) + (64 << 20)) * processes
    }

    /// Why this store cannot do this job, if it cannot.
    pub fn unfit(&self) -> Option<&'static str> {
        let grows_or_leaves_holes = !matches!(
            self.kind,
            Kind::Steady | Kind::Batch | Kind::Hit | Kind::Filled | Kind::Drop
        );
        match self.store {
            store if store.is_bound() && self.threads > 1 => Some("it is for one thread"),
            store if store.is_bound() && grows_or_leaves_holes => Some("its size is fixed"),
            StoreName::Segcache if grows_or_leaves_holes && self.kind != Kind::Six => {
                Some("its size is fixed")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_jobs_apart_and_a_setting_does_not_tell_stores() {
        let a = Job::new(Kind::Steady, StoreName::Cmap, 1000);
        let b = Job {
            store: StoreName::Scc,
            ..a.clone()
        };
        let c = Job {
            huge: true,
            ..a.clone()
        };
        assert_ne!(a.id(), b.id());
        assert_eq!(a.setting(), b.setting());
        assert_ne!(a.setting(), c.setting());
        let text = serde_json::to_string(&a).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), a);
    }
}
