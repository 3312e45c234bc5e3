//! `cmap compare`: the entries of a file or a directory.

use crate::{
    args::CompareArgs,
    failure::Failure,
    input::{self, Layout, Options, Source},
    output,
    report::Origin,
    trial::Trial,
};

/// Does it all.
pub fn run(args: &CompareArgs) -> Result<(), Failure> {
    let source = Source::find(args.input.as_deref())?;
    let options = Options {
        layout: Layout::choose(&source, &args.file)?,
        skip_bad: args.file.skip_bad,
        limit: args.limit,
    };
    let file = match &source {
        Source::File(path) => Some(path.as_path()),
        Source::Stdin | Source::Dir { .. } => None,
    };
    let trial = Trial::begin(&args.trial, file, "--limit")?;
    if let Source::Dir {
        path,
        is_default: true,
    } = &source
    {
        output::complain(&format_args!(
            "no FILE or DIR was named: walking your home directory, {}",
            path.display()
        ));
    }
    let input = input::read(&source, &options, &trial.progress)?;
    let origin = Origin::Input {
        source,
        skipped: input.skipped,
    };
    trial.run(&input.packed, origin, None)
}
