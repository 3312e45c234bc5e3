//! The three maps that are compared, behind one small trait: each called as its users would call it.
//!
//! All hash with the same [`Hasher`], none is told in advance how many entries come, and none brings an allocator.

mod cmap_map;
mod dash_map;
mod hash_map;

pub use cmap_map::CMapStore;
pub use dash_map::DashMapStore;
pub use hash_map::HashMapStore;

use std::fmt;

/// The hash of all stores: foldhash *quality*, with one seed.
pub type Hasher = foldhash::quality::FixedState;

/// A concurrent map from bytes to bytes.
pub trait Store: Sync + Sized {
    /// An empty one.
    fn new(hasher: Hasher) -> Result<Self, String>;
    /// Puts an entry in; `Err` says why it could not.
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), String>;
    /// Shows the value to `read`, without copying it; `None` if there is none.
    fn get_with<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R>;
    /// Deletes an entry; says whether there was one.
    fn remove(&self, key: &[u8]) -> bool;
    /// How many entries it holds.
    fn len(&self) -> usize;
}

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// `RwLock<HashMap<Vec<u8>, Vec<u8>>>`
    RwLock,
    /// `DashMap<Box<[u8]>, Box<[u8]>>`
    DashMap,
    /// `CMap`
    #[value(name = "cmap")]
    CMap,
}

impl Kind {
    /// In the order in which they are measured and shown.
    pub const ALL: [Kind; 3] = [Kind::RwLock, Kind::DashMap, Kind::CMap];

    /// As the command line of a child has it.
    pub fn argument(self) -> &'static str {
        match self {
            Kind::RwLock => "rw-lock",
            Kind::DashMap => "dash-map",
            Kind::CMap => "cmap",
        }
    }

    /// As people know it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::RwLock => "RwLock<HashMap>",
            Kind::DashMap => "DashMap",
            Kind::CMap => "CMap",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn a_child_understands_which_store() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_str(kind.argument(), false), Ok(kind));
        }
    }

    fn behaves_as_a_map<S: Store>() {
        let store = S::new(Hasher::with_seed(1)).unwrap();
        store.insert(b"a", b"1").unwrap();
        store.insert(b"b\0", b"").unwrap();
        store.insert(b"a", b"2").unwrap();
        assert_eq!(store.len(), 2);
        assert_eq!(store.get_with(b"a", <[u8]>::to_vec), Some(b"2".to_vec()));
        assert_eq!(store.get_with(b"b\0", <[u8]>::to_vec), Some(Vec::new()));
        assert_eq!(store.get_with(b"b", <[u8]>::to_vec), None);
        assert!(store.remove(b"a"));
        assert!(!store.remove(b"a"));
        assert_eq!((store.get_with(b"a", <[u8]>::len), store.len()), (None, 1));
    }

    #[test]
    fn each_behaves_as_a_map() {
        behaves_as_a_map::<HashMapStore>();
        behaves_as_a_map::<DashMapStore>();
        behaves_as_a_map::<CMapStore>();
    }
}
