//! Values that outlive every pin: small ones copied, large ones held where they are.

use core::hash::BuildHasher;
use std::sync::Arc as Shared;

use super::store::Store;
use crate::log::Log;
use crate::memory::{Hold, Holder};

/// See the file's head.
#[derive(Clone)]
pub(crate) enum Kept {
    Copied(Shared<[u8]>),
    Held(Hold),
}

impl Kept {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Held(hold) => hold.bytes(),
        }
    }
}

impl<S: BuildHasher> Store<S> {
    /// The value of a key, to keep.
    pub(crate) fn keep(&self, key: &[u8]) -> Option<Kept> {
        let pin = self.pin();
        let (at, value) = self.look(self.hash(key), key, &pin).place()?;
        if value.len() <= self.tuning.copy_bytes_max {
            return Some(Kept::Copied(value.into()));
        }
        let (bytes, value) = Log::value_place(&self.pool, at, &pin);
        let hold = Holder::hold(&self.holder, (at, bytes), value, &pin);
        Some(Kept::Held(hold))
    }
}
