//! What can go wrong, with the numbers.

use crate::memory::Refused;
use crate::store::Refusal;

/// Why a call did nothing.
///
/// A call that returns an error has changed nothing: same keys, same values, same [`len`](crate::CMap::len).
/// Reads have no errors.
///
/// ```
/// use cmap::{CMap, Error};
/// let error = CMap::new().insert(&[0; 70_000], b"value").unwrap_err();
/// assert_eq!(error, Error::KeyTooLong { len: 70_000, max: 65_535 });
/// assert_eq!(error.to_string(), "the key has 70000 bytes; at most 65535 are possible");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key is longer than a key may be.
    #[error("the key has {len} bytes; at most {max} are possible")]
    KeyTooLong {
        /// Its length in bytes.
        len: usize,
        /// The longest possible.
        max: usize,
    },
    /// The value is longer than a value may be.
    #[error("the value has {len} bytes; at most {max} are possible")]
    ValueTooLong {
        /// Its length in bytes.
        len: usize,
        /// The longest possible.
        max: usize,
    },
    /// The limit set by `max_bytes` does not allow it, also after compaction.
    ///
    /// If `pinned` is not 0, memory will come back when readers drop their pins.
    #[error(
        "the limit is reached: {needed} bytes are needed, {available} are left, and {pinned} wait for readers' pins"
    )]
    Full {
        /// Bytes that the call had to have at once (a chunk, an extent or a table).
        needed: usize,
        /// Bytes that were left under the limit.
        available: usize,
        /// Bytes that were unlinked and wait for pins, or for value references.
        pinned: usize,
    },
    /// The system, or the pool's address range, could not give the memory.
    #[error("the system refused {bytes} bytes of memory")]
    OutOfMemory {
        /// Bytes that were asked for.
        bytes: usize,
    },
    /// The value is no counter: [`fetch_add`](crate::CMap::fetch_add) works on values of 8 bytes.
    #[error("the value has {len} bytes; a counter has 8")]
    NotACounter {
        /// Its length in bytes.
        len: usize,
    },
    /// A setting of a builder or pool is out of range.
    #[error("invalid configuration: {field}: {reason}")]
    InvalidConfig {
        /// Which setting.
        field: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// The numbers asked for are beyond what any map can hold.
    #[error("more was asked for than any map can hold")]
    CapacityOverflow,
    /// The map was made before this process was forked: here it can be read, and no more.
    #[error("the map was made before this process was forked; here it can only be read")]
    Forked,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full {
                needed,
                available,
                pinned,
            } => Self::Full {
                needed,
                available,
                pinned,
            },
            Refusal::OutOfMemory { bytes } => Self::OutOfMemory { bytes },
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Limit { needed, available } => Self::Full {
                needed,
                available,
                pinned: 0,
            },
            Refused::System { bytes } => Self::OutOfMemory { bytes },
        }
    }
}
