//! Atomics, locks and waiting, from std or from loom (`--cfg cmap_loom`).
//!
//! Everything that two threads share goes through this file, so that a model checker can stand in for the machine.
//! Under `--cfg cmap_tsan` a mutex has a word of its own beside std's: ThreadSanitizer does not see what happens inside of
//! std, and would report whatever a mutex orders. What std orders besides (the last drop of an `Arc`, the first use of a
//! `OnceLock`), its scenarios leave to one thread.

#[cfg(not(cmap_loom))]
pub(crate) use std::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    },
};

pub(crate) use core::sync::atomic::compiler_fence;

#[cfg(cmap_loom)]
pub(crate) use loom::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    },
};

/// A mutex without poisoning: nothing that it protects is left half-changed by a panic, because no foreign code runs under it.
pub(crate) struct Mutex<T>(imp::Mutex<T>);

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

#[cfg(not(any(cmap_loom, cmap_tsan)))]
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

    #[cfg(not(cmap_loom))]
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

    #[cfg(cmap_loom)]
    pub(crate) fn wait(&mut self) {
        self.steps += 1;
        loom::thread::yield_now();
    }
}

/// Lets other threads go on for a while.
pub(crate) fn rest(time: std::time::Duration) {
    #[cfg(not(cmap_loom))]
    std::thread::sleep(time);
    #[cfg(cmap_loom)]
    {
        let _ = time;
        loom::thread::yield_now();
    }
}

/// A small number that differs between threads as far as possible: which lane and which counters a thread prefers.
#[cfg(not(cmap_loom))]
#[inline]
pub(crate) fn thread_hint() -> usize {
    use std::cell::Cell;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! { static HINT: Cell<usize> = const { Cell::new(usize::MAX) } }
    HINT.with(|hint| {
        if hint.get() == usize::MAX {
            // Relaxed: any distribution will do.
            hint.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        hint.get()
    })
}

#[cfg(cmap_loom)]
pub(crate) fn thread_hint() -> usize {
    0
}
