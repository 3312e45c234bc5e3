//! `cmap bench`: entries that are made for it, and a mixed phase.

use crate::{args::BenchArgs, failure::Failure, input::Synthetic, report::Origin, trial::Trial};

/// Does it all.
pub fn run(args: &BenchArgs) -> Result<(), Failure> {
    let trial = Trial::begin(&args.trial, None, "--entries")?;
    let synthetic = Synthetic::new(args.entries, args.key_size, args.value_size, trial.seed)?;
    // Known beforehand, so that nothing is made in vain.
    trial.expect_room(synthetic.totals(), Some(args.mix))?;
    let packed = synthetic.make(&trial.progress)?;
    let origin = Origin::Synthetic {
        synthetic,
        mix: args.mix,
    };
    trial.run(&packed, origin, Some(args.mix))
}
