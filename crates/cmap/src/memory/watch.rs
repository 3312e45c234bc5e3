//! What a shared pointer points to: the value alone or, under loom, the value and a cell that watches over it.
//!
//! Under loom nothing is freed while an execution runs: what should be goes to a graveyard of its thread of the system.
//! A pin that still looks at it is then told by loom, which orders its look against the burial, instead of reading memory
//! of somebody else. [`empty_graveyard`] frees the dead when all looks are over.

#[cfg(not(cmap_loom))]
mod plain {
    /// The value itself.
    pub(in super::super) type Held<T> = T;

    #[inline]
    pub(in super::super) fn hold<T>(value: Box<T>) -> Box<T> {
        value
    }

    #[inline]
    pub(in super::super) fn unhold<T>(held: Box<T>) -> Box<T> {
        held
    }

    #[inline]
    pub(in super::super) fn seen<T>(held: &T) -> &T {
        held
    }

    #[inline]
    pub(in super::super) fn bury<T>(held: Box<T>) {
        drop(held);
    }
}

#[cfg(cmap_loom)]
mod watched {
    use core::any::Any;
    use core::cell::RefCell;
    use loom::cell::UnsafeCell;

    /// The value first, so that its address is the pointer's.
    #[repr(C)]
    pub(in super::super) struct Held<T> {
        value: T,
        watch: UnsafeCell<()>,
    }

    std::thread_local! {
        // loom runs all threads of an execution on one of the system's.
        static GRAVEYARD: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
    }

    pub(in super::super) fn hold<T>(value: Box<T>) -> Box<Held<T>> {
        Box::new(Held {
            value: *value,
            watch: UnsafeCell::new(()),
        })
    }

    pub(in super::super) fn unhold<T>(held: Box<Held<T>>) -> Box<T> {
        Box::new(held.value)
    }

    /// Looks: loom reports a burial that does not come after it.
    pub(in super::super) fn seen<T>(held: &Held<T>) -> &T {
        held.watch.with(|_| ());
        &held.value
    }

    /// Frees it, as far as anyone can tell.
    pub(in super::super) fn bury<T: 'static>(held: Box<Held<T>>) {
        held.watch.with_mut(|_| ());
        GRAVEYARD.with_borrow_mut(|dead| dead.push(held));
    }

    /// Frees the dead for good. All threads of the execution are over.
    pub(crate) fn empty_graveyard() {
        loop {
            // One at a time: what is freed may bury what it owned.
            let Some(dead) = GRAVEYARD.with_borrow_mut(Vec::pop) else {
                return;
            };
            drop(dead);
        }
    }
}

#[cfg(not(cmap_loom))]
pub(super) use plain::{Held, bury, hold, seen, unhold};
#[cfg(cmap_loom)]
pub(crate) use watched::empty_graveyard;
#[cfg(cmap_loom)]
pub(super) use watched::{Held, bury, hold, seen, unhold};
