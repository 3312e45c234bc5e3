//! Values by `serde` and `postcard`.

use core::any::type_name;

use serde::{Serialize, de::DeserializeOwned};

use super::codec::Codec;
use super::error::{DecodeError, EncodeError};

/// Values of any type that has `serde`'s [`Serialize`] and [`DeserializeOwned`], in the compact format of
/// [postcard](https://docs.rs/postcard). A write allocates a buffer for it; a read makes a value.
///
/// It cannot write what `postcard` cannot, such as a sequence that does not know its length: [`EncodeError`]. Bytes that are
/// left over are an error of the reader: [`DecodeError::Invalid`].
///
/// ```
/// use cmap::typed::{Map, Postcard};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, PartialEq, Debug)]
/// struct Session { user: String, hits: u32 }
///
/// let sessions: Map<[u8; 16], Session, Postcard> = Map::default();
/// let session = Session { user: "ada".into(), hits: 1 };
/// sessions.insert(&[7; 16], &session)?;
/// assert_eq!(sessions.get(&[7; 16])?, Some(session));
/// # Ok::<(), cmap::typed::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Postcard;

impl<T: Serialize + DeserializeOwned> Codec<T> for Postcard {
    type Borrowed = T;
    type Bytes<'a>
        = Vec<u8>
    where
        T: 'a;

    fn encode(value: &T) -> Result<Vec<u8>, EncodeError> {
        postcard::to_allocvec(value).map_err(|error| EncodeError {
            what: type_name::<T>(),
            reason: error.to_string(),
        })
    }

    fn decode(bytes: &[u8]) -> Result<T, DecodeError> {
        let invalid = |reason| DecodeError::Invalid {
            what: type_name::<T>(),
            len: bytes.len(),
            reason,
        };
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(invalid(format!("{} bytes are left over", rest.len()))),
            Err(error) => Err(invalid(error.to_string())),
        }
    }

    fn show<R>(bytes: &[u8], f: impl FnOnce(&T) -> R) -> Result<R, DecodeError> {
        Self::decode(bytes).map(|value| f(&value))
    }
}
