//! A concurrent in-memory map of byte keys to byte values, for very many entries.
//!
//! Entries lie packed in memory-mapped chunks, outside the heap, with 3 bytes of header and about 12 of index each. Look-ups
//! take no lock and need no copy; memory follows the live data down and obeys a hard limit; no single-key operation does
//! work proportional to the size of the map.
//!
//! ```
//! use cmap::{CMap, Inserted};
//!
//! let map = CMap::new();
//! assert_eq!(map.insert(b"apple", b"red")?, Inserted::New);
//! assert_eq!(map.insert(b"apple", b"green")?, Inserted::Replaced);
//! assert_eq!(map.get_with(b"apple", |value| value.len()), Some(5)); // no copy
//! let pinned = map.pin();
//! assert_eq!(pinned.get(b"apple"), Some(&b"green"[..])); // borrowed as long as `pinned` lives
//! assert!(map.remove(b"apple"));
//! assert_eq!(pinned.get(b"apple"), None);
//! # Ok::<(), cmap::Error>(())
//! ```
//!
//! Maps of strings, integers and structs: [`typed`]. For those who come from DashMap, papaya, scc or go-cmap: [`migrating`].
//! Programs to copy from lie in the package's `examples`: a session store, deduplication of lines, counters fed by many
//! threads, a table that is compacted at night, a map behind HTTP.
//!
//! # What it promises
//! - Operations on one key are linearizable. What a write acknowledged is found until someone removes or replaces it.
//! - A borrowed value stays valid and unchanged as long as its [`Pinned`] or closure.
//! - Read-modify-write is atomic per key, and a scan shows what stays exactly once. The caller's closures run while nothing
//!   is locked.
//! - No public object holds a lock, and no call waits for a pin: a pin only delays the return of memory.
//! - An error changes nothing. Reads cannot fail, and a remove needs no memory.
//! - With [`Builder::max_bytes`], resident memory stays below that limit plus 1 MiB and a hundredth of the index; see there.
//!
//! # What it does not promise
//! It is not for values that are changed in place, for iteration in key order, for use in signal handlers, or for sharing
//! between processes. With a hasher whose seed an attacker knows, lookups of the attacker's keys can become slow, never
//! wrong. After a `fork` the child can read a map of its parent and no more.
//!
//! # Features
//! Each adds something, and all are off by default.
//!
//! | feature | adds |
//! |---|---|
//! | `bytes` | `get_bytes`: values as `bytes::Bytes` |
//! | `rayon` | `par_for_each`: scans on rayon's threads |
//! | `serde` | [`Memory`], [`Stats`], [`Compacted`], [`PoolUsage`] and [`Cursor`] can be written, cursors read |
//! | `postcard` | `typed::Postcard`: typed maps of values that serde knows |
//! | `zerocopy` | `typed::Zerocopy`: typed maps of values that are seen in their bytes |
//! | `metrics` | `record_metrics`: figures for the `metrics` facade |
//! | `tracing` | events of what happens inside a map |
//!
//! The events have the target `cmap` and come from the thread that does the work, under no lock. A listener may call the map;
//! it holds up the call in which it is told, and what it does there may be told to it before it is done: it must hold no lock
//! of its own that it takes in telling.
//!
//! | event | level | fields |
//! |---|---|---|
//! | `table replaced` | TRACE | `what`: `split`, `merged` or `rebuilt`; `depth`: bits of the hash that lead to the new table |
//! | `chunk compacted` | DEBUG | `compactions`, `relocations`, `bytes_moved`: as in [`Stats`], so far |
//! | `limit reached` | WARN, at most once a second and map | `needed`, `available`, `pinned`: as in [`Error::Full`]; `refused`: as in [`Stats`], so far |

#![deny(unsafe_code)]
#![warn(clippy::missing_errors_doc, clippy::missing_panics_doc)]
// Where the documentation is published, it says what needs which feature.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("CMap needs 64-bit addresses: it reserves large ranges of them");

#[cfg(not(unix))]
compile_error!("CMap runs on Unix; Linux on x86_64 is what is tested");

mod base;
mod index;
mod log;
mod map;
mod memory;
mod store;
pub mod typed;

#[doc = include_str!("migrating.md")]
pub mod migrating {}

pub use base::hash::{KeyHasher, RandomState};
#[doc(hidden)]
pub use map::internal;
pub use map::{
    BatchError, Budget, Builder, CMap, Changed, ChunkPool, Compacted, Cursor, Drain, Error,
    Inserted, Iter, Keys, Maintenance, Memory, Op, Pinned, PoolConfig, PoolUsage, Stats, ValueRef,
};

/// The examples of the README, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
