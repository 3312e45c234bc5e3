//! Floor 2: from a hash to a location.
//!
//! A *directory* maps a hash prefix to a *table*, a table maps the next bits to a *bucket* of eight *slots*, a slot holds a
//! location and a window of further bits. Whether the entry at a location has the wanted key is asked of the caller: one
//! question that serves lookups and compaction alike. Dead means not in the index.
//!
//! Must not know: bytes, keys, the log.

mod collect;
mod directory;
mod filling;
#[allow(clippy::module_inception)]
mod index;
mod locked;
mod plan;
mod rebuild;
mod resize;
mod shape;
mod slot;
mod spill;
mod table;

pub(crate) use collect::{Bucket, Buckets};
pub(crate) use directory::Directory;
pub(crate) use index::{Context, Glance, Home, Index, IndexKeeper};
pub(crate) use locked::Locked;
pub(crate) use resize::Made;
pub(crate) use shape::Geometry;
pub(crate) use table::TableRef;
