//! Plans: what one table, or two, are to become.

use super::shape::Shape;

/// What tables become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Of the lower table and the upper one; of a single table, both.
    pub(super) shapes: [Shape; 2],
    pub(super) depth: u32,
    pub(super) tables: usize,
    /// Whether entries may go to the spill tables where the new ones have no room for them.
    pub(super) displaces: bool,
    /// Whether three eighths of the overflow slots must be left: else a table might be renewed again and again, for a few keys
    /// each time.
    pub(super) renews: bool,
    /// So that chunks of tables empty: in the lowest place that there is.
    pub(super) packs: bool,
}

impl Plan {
    pub(super) fn of_one(shape: Shape, depth: u32) -> Self {
        Self {
            shapes: [shape; 2],
            depth,
            tables: 1,
            displaces: false,
            renews: false,
            packs: false,
        }
    }

    pub(super) fn of_two(shapes: [Shape; 2], depth: u32) -> Self {
        Self {
            shapes,
            tables: 2,
            ..Self::of_one(shapes[0], depth)
        }
    }

    pub(super) fn displacing(self) -> Self {
        Self {
            displaces: true,
            ..self
        }
    }

    pub(super) fn renewing(self) -> Self {
        Self {
            renews: true,
            ..self
        }
    }

    pub(super) fn packing(self) -> Self {
        Self {
            packs: true,
            ..self
        }
    }
}
