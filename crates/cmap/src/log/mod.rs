//! Floor 2: from a location to an entry.
//!
//! Entries are appended to chunks through *lanes*, written once and then only read. The log counts what may still be
//! reachable in each chunk (*Counted*) and hands a chunk over when that falls to zero.
//!
//! Must not know: hashes, the index. Whether an entry is alive is not its business; it is told.

mod entry;
mod holes;
mod lane;
#[allow(clippy::module_inception)]
mod log;
mod walk;

pub(crate) use entry::{Entry, Head, KEY_BYTES_MAX, VALUE_BYTES_MAX, entry_bytes};
pub(crate) use lane::Throw;
pub(crate) use log::{Appended, HOLD, Keeper, Log};
pub(crate) use walk::{Victims, Walk};
