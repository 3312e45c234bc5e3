//! Floor 5: maps of other types than bytes, on the public API of the byte map alone.
//!
//! A [`Map<K, V>`](Map) is a [`CMap`](crate::CMap) that knows what its bytes mean. Keys become bytes by what they are
//! ([`Key`]), values by the map's codec, its third parameter ([`Codec`]):
//!
//! | codec | values | feature |
//! |---|---|---|
//! | [`Plain`], the default | `String`, `Vec<u8>`, `[u8; N]`, integers, `()` | |
//! | `Postcard` | whatever has `serde`'s `Serialize` and `DeserializeOwned` | `postcard` |
//! | `Zerocopy` | what `zerocopy` can see in bytes; shown where it lies | `zerocopy` |
//!
//! Keys and values are given and shown in their borrowed form: `&str` for `String`, `&[u8]` for `Vec<u8>`, a reference for
//! the rest. No call makes a copy of a key; [`Map::get_with`] shows values without one where the codec can.
//!
//! ```
//! use cmap::typed::Map;
//!
//! let visits: Map<String, u64> = Map::new();
//! visits.insert("ada", &1)?;
//! visits.fetch_add("ada", 2)?;
//! assert_eq!(visits.get("ada")?, Some(3));
//! assert_eq!(visits.get("bob")?, None);
//! # Ok::<(), cmap::typed::Error>(())
//! ```
//!
//! # What can go wrong
//! A read fails if the bytes that it finds are none of its type: [`DecodeError`]. In a map that is only written through its
//! type that does not happen; the byte map beneath ([`Map::byte_map`]) can be given anything. A write can fail for the byte
//! map's reasons, or because the value cannot be encoded: [`enum@Error`]. Either way nothing has changed.

mod codec;
mod error;
mod iter;
mod key;
mod map;
#[cfg(feature = "postcard")]
mod postcard;
#[cfg(feature = "zerocopy")]
mod zerocopy;

#[cfg(feature = "postcard")]
pub use self::postcard::Postcard;
#[cfg(feature = "zerocopy")]
pub use self::zerocopy::Zerocopy;
pub use codec::{Codec, Plain};
pub use error::{DecodeError, EncodeError, Error};
pub use iter::{Iter, Keys};
pub use key::Key;
pub use map::Map;
