//! A trial: every store measured on the same entries, and the outcome reported. What both commands have in common.

use std::{
    hash::{BuildHasher, RandomState},
    path::Path,
};

use crate::{
    args::TrialArgs,
    estimate,
    failure::Failure,
    interrupt::Interrupt,
    memory,
    packed::{Packed, Totals},
    progress::Progress,
    report::{Comparison, Origin, Targets},
    runner::Runner,
    store::Kind,
};

/// A seed that is drawn has 32 bits: enough for an honest draw, and short enough to type again.
const SEED_SHIFT: u32 = 32;

/// One that has begun: from now on a signal ends it all.
pub struct Trial<'t> {
    args: &'t TrialArgs,
    targets: Targets,
    interrupt: Interrupt,
    /// The option that makes entries fewer.
    fewer: &'static str,
    /// For whoever gets the entries.
    pub progress: Progress,
    /// As asked for, or drawn.
    pub seed: u64,
}

impl<'t> Trial<'t> {
    /// Begins one. The `input` is a file that no result may overwrite.
    pub fn begin(
        args: &'t TrialArgs,
        input: Option<&Path>,
        fewer: &'static str,
    ) -> Result<Self, Failure> {
        let interrupt = Interrupt::install().map_err(|error| Failure::System {
            what: "handling signals",
            error,
        })?;
        Ok(Self {
            args,
            targets: Targets::find(args.json.as_deref(), args.chart.as_deref(), input)?,
            interrupt,
            fewer,
            progress: Progress::at_terminal(),
            seed: args
                .seed
                .unwrap_or_else(|| RandomState::new().hash_one(()) >> SEED_SHIFT),
        })
    }

    /// That every store will find the memory that it needs, by all that is known beforehand; with a mixed phase as for `run`.
    pub fn expect_room(&self, totals: Totals, mix: Option<u8>) -> Result<(), Failure> {
        Kind::ALL
            .into_iter()
            .try_for_each(|kind| self.expect_room_for(kind, totals, mix))
    }

    /// Measures all stores, with a mixed phase of so many lookups in a hundred if there is to be one, and reports.
    pub fn run(self, packed: &Packed, origin: Origin, mix: Option<u8>) -> Result<(), Failure> {
        let totals = packed.totals();
        self.expect_room(totals, mix)?;
        let runner = Runner {
            packed: packed.file(),
            entries: totals.entries,
            threads: self.args.threads(),
            seed: self.seed,
            mix,
            interrupt: &self.interrupt,
            progress: &self.progress,
        };
        self.progress.measuring(runner.steps(Kind::ALL.len()));
        let mut stores = Vec::with_capacity(Kind::ALL.len());
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            self.expect_room_for(kind, totals, mix)?;
            stores.push((kind, runner.measure(number, kind)?));
        }
        self.progress.clear();
        let comparison = Comparison::new(origin, packed, runner.threads, self.seed, &stores);
        self.targets.write(&comparison)
    }

    fn expect_room_for(&self, kind: Kind, totals: Totals, mix: Option<u8>) -> Result<(), Failure> {
        let Some(available) = self.args.memory_available.or_else(memory::available) else {
            return Ok(());
        };
        let shards = estimate::default_shards();
        let replaces = mix.is_some_and(|lookups| lookups < 100);
        let needed = estimate::bytes(kind, totals, shards, replaces);
        if estimate::fits(needed, available) {
            return Ok(());
        }
        // With so few, no other store is refused in its turn.
        let limit = |kind| estimate::limit(kind, totals, shards, replaces, available);
        let most = Kind::ALL.into_iter().map(limit).min().flatten();
        Err(Failure::TooLarge {
            kind,
            needed,
            available,
            entries: totals.entries,
            hint: most.map(|most| (self.fewer, most)),
        })
    }
}
