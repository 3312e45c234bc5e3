//! Models: every interleaving of a few threads, and every value that weak memory lets them read, by loom.
//!
//! `RUSTFLAGS="--cfg cmap_loom" LOOM_MAX_PREEMPTIONS=3 cargo test --profile models -p cmap-bytes --test loom -- --nocapture`
//!
//! They drive the crate's own types through `cmap::internal::loom`; what is theirs is the choice of threads and calls, and
//! the answers that they accept. Each ends by itself, having tried all, and prints how many executions that took. The smallest
//! are run a second time without a bound on preemptions.
//!
//! loom takes SeqCst operations for AcqRel, and knows only the fence as more: so a model may report what cannot happen, but
//! the code needs no more than what loom grants it.
#![cfg(cmap_loom)]

#[path = "loom/harness.rs"]
mod harness;

#[path = "loom/compaction.rs"]
mod compaction;
#[path = "loom/entries.rs"]
mod entries;
#[path = "loom/epochs.rs"]
mod epochs;
#[path = "loom/generations.rs"]
mod generations;
#[path = "loom/holds.rs"]
mod holds;
#[path = "loom/holes.rs"]
mod holes;
#[path = "loom/modify.rs"]
mod modify;
#[path = "loom/overflow.rs"]
mod overflow;
#[path = "loom/scans.rs"]
mod scans;
#[path = "loom/spills.rs"]
mod spills;
#[path = "loom/tables.rs"]
mod tables;
