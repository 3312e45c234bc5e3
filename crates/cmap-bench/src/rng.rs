//! Cheap choices: a bijective mix, a generator for random picks, and a random order of `0..n` that needs no memory.
//!
//! All of it runs inside the measured loops, so all of it costs a few nanoseconds; the *noop* store shows how many.

/// A bijection of the 64-bit words (two rounds of multiply and xor-shift).
#[inline(always)]
pub const fn mix(mut x: u64) -> u64 {
    x ^= x >> 32;
    x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^= x >> 32;
    x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 32)
}

/// A wyrand generator: one addition and one wide multiplication a draw.
pub struct Rng(u64);

impl Rng {
    /// The stream of one thread in one phase of a run.
    pub const fn new(seed: u64, phase: u64, thread: u64) -> Self {
        Self(mix(seed
            ^ mix(
                phase.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (thread << 32)
            )))
    }

    /// The next 64 bits.
    #[inline(always)]
    pub const fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let wide = (self.0 as u128).wrapping_mul((self.0 ^ 0xe703_7ed1_a0b4_28db) as u128);
        (wide >> 64) as u64 ^ wide as u64
    }

    /// A uniform number in `0..n`.
    #[inline(always)]
    pub const fn below(&mut self, n: u64) -> u64 {
        ((self.word() as u128 * n as u128) >> 64) as u64
    }
}

/// A fixed random order of `0..n`: a bijection of the next power of two, walked until it lands below `n`.
#[derive(Clone, Copy)]
pub struct Order {
    n: u64,
    mask: u64,
    shift: u32,
    key: u64,
}

impl Order {
    /// The order that `seed` gives.
    pub const fn new(n: u64, seed: u64) -> Self {
        let bits = if n <= 2 {
            2
        } else {
            64 - (n - 1).leading_zeros()
        };
        Self {
            n,
            mask: u64::MAX >> (64 - bits),
            shift: bits.div_ceil(2),
            key: mix(seed),
        }
    }

    /// The `i`-th of the order, for `i < n`.
    #[inline(always)]
    pub const fn at(&self, i: u64) -> u64 {
        let mut x = i;
        loop {
            x = (x ^ self.key) & self.mask;
            x = x.wrapping_mul(0x9e37_79b9_7f4a_7c15) & self.mask;
            x ^= x >> self.shift;
            x = x.wrapping_mul(0xd6e8_feb8_6659_fd93) & self.mask;
            x ^= x >> self.shift;
            if x < self.n {
                return x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_visits_each_once() {
        for n in [1, 2, 3, 7, 64, 1000, 4097] {
            let order = Order::new(n, 42);
            let mut seen = vec![false; n as usize];
            for i in 0..n {
                let at = order.at(i) as usize;
                assert!(!seen[at], "{at} twice of {n}");
                seen[at] = true;
            }
        }
    }

    #[test]
    fn draws_stay_below_and_differ() {
        let mut rng = Rng::new(1, 2, 3);
        let draws: Vec<u64> = (0..1000).map(|_| rng.below(1 << 40)).collect();
        assert!(draws.iter().all(|&d| d < 1 << 40));
        let mut sorted = draws.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), draws.len());
    }
}
