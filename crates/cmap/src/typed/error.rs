//! What can go wrong between types and bytes.

/// Why bytes are none of the type that was wanted. It never shows them.
///
/// ```
/// use cmap::typed::{DecodeError, Map};
/// let map: Map<String, u64> = Map::new();
/// map.byte_map().insert(b"k", b"short")?;
/// let error = map.get("k").unwrap_err();
/// assert_eq!(error, DecodeError::Length { what: "u64", expected: 8, len: 5 });
/// assert_eq!(error.to_string(), "a u64 has 8 bytes, not 5");
/// # Ok::<(), cmap::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The number of bytes is not that of the type.
    #[error("a {what} has {expected} bytes, not {len}")]
    Length {
        /// The type.
        what: &'static str,
        /// How many bytes it has.
        expected: usize,
        /// How many there are.
        len: usize,
    },
    /// The bytes are no UTF-8.
    #[error("a string of {len} bytes is no UTF-8 from byte {valid_up_to} on")]
    Utf8 {
        /// The first byte that is wrong.
        valid_up_to: usize,
        /// How many bytes there are.
        len: usize,
    },
    /// The bytes are no value of the type, for another reason.
    #[error("{len} bytes are no {what}: {reason}")]
    Invalid {
        /// The type.
        what: &'static str,
        /// How many bytes there are.
        len: usize,
        /// What the codec says.
        reason: String,
    },
}

/// Why a value cannot be written as bytes. The codecs [`Plain`](super::Plain) and `Zerocopy` can write everything.
///
/// ```
/// let error = cmap::typed::EncodeError { what: "Session", reason: "it is closed".into() };
/// assert_eq!(error.to_string(), "this Session cannot be written as bytes: it is closed");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this {what} cannot be written as bytes: {reason}")]
pub struct EncodeError {
    /// The type.
    pub what: &'static str,
    /// What the codec says.
    pub reason: String,
}

/// Why a write to a [`Map`](super::Map) did nothing.
///
/// ```
/// use cmap::typed::{Error, Map};
/// let map: Map<String, u64> = Map::new();
/// let long = "k".repeat(65_536);
/// assert_eq!(map.insert(&long, &1), Err(Error::Map(cmap::Error::KeyTooLong { len: 65_536, max: 65_535 })));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The byte map refused.
    #[error(transparent)]
    Map(#[from] crate::map::Error),
    /// The new value cannot be written as bytes.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The old value, which the call had to look at, is none of the type.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}
