//! The walks that compaction is at: as a rule each writer's own.
//!
//! A writer goes on with the walk of its lane's *seat*, so that writers compact without meeting each other. There may be one
//! walk, and one more for every sixteenth chunk; in a limited pool one, since the memory kept for survivors is enough for
//! one. A thread that may not start one goes on with one that nobody is at; one that may takes over a walk that was left alone.
//! Who finds another thread at its seat goes to the next.
//!
//! What a writer owes is *granted* to its seat, and spent by its next writes one entry at a time, each while the processor
//! fetches the lines that the write itself needs. What is left at the next grant is worked off at once.

use crate::base::sync::{
    AtomicBool, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering, thread_hint,
};
use crate::log::{Head, Walk};
use crate::memory::{Location, NoHeap, try_slice};

/// Seats at most. More threads share them.
const SEATS_MAX: usize = 16;
/// Entries that a walk looks ahead: their buckets arrive while others are relocated.
const AHEAD: usize = 4;

/// An entry that a walk showed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) at: Location,
    pub(super) hash: u64,
    /// As in [`Head`].
    pub(super) len: u32,
    pub(super) bytes: u32,
}

impl Next {
    #[inline]
    pub(super) fn of(head: &Head<'_>, hash: u64) -> Self {
        // Larger entries have extents, and are not walked.
        let short = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        Self {
            at: head.at,
            hash,
            len: short(head.len),
            bytes: short(head.bytes),
        }
    }
}

/// A walk, what it looks ahead to, and what it came to.
#[derive(Debug)]
pub(super) struct Walker {
    pub(super) walk: Walk,
    /// The next entries, the first at `first`.
    ahead: [Option<Next>; AHEAD],
    first: usize,
    /// Granted, but not for one entry at a time: the next one is large.
    aside: u64,
    /// Bytes of entries relocated: still on the chunk's count.
    pub(super) out: usize,
    /// Entries and bytes relocated that no counter knows of yet.
    pub(super) unnoted: (u64, u64),
}

impl Walker {
    pub(super) fn new(walk: Walk) -> Self {
        Self {
            walk,
            ahead: [None; AHEAD],
            first: 0,
            aside: 0,
            out: 0,
            unnoted: (0, 0),
        }
    }

    /// The next entry; after the last of them `None`. `show` goes on with the walk.
    #[inline]
    pub(super) fn first(&mut self, show: impl FnMut(&mut Walk) -> Option<Next>) -> Option<Next> {
        if self.ahead[self.first].is_none() {
            self.look_ahead(show);
        }
        self.ahead[self.first]
    }

    #[cold]
    fn look_ahead(&mut self, mut show: impl FnMut(&mut Walk) -> Option<Next>) {
        self.ahead = core::array::from_fn(|_| show(&mut self.walk));
        self.first = 0;
    }

    /// The next entry is done with; `show` goes on with the walk.
    #[inline]
    pub(super) fn pass(&mut self, mut show: impl FnMut(&mut Walk) -> Option<Next>) {
        self.ahead[self.first] = show(&mut self.walk);
        self.first = (self.first + 1) % AHEAD;
    }
}

/// The place of one walk.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Seat {
    /// Bytes that writers may copy one by one, while they wait for memory anyway. Changed by the holder of `walker`.
    granted: AtomicU64,
    /// Its writers were here since another thread last looked.
    is_used: AtomicBool,
    walker: Mutex<Option<Walker>>,
}

impl Seat {
    /// Whether there is something to copy. It may change at any time.
    // Relaxed, here and below: a figure.
    #[inline]
    pub(super) fn is_granted(&self) -> bool {
        self.granted.load(Ordering::Relaxed) != 0
    }

    /// Whether nobody was here since the last time that this was asked: a second chance, as in CLOCK.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_used.swap(false, Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn try_lock(&self) -> Option<Held<'_>> {
        let walker = self.walker.try_lock()?;
        Some(Held { seat: self, walker })
    }
}

/// A seat that this thread holds.
pub(super) struct Held<'s> {
    seat: &'s Seat,
    pub(super) walker: MutexGuard<'s, Option<Walker>>,
}

impl Held<'_> {
    /// Takes back what was granted and not spent.
    pub(super) fn take_granted(&mut self) -> usize {
        let aside = self
            .walker
            .as_mut()
            .map_or(0, |walker| core::mem::take(&mut walker.aside));
        let granted = self.seat.granted.load(Ordering::Relaxed);
        self.seat.granted.store(0, Ordering::Relaxed);
        (granted + aside) as usize
    }

    /// Grants `bytes` in place of what was granted before.
    pub(super) fn grant(&mut self, bytes: usize) {
        self.seat.granted.store(bytes as u64, Ordering::Relaxed);
        self.seat.is_used.store(true, Ordering::Relaxed);
    }

    /// What is granted is for the next step, and not spent one entry at a time.
    pub(super) fn set_aside(&mut self) {
        let granted = self.take_granted();
        if let Some(walker) = self.walker.as_mut() {
            walker.aside = granted as u64;
        }
    }

    /// Returns what is left.
    #[inline]
    pub(super) fn spend(&self, bytes: usize) -> u64 {
        let granted = self.seat.granted.load(Ordering::Relaxed);
        let left = granted.saturating_sub(bytes as u64);
        self.seat.granted.store(left, Ordering::Relaxed);
        left
    }
}

/// All seats of a generation.
#[derive(Debug)]
pub(super) struct Walks {
    /// A power of two of them.
    seats: Box<[Seat]>,
    on: AtomicUsize,
}

impl Walks {
    pub(super) fn new(seats: usize) -> Result<Self, NoHeap> {
        let seat = |_| Seat {
            granted: AtomicU64::new(0),
            is_used: AtomicBool::new(false),
            walker: Mutex::new(None),
        };
        Ok(Self {
            seats: try_slice(seats.next_power_of_two().min(SEATS_MAX), seat)?,
            on: AtomicUsize::new(0),
        })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.seats.len() * size_of::<Seat>()
    }

    /// The thread's seat.
    #[inline]
    pub(super) fn own(&self) -> &Seat {
        &self.seats[thread_hint() & (self.seats.len() - 1)]
    }

    /// All seats, the thread's first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Seat> {
        let own = thread_hint();
        (0..self.seats.len()).map(move |n| &self.seats[(own + n) & (self.seats.len() - 1)])
    }

    /// The walk of some other seat, if its writers let it alone for a while.
    pub(super) fn abandoned(&self, random: u64) -> Option<Walker> {
        let others = self.seats.len() - 1;
        let other = self.all().skip(1).nth(random as usize % others.max(1))?;
        other.is_idle().then(|| other.try_lock()?.walker.take())?
    }

    /// The walk of any other seat that nobody is at.
    pub(super) fn any_other(&self) -> Option<Walker> {
        let mut others = self.all().skip(1).filter_map(Seat::try_lock);
        others.find_map(|mut other| other.walker.take())
    }

    /// Another walk begins, if there may be `most` of them.
    pub(super) fn enter(&self, most: usize) -> bool {
        // Relaxed, here and below: a bound on memory; what is walked is claimed by a credit.
        let may = self.on.fetch_add(1, Ordering::Relaxed) < most;
        if !may {
            self.leave();
        }
        may
    }

    pub(super) fn leave(&self) {
        self.on.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(any(cmap_loom, cmap_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn walks_are_as_many_as_there_may_be() {
        let walks = Walks::new(3).expect("memory");
        assert_eq!(walks.all().count(), 4);
        assert!(walks.enter(1) && !walks.enter(1));
        assert!(walks.enter(2) && !walks.enter(2));
        walks.leave();
        assert!(!walks.enter(1) && walks.enter(2));
    }

    #[test]
    fn what_is_granted_is_spent_once() {
        let walks = Walks::new(1).expect("memory");
        let mut held = walks.own().try_lock().expect("free");
        assert!(walks.own().try_lock().is_none());
        assert!(!walks.own().is_granted());
        held.grant(100);
        assert!(walks.own().is_granted());
        assert_eq!(held.spend(60), 40);
        assert_eq!(held.take_granted(), 40);
        held.grant(50);
        assert_eq!(held.spend(60), 0);
        assert_eq!((held.take_granted(), held.take_granted()), (0, 0));
    }
}
