//! Floor 3: where the index meets the log.
//!
//! A *generation* is an index and a log; `clear` replaces it as a whole. A write appends to the log first and then
//! publishes the location in the index; compaction moves entries and publishes their new locations the same way.
//!
//! Must not know: the public API, its errors' words, how a map is configured by users.

mod batch;
mod check;
mod compaction;
mod generation;
mod keep;
mod maintenance;
#[cfg(cmap_loom)]
mod model;
mod modify;
mod scan;
#[allow(clippy::module_inception)]
mod store;
mod walks;
mod write;

pub(crate) use batch::GROUP;
pub use check::Checked;
pub(crate) use compaction::{Done, Until};
pub(crate) use keep::Kept;
pub(crate) use modify::{Owed, Seen};
pub(crate) use store::{Store, Tuning};
pub(crate) use write::{Expect, Refusal, Wrote};
