//! Values that are seen in their bytes.

use core::any::type_name;

use zerocopy::{ConvertError, Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::codec::Codec;
use super::error::{DecodeError, EncodeError};

/// Values of any type that [zerocopy](https://docs.rs/zerocopy) can see in its bytes: what is shown is the bytes in the map,
/// looked at as that type. Nothing is parsed, and nothing is copied if the type is `Unaligned`, as are structs of zerocopy's
/// `little_endian` integers. Values of another type are copied to be shown where their bytes happen not to be aligned.
///
/// ```
/// use cmap::typed::{Map, Zerocopy};
/// use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, little_endian::{U32, U64}};
///
/// #[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
/// #[repr(C)]
/// struct Account { balance: U64, nonce: U32 }
///
/// let accounts: Map<[u8; 32], Account, Zerocopy> = Map::default();
/// accounts.insert(&[1; 32], &Account { balance: U64::new(500), nonce: U32::new(3) })?;
/// let balance = accounts.get_with(&[1; 32], |account| account.balance.get())?; // not copied
/// assert_eq!(balance, Some(500));
/// # Ok::<(), cmap::typed::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Zerocopy;

fn wrong<A, Z, B>(
    len: usize,
    expected: usize,
    error: ConvertError<A, Z, B>,
    what: &'static str,
) -> DecodeError {
    match error {
        ConvertError::Size(_) => DecodeError::Length {
            what,
            expected,
            len,
        },
        ConvertError::Alignment(_) | ConvertError::Validity(_) => DecodeError::Invalid {
            what,
            len,
            reason: "these bits are none of its values".into(),
        },
    }
}

impl<T: TryFromBytes + IntoBytes + KnownLayout + Immutable> Codec<T> for Zerocopy {
    type Borrowed = T;
    type Bytes<'a>
        = &'a [u8]
    where
        T: 'a;

    #[inline]
    fn encode(value: &T) -> Result<&[u8], EncodeError> {
        Ok(value.as_bytes())
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<T, DecodeError> {
        T::try_read_from_bytes(bytes)
            .map_err(|error| wrong(bytes.len(), size_of::<T>(), error, type_name::<T>()))
    }

    #[inline]
    fn show<R>(bytes: &[u8], f: impl FnOnce(&T) -> R) -> Result<R, DecodeError> {
        match T::try_ref_from_bytes(bytes) {
            Ok(value) => Ok(f(value)),
            Err(ConvertError::Alignment(_)) => Self::decode(bytes).map(|value| f(&value)),
            Err(error) => Err(wrong(bytes.len(), size_of::<T>(), error, type_name::<T>())),
        }
    }
}
