//! `cmap compare`: reads the input, has every store measured, and reports.

use std::{
    hash::{BuildHasher, RandomState},
    path::Path,
};

use crate::{
    args::CompareArgs,
    estimate,
    failure::Failure,
    input::{self, Options, Source},
    interrupt::Interrupt,
    memory, output,
    packed::Totals,
    progress::Progress,
    report::{Comparison, Target, json, table, verdict},
    runner::Runner,
    store::Kind,
};

/// A seed that is drawn has 32 bits: enough for an honest draw, and short enough to type again.
const SEED_SHIFT: u32 = 32;

/// Does it all.
pub fn run(args: &CompareArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::install().map_err(|error| Failure::System {
        what: "handling signals",
        error,
    })?;
    let source = Source::find(args.input.as_deref())?;
    let target = args
        .json
        .as_deref()
        .map(|json| Target::find(json, &source))
        .transpose()?;
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

    let progress = Progress::at_terminal();
    let options = Options {
        header: args.header,
        limit: args.limit,
    };
    let input = input::read(&source, options, &progress)?;
    let totals = input.packed.totals();
    for kind in Kind::ALL {
        expect_room(kind, totals, args.memory_available)?;
    }

    let runner = Runner {
        packed: input.packed.file(),
        entries: totals.entries,
        threads: args.threads(),
        seed: args
            .seed
            .unwrap_or_else(|| RandomState::new().hash_one(()) >> SEED_SHIFT),
        interrupt: &interrupt,
        progress: &progress,
    };
    progress.measuring(runner.steps(Kind::ALL.len()));
    let mut stores = Vec::with_capacity(Kind::ALL.len());
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        expect_room(kind, totals, args.memory_available)?;
        stores.push((kind, runner.measure(number, kind)?));
    }
    progress.clear();

    let comparison = Comparison::new(&source, &input, runner.threads, runner.seed, &stores);
    if !matches!(target, Some(Target::Stdout)) {
        let text = [
            table::render(&comparison, table::Look::of_stdout()),
            verdict::render(&comparison),
        ]
        .join("\n");
        output::print(&text)?;
    }
    target.map_or(Ok(()), |target| json::write(&comparison, &target))
}

/// That the store will find the memory that it needs, by all that is known beforehand.
fn expect_room(kind: Kind, totals: Totals, stated: Option<u64>) -> Result<(), Failure> {
    let Some(available) = stated.or_else(memory::available) else {
        return Ok(());
    };
    let shards = estimate::default_shards();
    let needed = estimate::bytes(kind, totals, shards);
    if estimate::fits(needed, available) {
        return Ok(());
    }
    let limit = estimate::limit(kind, totals, shards, available);
    Err(Failure::TooLarge {
        kind,
        needed,
        available,
        entries: totals.entries,
        limit,
    })
}

impl Target {
    /// Where the JSON goes; refused if that would destroy the input or cannot work.
    fn find(json: &Path, source: &Source) -> Result<Self, Failure> {
        if json == Path::new("-") {
            return Ok(Target::Stdout);
        }
        let refuse = |reason: &str| {
            Err(Failure::Arguments(format!(
                "--json {}: {reason}",
                json.display()
            )))
        };
        if let (Source::File(input), Ok(json)) = (source, json.canonicalize())
            && input.canonicalize().is_ok_and(|input| input == json)
        {
            return refuse("that is the input, which it would overwrite");
        }
        if json.is_dir() {
            return refuse("that is a directory");
        }
        match json.parent() {
            Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
                refuse("there is no such directory")
            }
            _ => Ok(Target::File(json.into())),
        }
    }
}
