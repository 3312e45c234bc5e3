//! Floor 1: whose bytes are these, and until when?
//!
//! A *pool* reserves one range of addresses and deals it out in *chunks* (for entries), *blocks* (for tables) and *extents*
//! (for one large entry). A [`Location`] is a place in that range. *Epochs* say when something unlinked may be used again.
//!
//! Must not know: what an entry looks like, what a hash is.

#[cfg(not(any(cmap_loom, cmap_shuttle)))]
mod age;
mod blocks;
mod chunk;
pub(crate) mod epoch;
mod extents;
mod hold;
pub(crate) mod limbo;
mod location;
mod pool;
mod request;
mod tag;
mod watch;

pub(crate) use chunk::{ChunkState, Line};
#[cfg(cmap_loom)]
pub(crate) use epoch::leave;
pub(crate) use epoch::{Pin, Quiesced, Shared, Unlinked, domain, try_box};
pub(crate) use hold::{Hold, Holder};
pub(crate) use limbo::{Limbo, NoHeap, RIPE_BYTES};
pub(crate) use location::{ChunkId, GRANULE, LOCATION_BITS, Location};
pub(crate) use pool::Pool;
pub(crate) use request::{BlockClass, Config, Refused, Side, Who, try_slice};
pub(crate) use tag::Tag;
#[cfg(any(cmap_loom, cmap_shuttle))]
pub(crate) use watch::empty_graveyard;
