//! Points at which the tests let other threads go ahead (`--cfg cmap_stress`); without the cfg, nothing.
//!
//! A protocol is interesting between two of its steps, and on real threads it is hardly ever interrupted there: the steps are
//! nanoseconds apart. A thread that was given a seed yields its processor at every n-th point on average, as the seed decides;
//! one without a seed never does.

/// Here another thread may come between.
#[cfg(not(cmap_stress))]
#[inline(always)]
pub(crate) fn point() {}

/// The calling thread yields as `seed` decides from here on: at one point in 2 to 32. 0: never.
#[cfg(not(cmap_stress))]
pub(crate) fn seed(_seed: u64) {}

#[cfg(cmap_stress)]
pub(crate) use real::{point, seed};

#[cfg(cmap_stress)]
mod real {
    use std::cell::Cell;

    thread_local! {
        /// The state of the generator (0: none), and how many bits of it must be zero to yield.
        static STATE: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
    }

    pub(crate) fn seed(seed: u64) {
        STATE.set((seed, 1 + (seed % 5) as u32));
    }

    pub(crate) fn point() {
        let (mut state, bits) = STATE.get();
        if state == 0 {
            return;
        }
        // xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        STATE.set((state, bits));
        if state >> (64 - bits) == 0 {
            std::thread::yield_now();
        }
    }
}
