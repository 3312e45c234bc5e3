//! Floor 4: what users touch.

mod batch;
mod builder;
mod cmap;
mod compute;
mod error;
mod figures;
pub mod internal;
mod iter;
#[cfg(feature = "metrics")]
mod metrics;
mod pinned;
mod pool;
mod scan;
mod tender;
mod value_ref;

pub use batch::BatchError;
pub use builder::{Builder, Maintenance};
pub use cmap::{Budget, CMap, Changed, Compacted, Inserted};
pub use compute::Op;
pub use error::Error;
pub use figures::{Memory, Stats};
pub use iter::{Drain, Iter, Keys};
pub use pinned::Pinned;
pub use pool::{ChunkPool, PoolConfig, PoolUsage};
pub use scan::Cursor;
pub use value_ref::ValueRef;
