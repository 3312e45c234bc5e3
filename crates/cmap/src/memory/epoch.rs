//! Epochs: when may memory that was unlinked be used again?
//!
//! Readers *pin*: they write the current epoch into a word of their thread's record. Whoever unlinked something stamps it,
//! later, with the epoch and raises that by one ([`Domain::stamp`]), then looks at every pin ([`Domain::oldest_pin`]).
//!
//! **Theorem.** A thing stamped `s` is visible to no pin once every pin that could matter has an epoch above `s`.
//! A reader that pinned above `s` read an epoch that was written after the unlinking, so it sees the unlinking. A reader
//! whose pin the look missed had not stored it when the look's barrier ran, so its later loads see the unlinking. One
//! epoch and one record a thread serve the whole process; a pin carries its map's tag and delays that map alone.
//!
//! ```text
//! pin word    63            12 11        0      0 = no pin; tag 0 = protects every map
//!            |   epoch 52     |  tag 12   |
//! record     4 words, one a nested pin; a fifth, counted, for those nested deeper
//! ```
//!
//! The pin costs one store: the full barrier that it needs is made on its behalf by the one who looks (`membarrier`), and
//! only where the system refuses that does the pin pay for its own fence. Source of the idea: URCU, M. Desnoyers.
//!
//! Invariants that the unsafe blocks below cite:
//! - **Pinned-stays**: nothing that a pin can see is freed or reused before the pin ends.
//! - **Records-live**: a record is never freed while the process (under a model checker: the execution) lives.
//! - **Boxed**: a non-null [`Shared`] holds a pointer that came from `Box::into_raw` and is given up once, by `swap`.

#![allow(unsafe_code)]

use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::alloc::Layout;

#[cfg(cmap_loom)]
use loom::{lazy_static, thread_local};
#[cfg(cmap_shuttle)]
use shuttle::{lazy_static, thread_local};

use super::tag::{EPOCH, TAG_BITS, TAG_MASK, Tag, word};
use super::watch::{Held, bury, hold, seen, unhold};
use crate::base::interleave;
use crate::base::os;
use crate::base::sync::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, compiler_fence, fence,
};

const NESTED: usize = 4;
const COUNT_BITS: u32 = 20;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

// An epoch is a grace attempt that has something new, with a barrier in all threads: a million a second for 142 years.
const _: () = assert!((1u64 << (64 - TAG_BITS)) / (1_000_000 * 3600 * 24 * 365) >= 100);

/// One thread's pins. On two lines of its own, since other threads only look at it.
#[repr(align(128))]
struct Record {
    pins: [AtomicU64; NESTED],
    deep: AtomicU64,
    /// How many pins share `deep`. Changed by the owner only.
    deep_count: AtomicU32,
    owned: AtomicBool,
    /// How many there were before it.
    number: u32,
    next: AtomicPtr<Record>,
}

impl Record {
    fn new(number: u32) -> Self {
        Self {
            pins: core::array::from_fn(|_| AtomicU64::new(0)),
            deep: AtomicU64::new(0),
            deep_count: AtomicU32::new(0),
            owned: AtomicBool::new(true),
            number,
            next: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    fn words(&self) -> impl Iterator<Item = &AtomicU64> {
        self.pins.iter().chain(core::iter::once(&self.deep))
    }

    #[cold]
    fn pin_deep(&'static self, epoch: u64) -> Pin {
        // Relaxed: `deep_count` is the owner's alone.
        let count = self.deep_count.load(Ordering::Relaxed);
        let more = count
            .checked_add(1)
            .expect("at most 2^32 pins of one thread at once");
        self.deep_count.store(more, Ordering::Relaxed);
        if count == 0 {
            // Release: as in `Domain::pin`.
            self.deep.store(word(epoch, Tag::ANY), Ordering::Release);
        }
        Pin::of(&self.deep, Holder::Deep(self))
    }
}

/// The epoch, the records, and what else the process has once. Under a model checker there is one per execution.
pub(crate) struct Domain {
    /// A multiple of [`EPOCH`].
    epoch: AtomicU64,
    records: AtomicPtr<Record>,
    /// How many records were made.
    numbers: AtomicU32,
    /// Pins of threads that could get no record: count in the low 20 bits, the oldest one's epoch in the 44 above.
    fallback: AtomicU64,
    pub(super) tags: AtomicU32,
    /// How often this process image was forked into a child: a map born under another count belongs to the parent.
    forks: AtomicU32,
}

#[cfg(not(any(cmap_loom, cmap_shuttle)))]
static DOMAIN: Domain = Domain::new();

#[cfg(not(any(cmap_loom, cmap_shuttle)))]
thread_local! {
    /// The thread's record.
    static LOCAL: Cell<Option<&'static Record>> = const { Cell::new(None) };
    /// The same, where pins need no fence of their own.
    static UNFENCED: Cell<Option<&'static Record>> = const { Cell::new(None) };
    static EXIT: Exit = const { Exit };
}

#[cfg(any(cmap_loom, cmap_shuttle))]
lazy_static! {
    static ref DOMAIN: Domain = Domain::new();
}

#[cfg(any(cmap_loom, cmap_shuttle))]
thread_local! {
    static LOCAL: Cell<Option<&'static Record>> = Cell::new(None);
    static UNFENCED: Cell<Option<&'static Record>> = Cell::new(None);
    static EXIT: Exit = Exit;
}

/// The process's domain.
#[inline]
pub(crate) fn domain() -> &'static Domain {
    &DOMAIN
}

/// Gives the thread's record back when the thread ends.
struct Exit;

impl Drop for Exit {
    fn drop(&mut self) {
        let _ = UNFENCED.try_with(Cell::take);
        let Some(record) = LOCAL.try_with(Cell::take).ok().flatten() else {
            return;
        };
        // Relaxed: our own pins. One that was leaked still protects what it showed, so its record stays taken.
        if record.words().all(|word| word.load(Ordering::Relaxed) == 0) {
            // Release: pairs with the Acquire in `Domain::free_record`.
            let order = if cfg!(planted_relaxed_exit) {
                Ordering::Relaxed
            } else {
                Ordering::Release
            };
            record.owned.store(false, order);
        }
    }
}

/// What [`Exit`] does, at the end of a thread's part in an execution: loom drops a thread's locals after those who wait for
/// it go on, and all of them at once.
#[cfg(cmap_loom)]
pub(crate) fn leave() {
    drop(Exit);
}

impl Domain {
    #[cfg(not(cmap_loom))]
    const fn new() -> Self {
        Self {
            epoch: AtomicU64::new(EPOCH),
            records: AtomicPtr::new(core::ptr::null_mut()),
            numbers: AtomicU32::new(0),
            fallback: AtomicU64::new(0),
            tags: AtomicU32::new(0),
            forks: AtomicU32::new(0),
        }
    }

    #[cfg(cmap_loom)]
    fn new() -> Self {
        Self {
            epoch: AtomicU64::new(EPOCH),
            records: AtomicPtr::new(core::ptr::null_mut()),
            numbers: AtomicU32::new(0),
            fallback: AtomicU64::new(0),
            tags: AtomicU32::new(0),
            forks: AtomicU32::new(0),
        }
    }

    /// Prepares for pins. `false`: no memory for the fork handler; no pool then, since a child would not know that it is one.
    pub(crate) fn prepare(&self) -> bool {
        os::register_barrier();
        os::detect_processor();
        #[cfg(any(cmap_loom, cmap_shuttle))]
        return true;
        #[cfg(not(any(cmap_loom, cmap_shuttle)))]
        {
            // Under no lock. Registered twice it counts forks twice, as good. Relaxed: nothing else hangs on it.
            static IS_DONE: AtomicBool = AtomicBool::new(false);
            if !IS_DONE.load(Ordering::Relaxed) {
                IS_DONE.store(os::on_fork_in_child(forked), Ordering::Relaxed);
            }
            IS_DONE.load(Ordering::Relaxed)
        }
    }

    /// See [`Domain::forks`].
    #[inline]
    pub(crate) fn forks(&self) -> u32 {
        // Relaxed: written in a forked child before it has a second thread.
        self.forks.load(Ordering::Relaxed)
    }

    /// Promises to look at what `tag`'s map shows, until the pin is dropped. Never waits and never fails.
    #[inline]
    pub(crate) fn pin(&'static self, tag: Tag) -> Pin {
        match self.pin_quick(&tag) {
            Some(pin) => pin,
            None => self.pin_slow(tag),
        }
    }

    /// As [`Domain::pin`], where that takes but a store; else `None`.
    #[inline(always)]
    pub(crate) fn pin_quick(&'static self, tag: &Tag) -> Option<Pin> {
        if let Some(record) = UNFENCED.try_with(Cell::get).ok().flatten() {
            let slot = &record.pins[0];
            // Relaxed: our own word.
            if slot.load(Ordering::Relaxed) == 0 {
                let pin = self.pin_at(slot, tag);
                // The barrier itself is made by `stamp`; here the compiler must merely keep the order.
                compiler_fence(Ordering::SeqCst);
                return Some(pin);
            }
        }
        None
    }

    #[inline(always)]
    fn pin_at(&'static self, slot: &'static AtomicU64, tag: &Tag) -> Pin {
        // Acquire: pairs with the AcqRel in `stamp`: who pins above a stamp sees what was unlinked before it.
        let epoch = self.epoch.load(Ordering::Acquire);
        interleave::point();
        // Release: pairs with the Acquire in `oldest_pin`: who reads this word, and not the zero before it, must come after
        // what our former pin in this slot read.
        slot.store(word(epoch, *tag), pin_order());
        Pin::of(slot, Holder::Alone)
    }

    fn pin_in(&'static self, record: &'static Record, tag: Tag) -> Pin {
        let is_free = |slot: &&AtomicU64| slot.load(Ordering::Relaxed) == 0;
        let pin = match record.pins.iter().find(is_free) {
            Some(slot) => self.pin_at(slot, &tag),
            // Acquire: as in `pin_at`.
            None => record.pin_deep(self.epoch.load(Ordering::Acquire)),
        };
        self.barrier_after_pin();
        pin
    }

    /// Orders the pin's store before every later load. Its partner is the barrier in [`Domain::stamp`].
    fn barrier_after_pin(&self) {
        if cfg!(planted_no_barrier_after_pin) {
            return;
        }
        if cfg!(cmap_tsan) {
            // SeqCst, AcqRel in effect: ThreadSanitizer knows no fences; a read-modify-write of the epoch orders as well.
            self.epoch.fetch_add(0, Ordering::SeqCst);
        } else if unfenced() {
            // As in `pin_quick`.
            compiler_fence(Ordering::SeqCst);
        } else {
            // SeqCst: pairs with the fence in `stamp`.
            fence(Ordering::SeqCst);
        }
    }

    /// A thread's first pin, a nested one, or one that needs a fence.
    #[cold]
    #[inline(never)]
    fn pin_slow(&'static self, tag: Tag) -> Pin {
        match local().or_else(|| self.claim_record()) {
            Some(record) => {
                if unfenced() {
                    // From now on; the barriers may have been had only after this thread's first pin.
                    let _ = UNFENCED.try_with(|local| local.set(Some(record)));
                }
                self.pin_in(record, tag)
            }
            None => self.pin_fallback(),
        }
    }

    fn claim_record(&'static self) -> Option<&'static Record> {
        // A thread whose locals are gone could not give a record back.
        EXIT.try_with(|_| ()).ok()?;
        let record = self.free_record().or_else(|| self.new_record())?;
        LOCAL.try_with(|local| local.set(Some(record))).ok()?;
        Some(record)
    }

    fn free_record(&'static self) -> Option<&'static Record> {
        loop {
            // Relaxed: a hint. The lowest number, since the first ones have counters of their own in each map.
            let free = |record: &&Record| !record.owned.load(Ordering::Relaxed);
            let record = self
                .records()
                .filter(free)
                .min_by_key(|record| record.number)?;
            // Acquire: pairs with the Release in `Exit::drop`: the former owner's last words come first.
            let taken =
                record
                    .owned
                    .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
            if taken.is_ok() {
                return Some(record);
            }
        }
    }

    fn new_record(&'static self) -> Option<&'static Record> {
        let mut record = try_box(Record::new(0)).ok()?;
        // Relaxed: no two are equal.
        record.number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let record = Box::into_raw(record);
        // SAFETY: Records-live: from here on it is never freed (under a model checker: not before the domain is).
        let shared: &'static Record = unsafe { &*record };
        let mut head = self.records.load(Ordering::Relaxed);
        loop {
            shared.next.store(head, Ordering::Relaxed);
            // Release: pairs with the Acquire in `records`: who finds the record finds it initialised.
            match self
                .records
                .compare_exchange(head, record, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return Some(shared),
                Err(now) => head = now,
            }
        }
    }

    fn records(&self) -> impl Iterator<Item = &'static Record> + use<> {
        // Acquire: pairs with the Release in `new_record`.
        let mut at = self.records.load(Ordering::Acquire);
        core::iter::from_fn(move || {
            let record = NonNull::new(at)?;
            // SAFETY: Records-live.
            let record: &'static Record = unsafe { record.as_ref() };
            // Relaxed: written before the record was published.
            at = record.next.load(Ordering::Relaxed);
            Some(record)
        })
    }

    #[cold]
    pub(crate) fn pin_fallback(&'static self) -> Pin {
        // SeqCst: a full barrier between this pin and later loads; pairs with the barrier in `stamp`.
        let mut old = self.fallback.load(Ordering::SeqCst);
        loop {
            let count = old & COUNT_MASK;
            assert!(
                count < COUNT_MASK,
                "at most a million pins of threads that have no record"
            );
            // SeqCst: as above.
            let epoch = if count == 0 {
                // One too large for its bits is taken for an older one, which protects more.
                (self.epoch.load(Ordering::SeqCst) >> TAG_BITS).min(u64::MAX >> COUNT_BITS)
            } else {
                old >> COUNT_BITS
            };
            let new = epoch << COUNT_BITS | (count + 1);
            // SeqCst: as above.
            match self
                .fallback
                .compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(_) => break,
                Err(now) => old = now,
            }
        }
        // SeqCst: pairs with the fence in `stamp`.
        fence(Ordering::SeqCst);
        Pin::of(&self.fallback, Holder::Fallback)
    }

    /// The epoch, read by one that comes after what it has unlinked: whoever pins above it sees that.
    #[cfg(not(any(cmap_loom, cmap_shuttle)))]
    pub(crate) fn now(&self) -> u64 {
        // AcqRel: a later `stamp` continues this, and pairs with the Acquire in `pin_in`.
        self.epoch.fetch_add(0, Ordering::AcqRel) >> TAG_BITS
    }

    /// Ends an epoch: everything unlinked before this call may be freed once [`Domain::oldest_pin`], called afterwards,
    /// is above the returned stamp.
    pub(crate) fn stamp(&self) -> u64 {
        // AcqRel: pairs with the Acquire in `pin_in`.
        let stamp = self.epoch.fetch_add(EPOCH, Ordering::AcqRel) >> TAG_BITS;
        interleave::point();
        os::heavy_barrier();
        // SeqCst: pairs with the fence or barrier in `barrier_after_pin`.
        fence(Ordering::SeqCst);
        stamp
    }

    /// The epoch of the oldest pin that can see what `tag`'s map unlinked; `u64::MAX` if there is none.
    pub(crate) fn oldest_pin(&self, tag: Tag) -> u64 {
        let mut oldest = u64::MAX;
        for record in self.records() {
            for slot in record.words() {
                // Acquire: pairs with the Release of `pin_in` and `Pin::drop`: what we free comes after what they read.
                let seen = slot.load(Ordering::Acquire);
                let theirs = seen & TAG_MASK;
                if seen != 0 && (theirs == tag.0 || theirs == Tag::ANY.0) {
                    oldest = oldest.min(seen >> TAG_BITS);
                }
            }
            interleave::point();
        }
        // Acquire: as above.
        let seen = self.fallback.load(Ordering::Acquire);
        if seen & COUNT_MASK != 0 {
            oldest = oldest.min(seen >> COUNT_BITS);
        }
        oldest
    }

    /// The number of the thread's record, if it has one: below how many threads lived at once, and no other thread's that lives.
    #[inline(always)]
    pub(crate) fn record_number(&self) -> Option<usize> {
        let number = local()?.number as usize;
        Some(if cfg!(planted_one_number) { 0 } else { number })
    }

    /// How many records there are: at most the peak of threads that lived at once.
    pub(crate) fn record_count(&self) -> usize {
        self.records().count()
    }
}

#[cfg(any(cmap_loom, cmap_shuttle))]
impl Drop for Domain {
    fn drop(&mut self) {
        let mut at = self.records.with_mut(|head| *head);
        while let Some(record) = NonNull::new(at) {
            // SAFETY: Records-live: the execution is over, all its threads are joined.
            let mut record = unsafe { Box::from_raw(record.as_ptr()) };
            at = record.next.with_mut(|next| *next);
        }
    }
}

const fn pin_order() -> Ordering {
    if cfg!(planted_relaxed_pin) {
        return Ordering::Relaxed;
    }
    Ordering::Release // pairs with the Acquire in `oldest_pin`
}

/// Whether a pin needs no fence.
fn unfenced() -> bool {
    cfg!(not(any(cmap_loom, cmap_shuttle, cmap_tsan))) && os::asymmetric()
}

fn local() -> Option<&'static Record> {
    LOCAL.try_with(Cell::get).ok().flatten()
}

/// In a forked child, in its only thread: the other threads' pins are gone, and the parent's maps are foreign.
#[cfg(not(any(cmap_loom, cmap_shuttle)))]
unsafe extern "C" fn forked() {
    let own = local();
    for record in DOMAIN.records() {
        if own.is_some_and(|own| core::ptr::eq(own, record)) {
            continue;
        }
        for word in record.words() {
            // Relaxed: there is no other thread.
            word.store(0, Ordering::Relaxed);
        }
        record.deep_count.store(0, Ordering::Relaxed);
        record.owned.store(false, Ordering::Relaxed);
    }
    DOMAIN.fallback.store(0, Ordering::Relaxed);
    DOMAIN.forks.fetch_add(1, Ordering::Relaxed);
}

#[derive(Clone, Copy)]
enum Holder {
    Alone,
    Deep(&'static Record),
    Fallback,
}

/// A promise to look: what was reachable while it lives stays as it is. Not sent to other threads.
pub(crate) struct Pin {
    slot: &'static AtomicU64,
    holder: Holder,
    _not_send: PhantomData<*const ()>,
}

impl Pin {
    #[inline]
    fn of(slot: &'static AtomicU64, holder: Holder) -> Self {
        Self {
            slot,
            holder,
            _not_send: PhantomData,
        }
    }

    /// The epoch from which on it protects.
    #[cfg(not(any(cmap_loom, cmap_shuttle)))]
    pub(crate) fn epoch(&self) -> u64 {
        // Relaxed: our own word; of a shared one, no later than ours.
        self.slot.load(Ordering::Relaxed) >> TAG_BITS
    }

    #[cold]
    fn drop_slow(&self) {
        match self.holder {
            Holder::Alone => {}
            Holder::Deep(record) => {
                // Relaxed: the owner's own count.
                let left = record.deep_count.load(Ordering::Relaxed) - 1;
                record.deep_count.store(left, Ordering::Relaxed);
                if left == 0 {
                    // Release: as in `drop`.
                    record.deep.store(0, Ordering::Release);
                }
            }
            Holder::Fallback => {
                // Release: as in `drop`. The epoch stays until the count is zero.
                self.slot.fetch_sub(1, Ordering::Release);
            }
        }
    }
}

impl Drop for Pin {
    #[inline]
    fn drop(&mut self) {
        if matches!(self.holder, Holder::Alone) {
            // Release: pairs with the Acquire in `oldest_pin`: our reads come before what is freed.
            let order = if cfg!(planted_relaxed_unpin) {
                Ordering::Relaxed
            } else {
                Ordering::Release
            };
            self.slot.store(0, order);
        } else {
            self.drop_slow();
        }
    }
}

/// Proof that no pin can see the thing at hand any more. Only [`super::limbo`] and owners of everything make it.
pub(crate) struct Quiesced(());

impl Quiesced {
    /// For a thing that was never published.
    pub(crate) fn unseen() -> Self {
        Self(())
    }

    /// For `limbo`, after its look at the pins, and for owners by `&mut`, whom no reader can share with.
    pub(super) fn assert() -> Self {
        Self(())
    }
}

/// A pointer that readers follow under a pin and writers replace.
pub(crate) struct Shared<T: 'static> {
    at: AtomicPtr<Held<T>>,
    _owns: PhantomData<T>,
}

/// What [`Shared::swap`] took out: nobody finds it any more, but pins may still see it.
pub(crate) struct Unlinked<T: 'static>(NonNull<Held<T>>);

// SAFETY: it is a `Box<T>` whose readers may not be gone yet.
unsafe impl<T: Send + Sync + 'static> Send for Unlinked<T> {}
// SAFETY: as above; a shared one shows only `&T`.
unsafe impl<T: Send + Sync + 'static> Sync for Unlinked<T> {}

impl<T: 'static> Unlinked<T> {
    /// Frees it.
    pub(crate) fn free(self, _no_pin_sees_it: &Quiesced) {
        // SAFETY: Boxed, and Pinned-stays by the proof.
        bury(unsafe { Box::from_raw(self.0.as_ptr()) });
    }

    pub(crate) fn get(&self) -> &T {
        // SAFETY: Boxed: alive until `free` consumes the only handle.
        let held = unsafe { self.0.as_ref() };
        seen(held)
    }
}

impl<T: 'static> Shared<T> {
    #[cfg(not(cmap_loom))]
    pub(crate) const fn empty() -> Self {
        Self {
            at: AtomicPtr::new(core::ptr::null_mut()),
            _owns: PhantomData,
        }
    }

    #[cfg(cmap_loom)]
    pub(crate) fn empty() -> Self {
        Self {
            at: AtomicPtr::new(core::ptr::null_mut()),
            _owns: PhantomData,
        }
    }

    pub(crate) fn new(value: Box<T>) -> Self {
        let this = Self::empty();
        // Relaxed: nobody else has it yet.
        this.at.store(Box::into_raw(hold(value)), Ordering::Relaxed);
        this
    }

    /// What it points to now.
    #[inline]
    pub(crate) fn load<'p>(&self, _pin: &'p Pin) -> Option<&'p T> {
        // Acquire: pairs with the Release in `swap` and `set_if_empty`: who finds it finds it initialised.
        let at = NonNull::new(self.at.load(Ordering::Acquire))?;
        // SAFETY: Boxed and Pinned-stays.
        let held = unsafe { at.as_ref() };
        Some(seen(held))
    }

    /// Whether it still points to `value`.
    #[inline]
    pub(crate) fn is(&self, value: &T) -> bool {
        // Acquire: pairs with the Release in `swap`.
        core::ptr::eq(self.at.load(Ordering::Acquire).cast(), value)
    }

    /// Replaces what it points to. The caller retires what it gets.
    #[must_use]
    pub(crate) fn swap(&self, new: Option<Box<T>>) -> Option<Unlinked<T>> {
        let new = new.map_or(core::ptr::null_mut(), |new| Box::into_raw(hold(new)));
        // AcqRel: pairs with the Acquire in `load`, and with the Release by which the old value was stored.
        NonNull::new(self.at.swap(new, Ordering::AcqRel)).map(Unlinked)
    }

    /// Stores `new` where there is nothing; gives it back where there is something.
    pub(crate) fn set_if_empty(&self, new: Box<T>) -> Result<(), Box<T>> {
        let new = Box::into_raw(hold(new));
        // Release: pairs with the Acquire in `load`.
        match self.at.compare_exchange(
            core::ptr::null_mut(),
            new,
            Ordering::Release,
            Ordering::Relaxed,
        ) {
            Ok(_) => Ok(()),
            // SAFETY: Boxed: just made from a box, and not stored.
            Err(_) => Err(unhold(unsafe { Box::from_raw(new) })),
        }
    }
}

impl<T: 'static> Drop for Shared<T> {
    fn drop(&mut self) {
        if let Some(last) = self.swap(None) {
            // `&mut self`: no reader can follow this pointer any more.
            last.free(&Quiesced::assert());
        }
    }
}

/// A box, or the value back where there is no memory.
pub(crate) fn try_box<T>(value: T) -> Result<Box<T>, T> {
    let layout = Layout::new::<T>();
    assert!(layout.size() > 0, "boxes of nothing need no memory");
    // SAFETY: the layout's size is not zero.
    let at = unsafe { std::alloc::alloc(layout) }.cast::<T>();
    if at.is_null() {
        return Err(value);
    }
    // SAFETY: freshly allocated with `T`'s layout.
    unsafe { at.write(value) };
    // SAFETY: Boxed: the global allocator's memory, initialised.
    Ok(unsafe { Box::from_raw(at) })
}

#[cfg(all(test, not(any(cmap_loom, cmap_shuttle))))]
#[path = "epoch_tests.rs"]
mod tests;
