//! What a shared pointer points to: the value alone or, under a model checker, the value and a watch over it.
//!
//! Under a model checker nothing is freed while an execution runs: what should be goes to a graveyard of its thread of the
//! system. A pin that still looks at it is then told, instead of reading memory of somebody else: by loom, which orders its
//! look against the burial, or, under shuttle, because it finds what was buried. [`empty_graveyard`] frees the dead when all
//! looks are over.

#[cfg(not(any(cmap_loom, cmap_shuttle)))]
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

#[cfg(any(cmap_loom, cmap_shuttle))]
mod watched {
    use crate::base::sync::step;
    use core::any::Any;
    use core::cell::{Cell, RefCell};
    use core::mem::ManuallyDrop;
    #[cfg(cmap_loom)]
    use loom::cell::UnsafeCell;

    /// Tells looks and changes that are not ordered. Under shuttle all are.
    pub(in super::super) struct Watch {
        #[cfg(cmap_loom)]
        cell: UnsafeCell<()>,
    }

    impl Watch {
        pub(in super::super) fn new() -> Self {
            Self {
                #[cfg(cmap_loom)]
                cell: UnsafeCell::new(()),
            }
        }

        /// loom reports a change that this does not come before or after.
        pub(in super::super) fn look(&self) {
            #[cfg(cmap_loom)]
            self.cell.with(|_| ());
        }

        /// loom reports a look or change that this does not come before or after.
        pub(in super::super) fn change(&self) {
            #[cfg(cmap_loom)]
            self.cell.with_mut(|_| ());
        }
    }

    /// The value first, so that its address is the pointer's.
    #[repr(C)]
    pub(in super::super) struct Held<T> {
        value: T,
        watch: Watch,
        is_buried: Cell<bool>,
    }

    std::thread_local! {
        // A model checker runs all threads of an execution on one of the system's. Not dropped with that: where a model
        // failed, the dead are left alone.
        static GRAVEYARD: ManuallyDrop<RefCell<Vec<Box<dyn Any>>>> =
            const { ManuallyDrop::new(RefCell::new(Vec::new())) };
    }

    pub(in super::super) fn hold<T>(value: Box<T>) -> Box<Held<T>> {
        Box::new(Held {
            value: *value,
            watch: Watch::new(),
            is_buried: Cell::new(false),
        })
    }

    pub(in super::super) fn unhold<T>(held: Box<Held<T>>) -> Box<T> {
        Box::new(held.value)
    }

    /// Looks.
    pub(in super::super) fn seen<T>(held: &Held<T>) -> &T {
        step();
        held.watch.look();
        assert!(
            !held.is_buried.get(),
            "Pinned-stays is broken: what was freed is looked at"
        );
        &held.value
    }

    /// Frees it, as far as anyone can tell.
    pub(in super::super) fn bury<T: 'static>(held: Box<Held<T>>) {
        step();
        held.watch.change();
        held.is_buried.set(true);
        GRAVEYARD.with(|dead| dead.borrow_mut().push(held));
    }

    /// Frees the dead for good. All threads of the execution are over.
    pub(crate) fn empty_graveyard() {
        loop {
            // One at a time: what is freed may bury what it owned.
            let Some(dead) = GRAVEYARD.with(|dead| dead.borrow_mut().pop()) else {
                return;
            };
            drop(dead);
        }
    }
}

#[cfg(not(any(cmap_loom, cmap_shuttle)))]
pub(super) use plain::{Held, bury, hold, seen, unhold};
#[cfg(any(cmap_loom, cmap_shuttle))]
pub(crate) use watched::empty_graveyard;
#[cfg(any(cmap_loom, cmap_shuttle))]
pub(super) use watched::{Held, Watch, bury, hold, seen, unhold};
