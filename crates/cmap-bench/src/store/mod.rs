//! The stores, behind one trait that costs nothing: each workload is compiled once per store.
//!
//! Every store is given the same hasher with the same seed (segcache has its own), and starts empty and unsized
//! (segcache and *bound* cannot grow, so they are told the size).

mod bound;
mod cmap;
mod dashmap;
mod noop;
mod papaya;
mod quick_cache;
mod scc;
mod segcache;
mod sharded;
#[cfg(test)]
mod std_map;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub use self::bound::{Bound, LockedBound};
pub use self::cmap::Cmap;
pub use self::dashmap::Dashmap;
pub use self::noop::Noop;
pub use self::papaya::Papaya;
pub use self::quick_cache::QuickCache;
pub use self::scc::Scc;
pub use self::segcache::SegCache;
pub use self::sharded::Sharded;
#[cfg(test)]
pub use self::std_map::StdMap;

use crate::entry::{Key, VALUE_BYTES};

/// The hasher of all stores.
pub type Hasher = foldhash::quality::FixedState;

/// A store by name.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum StoreName {
    /// What this is about.
    Cmap,
    /// `DashMap<Box<[u8]>, Box<[u8]>>`.
    Dashmap,
    /// `papaya::HashMap<Box<[u8]>, Box<[u8]>>`.
    Papaya,
    /// `scc::HashMap<Box<[u8]>, Box<[u8]>>`.
    Scc,
    /// 64 × `parking_lot::RwLock<hashbrown::HashTable<(Box<[u8]>, Box<[u8]>)>>`.
    Sharded,
    /// `quick_cache::sync::Cache<Box<[u8]>, Arc<[u8]>>`, its limit out of reach.
    QuickCache,
    /// `segcache::Segcache`, sized generously.
    Segcache,
    /// The harness and the hash alone.
    Noop,
    /// One thread, fixed size, nothing safe: what the memory allows.
    Bound,
    /// The same, and a write begins with a locked instruction on its bucket: what the memory allows to who locks.
    LockedBound,
}

impl StoreName {
    /// The four that "best rival" is chosen from.
    pub const RIVALS: [Self; 4] = [Self::Dashmap, Self::Papaya, Self::Scc, Self::Sharded];

    /// Whether it is a yardstick for one thread, of fixed size.
    pub const fn is_bound(self) -> bool {
        matches!(self, Self::Bound | Self::LockedBound)
    }

    /// As in ids and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cmap => "cmap",
            Self::Dashmap => "dashmap",
            Self::Papaya => "papaya",
            Self::Scc => "scc",
            Self::Sharded => "sharded",
            Self::QuickCache => "quick-cache",
            Self::Segcache => "segcache",
            Self::Noop => "noop",
            Self::Bound => "bound",
            Self::LockedBound => "locked-bound",
        }
    }

    /// As in tables and charts.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Cmap => "CMap",
            Self::Dashmap => "DashMap",
            Self::Papaya => "papaya",
            Self::Scc => "scc",
            Self::Sharded => "RwLock ×64",
            Self::QuickCache => "quick_cache",
            Self::Segcache => "segcache",
            Self::Noop => "*noop*",
            Self::Bound => "*bound*",
            Self::LockedBound => "*bound*, locked",
        }
    }
}

/// How CMap is set up; the rivals have but one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// As it comes.
    #[default]
    Default,
    /// On a pool that holds all memory in advance.
    Preallocated,
    /// With the maintenance thread.
    Maintained,
}

impl Variant {
    /// As in ids.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Preallocated => "preallocated",
            Self::Maintained => "maintained",
        }
    }
}

/// What a store is built for; most look at the seed alone.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Of the hasher.
    pub seed: u64,
    /// The most entries at any time.
    pub entries: u64,
    /// Their keys and values, in bytes.
    pub payload_bytes: u64,
    /// Values written over others, at most.
    pub updates: u64,
    /// Threads that will use it.
    pub threads: usize,
    /// How CMap is set up.
    pub variant: Variant,
}

impl Plan {
    /// The hasher of this plan's seed.
    pub const fn hasher(&self) -> Hasher {
        Hasher::with_seed(self.seed)
    }
}

/// A map of bytes to bytes, as the workloads use it. A call that fails ends the process: a figure for work that was
/// not done would be worse than none.
pub trait Store: Send + Sync + Sized {
    /// Holds a pin for a run of reads, where the store has such a thing.
    type Session<'a>: Session
    where
        Self: 'a;

    /// An empty one.
    fn new(plan: &Plan) -> Self;

    /// A reader that keeps its pin from call to call.
    fn session(&self) -> Self::Session<'_>;

    /// Shows the value to `read`, without a copy.
    fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R>;

    /// A copy of the value.
    fn get_copy(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// Stores a value, in place of one that may be there.
    fn insert(&self, key: &[u8], value: &[u8]);

    /// Stores many; a loop where the store has nothing better.
    fn insert_many(&self, entries: impl Iterator<Item = (Key, [u8; VALUE_BYTES])>) {
        for (key, value) in entries {
            self.insert(&key, &value);
        }
    }

    /// Removes a key; whether it was there.
    fn remove(&self, key: &[u8]) -> bool;

    /// Removes many, and counts them; a loop where the store has nothing better.
    fn remove_many(&self, keys: &[Key]) -> usize {
        keys.iter().filter(|key| self.remove(&key[..])).count()
    }

    /// Shows all entries; false where the store has no such call.
    fn for_each(&self, visit: impl FnMut(&[u8], &[u8])) -> bool;

    /// Asks for memory back, where there is a call for it.
    fn shrink(&self) {}

    /// Chunks that the entries lie in, where there are such.
    fn chunks_in_use(&self) -> Option<usize> {
        None
    }
}

/// A reader with a pin, for one thread.
pub trait Session {
    /// Shows the value to `read`.
    fn get<R>(&mut self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R>;

    /// Shows the value of each key, absent ones too; a loop where the store has nothing better.
    fn get_many(&mut self, keys: &[Key], mut visit: impl FnMut(usize, Option<&[u8]>)) {
        for (i, key) in keys.iter().enumerate() {
            if self.get(key, |value| visit(i, Some(value))).is_none() {
                visit(i, None);
            }
        }
    }

    /// Lets go of what was unlinked meanwhile.
    fn repin(&mut self) {}
}

/// The session of a store without pins.
pub struct Unpinned<'a, S>(pub &'a S);

impl<S: Store> Session for Unpinned<'_, S> {
    #[inline]
    fn get<R>(&mut self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get(key, read)
    }
}
