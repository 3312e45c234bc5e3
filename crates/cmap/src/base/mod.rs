//! Floor 0: the outside world, so that no other room names it: the hash function, the atomics, the operating system.
//!
//! Must not know: anything of this crate.

pub(crate) mod hash;
pub(crate) mod interleave;
pub(crate) mod os;
pub(crate) mod sync;
pub(crate) mod trace;
