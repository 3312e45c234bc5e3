//! Values as bytes.

use super::error::{DecodeError, EncodeError};
use super::key::{array, text};

/// How the values of a [`Map`](super::Map) become bytes, and bytes values: a type for the map's third parameter.
///
/// ```
/// use cmap::typed::{Codec, DecodeError, EncodeError, Map, Plain};
///
/// /// Temperatures, in tenths of a degree.
/// struct Tenths;
///
/// impl Codec<f64> for Tenths {
///     type Borrowed = f64;
///     type Bytes<'a> = [u8; 2];
///
///     fn encode(value: &f64) -> Result<[u8; 2], EncodeError> {
///         let tenths = (value * 10.0).round();
///         if tenths.abs() > f64::from(i16::MAX) || tenths.is_nan() {
///             return Err(EncodeError { what: "temperature", reason: format!("{value} degrees") });
///         }
///         Ok((tenths as i16).to_le_bytes())
///     }
///
///     fn decode(bytes: &[u8]) -> Result<f64, DecodeError> {
///         <Plain as Codec<i16>>::decode(bytes).map(|tenths| f64::from(tenths) / 10.0)
///     }
///
///     fn show<R>(bytes: &[u8], f: impl FnOnce(&f64) -> R) -> Result<R, DecodeError> {
///         Self::decode(bytes).map(|value| f(&value))
///     }
/// }
///
/// let map: Map<String, f64, Tenths> = Map::default();
/// map.insert("Oslo", &-3.14)?;
/// assert_eq!(map.get("Oslo")?, Some(-3.1));
/// assert!(map.insert("Sun", &15_000_000.0).is_err());
/// # Ok::<(), cmap::typed::Error>(())
/// ```
pub trait Codec<V> {
    /// The form in which values are given to calls and shown by them: `str` for `String`, often `V`.
    type Borrowed: ?Sized;

    /// Its bytes: borrowed from it, an array, or a `Vec`.
    type Bytes<'a>: AsRef<[u8]>
    where
        Self::Borrowed: 'a;

    /// The bytes of a value.
    ///
    /// # Errors
    /// If it has none.
    fn encode(value: &Self::Borrowed) -> Result<Self::Bytes<'_>, EncodeError>;

    /// The value of these bytes.
    ///
    /// # Errors
    /// If they are the bytes of no value.
    fn decode(bytes: &[u8]) -> Result<V, DecodeError>;

    /// Shows the value of these bytes to `f`, without making one if that can be.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    fn show<R>(bytes: &[u8], f: impl FnOnce(&Self::Borrowed) -> R) -> Result<R, DecodeError>;
}

/// Values as what they are in memory: strings, byte strings and arrays of bytes are their own bytes; integers are
/// little-endian, so that a `u64` is a counter to [`CMap::fetch_add`](crate::CMap::fetch_add) too; `()` is nothing, for sets.
///
/// ```
/// use cmap::typed::{Map, Plain};
/// let seen: Map<u64, (), Plain> = Map::new();
/// assert_eq!(seen.insert_if_absent(&7, &())?, cmap::Changed::Inserted);
/// assert_eq!(seen.insert_if_absent(&7, &())?, cmap::Changed::Nothing); // a duplicate
/// # Ok::<(), cmap::typed::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Plain;

impl Codec<String> for Plain {
    type Borrowed = str;
    type Bytes<'a> = &'a [u8];

    #[inline]
    fn encode(value: &str) -> Result<&[u8], EncodeError> {
        Ok(value.as_bytes())
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<String, DecodeError> {
        text(bytes).map(String::from)
    }

    #[inline]
    fn show<R>(bytes: &[u8], f: impl FnOnce(&str) -> R) -> Result<R, DecodeError> {
        text(bytes).map(f)
    }
}

impl Codec<Vec<u8>> for Plain {
    type Borrowed = [u8];
    type Bytes<'a> = &'a [u8];

    #[inline]
    fn encode(value: &[u8]) -> Result<&[u8], EncodeError> {
        Ok(value)
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        Ok(bytes.to_vec())
    }

    #[inline]
    fn show<R>(bytes: &[u8], f: impl FnOnce(&[u8]) -> R) -> Result<R, DecodeError> {
        Ok(f(bytes))
    }
}

impl<const N: usize> Codec<[u8; N]> for Plain {
    type Borrowed = [u8; N];
    type Bytes<'a> = &'a [u8];

    #[inline]
    fn encode(value: &[u8; N]) -> Result<&[u8], EncodeError> {
        Ok(value)
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<[u8; N], DecodeError> {
        array::<[u8; N], N>(bytes).copied()
    }

    #[inline]
    fn show<R>(bytes: &[u8], f: impl FnOnce(&[u8; N]) -> R) -> Result<R, DecodeError> {
        array::<[u8; N], N>(bytes).map(f)
    }
}

impl Codec<()> for Plain {
    type Borrowed = ();
    type Bytes<'a> = [u8; 0];

    #[inline]
    fn encode((): &()) -> Result<[u8; 0], EncodeError> {
        Ok([])
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<(), DecodeError> {
        array::<(), 0>(bytes).map(|_| ())
    }

    #[inline]
    fn show<R>(bytes: &[u8], f: impl FnOnce(&()) -> R) -> Result<R, DecodeError> {
        array::<(), 0>(bytes).map(|_| f(&()))
    }
}

macro_rules! integers {
    ($($int:ty)*) => {$(
        impl Codec<$int> for Plain {
            type Borrowed = $int;
            type Bytes<'a> = [u8; size_of::<$int>()];

            #[inline]
            fn encode(value: &$int) -> Result<Self::Bytes<'_>, EncodeError> {
                Ok(value.to_le_bytes())
            }

            #[inline]
            fn decode(bytes: &[u8]) -> Result<$int, DecodeError> {
                array::<$int, { size_of::<$int>() }>(bytes).map(|&bytes| <$int>::from_le_bytes(bytes))
            }

            #[inline]
            fn show<R>(bytes: &[u8], f: impl FnOnce(&$int) -> R) -> Result<R, DecodeError> {
                <Self as Codec<$int>>::decode(bytes).map(|value| f(&value))
            }
        }
    )*};
}

integers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Debug;

    fn returns<V: PartialEq + Copy + Debug>(value: V, bytes: &[u8])
    where
        Plain: Codec<V, Borrowed = V>,
    {
        let encoded = Plain::encode(&value).expect("plain values can be written");
        assert_eq!(encoded.as_ref(), bytes);
        assert_eq!(Plain::show(bytes, |shown| *shown == value), Ok(true));
        assert_eq!(<Plain as Codec<V>>::decode(bytes), Ok(value));
    }

    #[test]
    fn values_give_their_bytes_and_come_back() {
        returns(1_u64, &[1, 0, 0, 0, 0, 0, 0, 0]);
        returns(-2_i16, &[0xfe, 0xff]);
        returns(u128::MAX, &[0xff; 16]);
        returns(i8::MIN, &[0x80]);
        returns([1, 2, 3], &[1, 2, 3]);
        returns((), &[]);
        assert_eq!(<Plain as Codec<String>>::encode("é"), Ok("é".as_bytes()));
        assert_eq!(<Plain as Codec<Vec<u8>>>::decode(b"\xff"), Ok(vec![0xff]));
    }

    #[test]
    fn bytes_of_no_value_are_told_with_what_was_expected() {
        let length = |what, expected, len| DecodeError::Length {
            what,
            expected,
            len,
        };
        let decode = <Plain as Codec<u64>>::decode;
        assert_eq!(decode(b"1234567"), Err(length("u64", 8, 7)));
        assert_eq!(decode(b"123456789"), Err(length("u64", 8, 9)));
        assert_eq!(<Plain as Codec<()>>::decode(b"x"), Err(length("()", 0, 1)));
        assert_eq!(
            <Plain as Codec<[u8; 2]>>::show(b"x", |_| ()),
            Err(length("[u8; 2]", 2, 1))
        );
        assert_eq!(
            <Plain as Codec<String>>::show(b"ab\x80", str::len),
            Err(DecodeError::Utf8 {
                valid_up_to: 2,
                len: 3
            })
        );
    }
}
