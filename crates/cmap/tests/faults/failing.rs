//! The allocator of this binary: the system's, but that the n-th allocation in the calls under test fails, on the thread that
//! planned it only. A test's own allocations in between neither fail nor count.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ptr, thread,
};

/// Which allocation is to fail: the `countdown`-th (1 = the next; 0 = none), and all after it if `sticky`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub countdown: usize,
    pub sticky: bool,
}

const NONE: Plan = Plan {
    countdown: 0,
    sticky: false,
};

thread_local! {
    static PLAN: Cell<Plan> = const { Cell::new(NONE) };
    static UNDER_TEST: Cell<bool> = const { Cell::new(false) };
    static FAULTS: Cell<usize> = const { Cell::new(0) };
}

/// From now on, what [`faulty`] runs on this thread meets `plan`.
pub fn plan(plan: Plan) {
    PLAN.set(plan);
    FAULTS.set(0);
}

/// Ends the plan, and gives the number of allocations that failed.
pub fn end() -> usize {
    PLAN.set(NONE);
    FAULTS.take()
}

/// Runs the call under test: only in here allocations count.
pub fn faulty<R>(call: impl FnOnce() -> R) -> R {
    UNDER_TEST.set(true);
    let result = call();
    UNDER_TEST.set(false);
    result
}

/// Runs what belongs to the test itself, in the middle of a call under test.
pub fn spared<R>(call: impl FnOnce() -> R) -> R {
    let under_test = UNDER_TEST.replace(false);
    let result = call();
    UNDER_TEST.set(under_test);
    result
}

/// Runs the call under test as the first of a new thread, which takes over the plan.
pub fn faulty_on_a_new_thread<R: Send>(call: impl FnOnce() -> R + Send) -> R {
    let plan = PLAN.get();
    let (result, plan, faults) = thread::scope(|scope| {
        let new = scope.spawn(move || {
            PLAN.set(plan);
            let result = faulty(call);
            (result, PLAN.replace(NONE), FAULTS.get())
        });
        new.join().expect("the call under test does not panic")
    });
    PLAN.set(plan);
    FAULTS.set(FAULTS.get() + faults);
    result
}

/// Whether this allocation is the one to fail.
fn fails() -> bool {
    if !UNDER_TEST.get() {
        return false;
    }
    let mut plan = PLAN.get();
    let hit = plan.countdown == 1;
    if plan.countdown > 1 || hit && !plan.sticky {
        plan.countdown -= 1;
        PLAN.set(plan);
    }
    FAULTS.set(FAULTS.get() + usize::from(hit));
    hit
}

pub struct Heap;

// SAFETY: every call goes on to `System` unchanged, or gives null, which says that there is no memory.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return ptr::null_mut();
        }
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return ptr::null_mut();
        }
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Shrinking may fail, too.
        if fails() {
            return ptr::null_mut();
        }
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.dealloc(block, layout) }
    }
}

#[test]
fn the_allocator_fails_as_planned() {
    let reserve = || faulty(|| Vec::<u8>::new().try_reserve(1_000).is_err());
    plan(Plan {
        countdown: 2,
        sticky: false,
    });
    let own = vec![1; 100];
    assert_eq!(
        ([reserve(), reserve(), reserve()], own.len()),
        ([false, true, false], 100)
    );
    assert_eq!(end(), 1);
    plan(Plan {
        countdown: 2,
        sticky: true,
    });
    assert_eq!(
        [
            reserve(),
            reserve(),
            faulty_on_a_new_thread(|| Vec::<u8>::new().try_reserve(1_000).is_err())
        ],
        [false, true, true]
    );
    assert_eq!(end(), 2);
    assert!(!reserve(), "fails after the end");
}
