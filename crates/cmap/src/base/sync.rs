//! Atomics, locks, threads, time and waiting, from std, from loom (`--cfg cmap_loom`) or from shuttle (`--cfg cmap_shuttle`).
//!
//! Everything that two threads share goes through this file, so that a model checker can stand in for the machine.
//! Under `--cfg cmap_tsan` a mutex has a word of its own beside std's: ThreadSanitizer does not see what happens inside of
//! std, and would report whatever a mutex orders. What std orders besides (the last drop of an `Arc`, the first use of a
//! `OnceLock`), its scenarios leave to one thread.

#[cfg(not(any(cmap_loom, cmap_shuttle)))]
pub(crate) use std::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    },
};

pub(crate) use core::sync::atomic::compiler_fence;
#[cfg(not(any(cmap_loom, cmap_shuttle)))]
use std::cell::Cell;

#[cfg(cmap_shuttle)]
pub(crate) use steps::{
    Arc, AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Instant, Ordering,
    fence, step,
};

#[cfg(not(cmap_shuttle))]
pub(crate) use std::time::Instant;

/// Where another thread may go on, if shuttle plays them. Atomics and locks are steps by themselves; memory that is read or
/// written as such needs one.
#[cfg(cmap_loom)]
pub(crate) fn step() {}

#[cfg(cmap_loom)]
pub(crate) use loom::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    },
};

/// A mutex without poisoning: nothing that it protects is left half-changed by a panic. The only foreign code that runs under one
/// is the hasher, under a seat's, where a panic skips an entry until the next walk.
pub(crate) struct Mutex<T>(imp::Mutex<T>);

pub(crate) use imp::Guard as MutexGuard;

impl<T> Mutex<T> {
    #[cfg(not(cmap_loom))]
    pub(crate) const fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    #[cfg(cmap_loom)]
    pub(crate) fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> imp::Guard<'_, T> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn try_lock(&self) -> Option<imp::Guard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}

impl<T> core::fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Mutex(..)")
    }
}

#[cfg(not(any(cmap_loom, cmap_shuttle, cmap_tsan)))]
mod imp {
    pub(crate) use std::sync::{Mutex, MutexGuard as Guard};
}

#[cfg(cmap_tsan)]
mod imp {
    use super::{AtomicU32, Ordering};
    use core::ops::{Deref, DerefMut};
    use std::sync::{LockResult, MutexGuard, PoisonError, TryLockError, TryLockResult};

    pub(crate) struct Mutex<T> {
        lock: std::sync::Mutex<T>,
        /// Stored before each unlocking, loaded after each locking.
        seen: AtomicU32,
    }

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self {
                lock: std::sync::Mutex::new(value),
                seen: AtomicU32::new(0),
            }
        }

        pub(crate) fn lock(&self) -> LockResult<Guard<'_, T>> {
            let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(self.hold(guard))
        }

        pub(crate) fn try_lock(&self) -> TryLockResult<Guard<'_, T>> {
            match self.lock.try_lock() {
                Ok(guard) => Ok(self.hold(guard)),
                Err(TryLockError::Poisoned(poisoned)) => Ok(self.hold(poisoned.into_inner())),
                Err(TryLockError::WouldBlock) => Err(TryLockError::WouldBlock),
            }
        }

        fn hold<'m>(&'m self, guard: MutexGuard<'m, T>) -> Guard<'m, T> {
            // Acquire: pairs with the Release in `Guard::drop`.
            self.seen.load(Ordering::Acquire);
            Guard {
                guard,
                seen: &self.seen,
            }
        }
    }

    pub(crate) struct Guard<'m, T> {
        guard: MutexGuard<'m, T>,
        seen: &'m AtomicU32,
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            &self.guard
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.guard
        }
    }

    impl<T> Drop for Guard<'_, T> {
        fn drop(&mut self) {
            // Release: pairs with the Acquire in `hold`. The mutex is unlocked after this.
            self.seen.store(0, Ordering::Release);
        }
    }
}

#[cfg(cmap_shuttle)]
mod imp {
    pub(crate) use shuttle::sync::{Mutex, MutexGuard as Guard};
}

#[cfg(cmap_loom)]
mod imp {
    pub(crate) use loom::sync::{Mutex, MutexGuard as Guard};
}

/// How a thread waits for another that holds a lock word: it spins, then yields, then sleeps; nobody wakes it.
///
/// 100 spins, 10 yields, then 50 µs doubling to 1 ms: a holder that was preempted needs the processor more than we do.
pub(crate) struct Backoff {
    steps: u32,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { steps: 0 }
    }

    #[cfg(not(any(cmap_loom, cmap_shuttle)))]
    pub(crate) fn wait(&mut self) {
        const SPINS: u32 = 100;
        const YIELDS: u32 = 10;
        match self.steps {
            0..SPINS => std::hint::spin_loop(),
            SPINS..110 => std::thread::yield_now(),
            _ => {
                let doublings = (self.steps - SPINS - YIELDS).min(5);
                let micros = (50u64 << doublings).min(1000);
                std::thread::sleep(std::time::Duration::from_micros(micros));
            }
        }
        self.steps = self.steps.saturating_add(1);
    }

    #[cfg(any(cmap_loom, cmap_shuttle))]
    pub(crate) fn wait(&mut self) {
        self.steps += 1;
        let_others_go_on();
    }
}

#[cfg(cmap_loom)]
use loom::thread::yield_now as let_others_go_on;
#[cfg(cmap_shuttle)]
use shuttle::thread::yield_now as let_others_go_on;

/// Lets other threads go on for a while.
pub(crate) fn rest(time: std::time::Duration) {
    #[cfg(not(any(cmap_loom, cmap_shuttle)))]
    std::thread::sleep(time);
    #[cfg(any(cmap_loom, cmap_shuttle))]
    {
        let _ = time;
        let_others_go_on();
    }
}

/// Threads of our own.
pub(crate) mod thread {
    #[cfg(cmap_shuttle)]
    pub(crate) use shuttle::thread::{Builder, JoinHandle, current};
    #[cfg(not(cmap_shuttle))]
    pub(crate) use std::thread::{Builder, JoinHandle, current, park_timeout};

    /// shuttle does not model time: its own waits to be woken for ever.
    #[cfg(cmap_shuttle)]
    pub(crate) fn park_timeout(time: std::time::Duration) {
        super::rest(time);
    }
}

/// Which lane and which seat the thread prefers, in any map: modulo as many as there are. It starts as the thread's own number
/// and moves on when another thread is met there: see [`prefer_next`].
#[cfg(not(any(cmap_loom, cmap_shuttle)))]
#[inline]
pub(crate) fn thread_hint() -> usize {
    match HINT.get() {
        usize::MAX => first_hint(),
        number => number,
    }
}

#[cfg(not(any(cmap_loom, cmap_shuttle)))]
#[cold]
#[inline(never)]
fn first_hint() -> usize {
    HINT.set(thread_number());
    thread_number()
}

/// The thread prefers the next one from now on. Who holds what it met may have lost its processor, and then that takes a time
/// slice: thousands of writes.
#[cfg(not(any(cmap_loom, cmap_shuttle)))]
pub(crate) fn prefer_next() {
    HINT.set(thread_hint().wrapping_add(1));
}

#[cfg(not(any(cmap_loom, cmap_shuttle)))]
thread_local! { static HINT: Cell<usize> = const { Cell::new(usize::MAX) } }

/// A number that no other thread has.
#[cfg(not(any(cmap_loom, cmap_shuttle)))]
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! { static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) } }
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            // Relaxed: no two are equal, and nothing else matters.
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

#[cfg(cmap_loom)]
pub(crate) fn thread_hint() -> usize {
    0
}

/// In a model each has its place.
#[cfg(any(cmap_loom, cmap_shuttle))]
pub(crate) fn prefer_next() {}

#[cfg(any(cmap_loom, cmap_shuttle))]
fn thread_number() -> usize {
    thread_hint()
}

/// What a thread leaves in a lock word to know that it is its own. Never 0.
#[inline]
pub(crate) fn thread_mark() -> u64 {
    thread_number() as u64 + 1
}

#[cfg(cmap_shuttle)]
pub(crate) fn thread_hint() -> usize {
    shuttle::current::me().into()
}

/// The machine as shuttle plays it: std's atomics, of which every operation is a step.
///
/// shuttle plays one thread at a time, in sequential consistency, so every order is as good, and a fence is nothing. Its own
/// atomics are fifteen times as large and hash the place where they are made; a map has thousands of them.
#[cfg(cmap_shuttle)]
mod steps {
    use std::sync::atomic;
    use std::time::Duration;

    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic::Ordering;

    pub(crate) fn step() {
        // It does not sleep: this is shuttle's plain step.
        shuttle::thread::sleep(Duration::ZERO);
    }

    pub(crate) fn fence(_: Ordering) {}

    macro_rules! stepped {
        ($name:ident $(<$of:ident>)?, $value:ty $(, $change:ident)*) => {
            #[derive(Debug)]
            pub(crate) struct $name $(<$of>)? (atomic::$name $(<$of>)?);

            #[allow(dead_code)]
            impl $(<$of>)? $name $(<$of>)? {
                pub(crate) const fn new(value: $value) -> Self {
                    Self(atomic::$name::new(value))
                }

                pub(crate) fn load(&self, _: Ordering) -> $value {
                    step();
                    self.0.load(Ordering::Relaxed)
                }

                pub(crate) fn store(&self, value: $value, _: Ordering) {
                    step();
                    self.0.store(value, Ordering::Relaxed);
                }

                pub(crate) fn swap(&self, value: $value, _: Ordering) -> $value {
                    step();
                    self.0.swap(value, Ordering::Relaxed)
                }

                pub(crate) fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    _: Ordering,
                    _: Ordering,
                ) -> Result<$value, $value> {
                    step();
                    self.0.compare_exchange(current, new, Ordering::Relaxed, Ordering::Relaxed)
                }

                $(pub(crate) fn $change(&self, value: $value, _: Ordering) -> $value {
                    step();
                    self.0.$change(value, Ordering::Relaxed)
                })*

                /// As loom's: for the only owner.
                pub(crate) fn with_mut<R>(&mut self, f: impl FnOnce(&mut $value) -> R) -> R {
                    f(self.0.get_mut())
                }
            }
        };
    }

    stepped!(AtomicBool, bool);
    stepped!(AtomicPtr<T>, *mut T);
    stepped!(AtomicI64, i64, fetch_add, fetch_sub);
    stepped!(AtomicU32, u32, fetch_add, fetch_sub, fetch_or);
    stepped!(AtomicU64, u64, fetch_add, fetch_sub);
    stepped!(AtomicUsize, usize, fetch_add, fetch_sub, fetch_min);

    impl Default for AtomicU64 {
        fn default() -> Self {
            Self::new(0)
        }
    }

    /// Time as the schedule has it, so that it can be played again: a microsecond a step.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Instant(usize);

    impl Instant {
        pub(crate) fn now() -> Self {
            Self(shuttle::current::context_switches())
        }

        pub(crate) fn elapsed(self) -> Duration {
            Duration::from_micros((shuttle::current::context_switches() - self.0) as u64)
        }
    }
}
