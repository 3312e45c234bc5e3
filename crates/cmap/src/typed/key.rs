//! Keys as bytes.

use core::any::type_name;
use core::str;

use super::error::DecodeError;

/// What can be the key of a [`Map`](super::Map).
///
/// Equal keys must have equal bytes, and different keys different ones: the bytes are what is compared. For the keys that
/// are here already, the order of the bytes is the order of the keys as well: integers are big-endian, signed ones with
/// their sign turned round. (A map shows its entries in hash order all the same.)
///
/// `serde` is not asked about keys: its formats promise neither.
///
/// ```
/// use cmap::typed::{DecodeError, Key, Map};
///
/// /// A user's post.
/// #[derive(Clone, Copy, Debug, PartialEq)]
/// struct Post { user: u32, number: u64 }
///
/// impl Key for Post {
///     type Borrowed = Post;
///     type Bytes<'a> = [u8; 12];
///
///     fn encode(post: &Post) -> [u8; 12] {
///         let mut bytes = [0; 12];
///         bytes[..4].copy_from_slice(&post.user.to_be_bytes());
///         bytes[4..].copy_from_slice(&post.number.to_be_bytes());
///         bytes
///     }
///
///     fn decode(bytes: &[u8]) -> Result<Post, DecodeError> {
///         let bytes = <[u8; 12]>::decode(bytes)?;
///         Ok(Post { user: u32::decode(&bytes[..4])?, number: u64::decode(&bytes[4..])? })
///     }
///
///     fn show<R>(bytes: &[u8], f: impl FnOnce(&Post) -> R) -> Result<R, DecodeError> {
///         Self::decode(bytes).map(|post| f(&post))
///     }
/// }
///
/// let titles: Map<Post, String> = Map::new();
/// titles.insert(&Post { user: 7, number: 1 }, "Hello")?;
/// assert_eq!(titles.get(&Post { user: 7, number: 1 })?.as_deref(), Some("Hello"));
/// # Ok::<(), cmap::typed::Error>(())
/// ```
pub trait Key: Sized {
    /// The form in which keys are given to calls and shown by them: `str` for `String`, often `Self`.
    type Borrowed: ?Sized;

    /// Its bytes: borrowed from it, or an array.
    type Bytes<'a>: AsRef<[u8]>
    where
        Self::Borrowed: 'a;

    /// The bytes of a key.
    fn encode(key: &Self::Borrowed) -> Self::Bytes<'_>;

    /// The key of these bytes.
    ///
    /// # Errors
    /// If they are the bytes of no key.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;

    /// Shows the key of these bytes to `f`, without making one if that can be.
    ///
    /// # Errors
    /// As [`Key::decode`].
    fn show<R>(bytes: &[u8], f: impl FnOnce(&Self::Borrowed) -> R) -> Result<R, DecodeError>;
}

/// The bytes as an array, or an error that says what was expected to have so many.
pub(super) fn array<T, const N: usize>(bytes: &[u8]) -> Result<&[u8; N], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::Length {
        what: type_name::<T>(),
        expected: N,
        len: bytes.len(),
    })
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    str::from_utf8(bytes).map_err(|error| DecodeError::Utf8 {
        valid_up_to: error.valid_up_to(),
        len: bytes.len(),
    })
}

impl Key for String {
    type Borrowed = str;
    type Bytes<'a> = &'a [u8];

    #[inline]
    fn encode(key: &str) -> &[u8] {
        key.as_bytes()
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        text(bytes).map(Self::from)
    }

    #[inline]
    fn show<R>(bytes: &[u8], f: impl FnOnce(&str) -> R) -> Result<R, DecodeError> {
        text(bytes).map(f)
    }
}

impl Key for Vec<u8> {
    type Borrowed = [u8];
    type Bytes<'a> = &'a [u8];

    #[inline]
    fn encode(key: &[u8]) -> &[u8] {
        key
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(bytes.to_vec())
    }

    #[inline]
    fn show<R>(bytes: &[u8], f: impl FnOnce(&[u8]) -> R) -> Result<R, DecodeError> {
        Ok(f(bytes))
    }
}

impl<const N: usize> Key for [u8; N] {
    type Borrowed = [u8; N];
    type Bytes<'a> = &'a [u8];

    #[inline]
    fn encode(key: &[u8; N]) -> &[u8] {
        key
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        array::<Self, N>(bytes).copied()
    }

    #[inline]
    fn show<R>(bytes: &[u8], f: impl FnOnce(&[u8; N]) -> R) -> Result<R, DecodeError> {
        array::<Self, N>(bytes).map(f)
    }
}

/// `$flip` turns a signed number's sign round, so that negative ones come first.
macro_rules! integers {
    ($($int:ty, $flip:expr;)*) => {$(
        impl Key for $int {
            type Borrowed = $int;
            type Bytes<'a> = [u8; size_of::<$int>()];

            #[inline]
            fn encode(key: &$int) -> Self::Bytes<'_> {
                (*key ^ $flip).to_be_bytes()
            }

            #[inline]
            fn decode(bytes: &[u8]) -> Result<$int, DecodeError> {
                array::<$int, { size_of::<$int>() }>(bytes).map(|&bytes| <$int>::from_be_bytes(bytes) ^ $flip)
            }

            #[inline]
            fn show<R>(bytes: &[u8], f: impl FnOnce(&$int) -> R) -> Result<R, DecodeError> {
                Self::decode(bytes).map(|key| f(&key))
            }
        }
    )*};
}

integers! {
    u8, 0; u16, 0; u32, 0; u64, 0; u128, 0;
    i8, i8::MIN; i16, i16::MIN; i32, i32::MIN; i64, i64::MIN; i128, i128::MIN;
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Debug;

    /// Every pair of `keys`, which ascend: bytes ascend as well, and give the key back.
    fn ascend<K: Key<Borrowed = K> + Ord + Debug>(keys: &[K]) {
        for (n, key) in keys.iter().enumerate() {
            let bytes = K::encode(key);
            assert_eq!(K::decode(bytes.as_ref()).as_ref(), Ok(key));
            assert_eq!(K::show(bytes.as_ref(), |shown| shown == key), Ok(true));
            for other in &keys[n + 1..] {
                assert!(key < other, "{key:?} {other:?}");
                assert!(
                    bytes.as_ref() < K::encode(other).as_ref(),
                    "{key:?} comes before {other:?}, its bytes do not"
                );
            }
        }
    }

    macro_rules! edges {
        ($($int:ty)*) => {$({
            let mut keys = vec![<$int>::MIN, <$int>::MAX];
            for bit in 0..<$int>::BITS {
                let power = (1 as $int) << bit;
                keys.extend([power, power.wrapping_sub(1), power.wrapping_neg(), !power]);
            }
            keys.sort_unstable();
            keys.dedup();
            assert!(keys.len() >= 3 * <$int>::BITS as usize - 2, "{}", keys.len());
            ascend(&keys);
        })*};
    }

    #[test]
    fn bytes_of_integers_are_in_the_order_of_the_integers() {
        edges!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);
        ascend::<u8>(&(0..=u8::MAX).collect::<Vec<_>>());
        ascend::<i8>(&(i8::MIN..=i8::MAX).collect::<Vec<_>>());
        assert_eq!(i16::encode(&-1), [0x7f, 0xff]);
        assert_eq!(u32::encode(&1), [0, 0, 0, 1]);
    }

    #[test]
    fn strings_and_arrays_are_their_own_bytes() {
        assert_eq!(<String as Key>::encode("aé"), "aé".as_bytes());
        assert_eq!(<Vec<u8> as Key>::encode(b"\0\xff"), b"\0\xff");
        assert_eq!(<[u8; 3] as Key>::encode(b"abc"), b"abc");
        ascend(&[[0, 0], [0, 255], [1, 0]]);
        assert_eq!(<String as Key>::decode(b"ok").as_deref(), Ok("ok"));
    }

    #[test]
    fn bytes_of_no_key_are_told_with_what_was_expected() {
        let short = |what, expected, len| DecodeError::Length {
            what,
            expected,
            len,
        };
        assert_eq!(u32::decode(b""), Err(short("u32", 4, 0)));
        assert_eq!(i128::decode(&[0; 17]), Err(short("i128", 16, 17)));
        assert_eq!(<[u8; 3]>::decode(b"ab"), Err(short("[u8; 3]", 3, 2)));
        let torn = DecodeError::Utf8 {
            valid_up_to: 1,
            len: 3,
        };
        assert_eq!(<String as Key>::decode(b"a\xffb"), Err(torn.clone()));
        assert_eq!(<String as Key>::show(b"a\xffb", str::len), Err(torn));
    }
}
