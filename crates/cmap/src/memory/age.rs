//! How many grace periods old is a chunk that a pin still looks at? For the stress tests; nothing is decided by it.
//!
//! A chunk notes the epoch in which it was retired, and whether it is in use, waits, or was given back. Of a reader whose pin is
//! of epoch `p` and was there in epoch `s` *Pinned-stays* promises, by the theorem of `epoch.rs`, as rcutorture counts:
//!
//! ```text
//! age 0   in use, and since before the pin: last retired below s
//! age 1   retired, at p or later
//! age 2   anything else: retired below p, and yet found; given back; or given back and taken again under the pin
//! ```
//!
//! A pin reads `p` and is there a moment later. What was given back and taken again in that moment is in use as any other: it is
//! why `s` is asked for, an epoch read when the pin had been made.
//!
//! A chunk of a cleared generation is not retired by itself: it counts as in use until it is given back. In a pool of several
//! maps age 2 proves nothing, since a pin on one holds no chunk of the others.

use super::chunk::Descriptor;
use super::epoch::Pin;
use super::location::{GRANULE, Location};
use super::pool::Pool;
use crate::base::sync::Ordering;

const IN_USE: u64 = 0;
const RETIRED: u64 = 1;
const GIVEN_BACK: u64 = 2;
const PHASE_BITS: u32 = 2;

// Relaxed, all: a note is changed by one thread at a time, and each change comes after the one before by what hands the chunk on.
impl Descriptor {
    pub(crate) fn note_retired(&self, epoch: u64) {
        self.note
            .store(epoch << PHASE_BITS | RETIRED, Ordering::Relaxed);
    }

    pub(super) fn note_given_back(&self) {
        self.note_phase(GIVEN_BACK);
    }

    pub(super) fn note_taken(&self) {
        self.note_phase(IN_USE);
    }

    fn note_phase(&self, phase: u64) {
        let epoch = self.note.load(Ordering::Relaxed) >> PHASE_BITS;
        self.note
            .store(epoch << PHASE_BITS | phase, Ordering::Relaxed);
    }
}

impl Pool {
    /// The age, as above, of the chunk in which `bytes` lie that `pin` protects, which was there in epoch `since`; `None` for an
    /// extent.
    pub(crate) fn age(&self, bytes: &[u8], pin: &Pin, since: u64) -> Option<usize> {
        let at = Location::at(self.arena().offset_of(bytes) / GRANULE * GRANULE);
        if self.is_extent(at) {
            return None;
        }
        let note = self
            .descriptor(self.chunk_of(at))
            .note
            .load(Ordering::Relaxed);
        let retired = note >> PHASE_BITS;
        Some(match note & 3 {
            IN_USE if retired < since => 0,
            RETIRED if retired >= pin.epoch() => 1,
            _ => 2,
        })
    }
}
