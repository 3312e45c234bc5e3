//! Many keys at once: the memory that one waits for is asked for while others wait.
//!
//! A group of keys goes through the same steps as one: hash and home line, location, entry. Each step of the whole group
//! asks for the lines of the next, so that up to [`GROUP`] misses overlap; the answers are those of single look-ups, each
//! of its own instant. Source of the idea: "Improving hash join performance through prefetching", S. Chen et al., 2004.

use core::hash::BuildHasher;

use super::store::{Store, Unsure};
use super::write::{Expect, Refusal};
use crate::index::Glance;
use crate::memory::Pin;

/// Keys whose misses overlap. The memory of today's machines takes about as many at a time from one core.
pub(crate) const GROUP: usize = 16;

impl<S: BuildHasher> Store<S> {
    /// Shows the value of each key to `f`, with its place in `keys`, in their order. Returns how many there were.
    pub(crate) fn get_group<'p, K: AsRef<[u8]>>(
        &'p self,
        keys: &[K],
        pin: &'p Pin,
        mut f: impl FnMut(usize, Option<&'p [u8]>),
    ) -> usize {
        debug_assert!(keys.len() <= GROUP);
        let mut glances = [const { Glance::Unsure }; GROUP];
        self.ask_for(
            keys.iter().map(|key| self.hash(key.as_ref())),
            pin,
            &mut glances,
        );
        let mut hits = 0;
        for (n, (key, glance)) in keys.iter().zip(&glances).enumerate() {
            let key = key.as_ref();
            let value = match self.settle(*glance, key, pin) {
                Ok(value) => value,
                Err(Unsure) => self.get_slow(self.hash(key), key, pin),
            };
            hits += usize::from(value.is_some());
            f(n, value);
        }
        hits
    }

    /// Asks for the home lines of hashes, then for the entries that they lead to.
    #[inline]
    fn ask_for(&self, hashes: impl Iterator<Item = u64>, pin: &Pin, glances: &mut [Glance; GROUP]) {
        let Some(generation) = self.generation.load(pin) else {
            glances.fill(Glance::Absent);
            return;
        };
        let (index, pool) = (&generation.index, &*self.pool);
        let mut homes = [None; GROUP];
        for (home, hash) in homes.iter_mut().zip(hashes) {
            *home = index.home(pool, pin, hash);
            if let Some(home) = home {
                home.prefetch(pool);
            }
        }
        for (glance, home) in glances.iter_mut().zip(&homes) {
            let Some(home) = home else {
                continue;
            };
            *glance = home.glance();
            match *glance {
                Glance::Likely(at) => pool.arena().prefetch(at),
                Glance::Beyond => home.prefetch_overflow(pool, pin),
                Glance::Absent | Glance::Unsure => {}
            }
        }
        for (glance, home) in glances.iter_mut().zip(&homes) {
            if let (Glance::Beyond, Some(home)) = (&glance, home) {
                *glance = home.glance_overflow(pool, pin);
                if let Glance::Likely(at) = *glance {
                    pool.arena().prefetch(at);
                }
            }
        }
    }

    /// As [`Store::write`], of any value, where the hash is known.
    /// What fails comes with how many were stored before it.
    pub(crate) fn write_group<K: AsRef<[u8]>, V: AsRef<[u8]>, E: From<Refusal>>(
        &self,
        entries: &[Option<(K, V)>],
        check: impl Fn(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), (usize, E)> {
        let mut hashes = [0; GROUP];
        let mut count = 0;
        for (hash, (key, _)) in hashes.iter_mut().zip(entries.iter().flatten()) {
            *hash = self.hash(key.as_ref());
            count += 1;
        }
        self.ask_to_change(&hashes[..count]);
        for (n, (hash, (key, value))) in
            hashes.into_iter().zip(entries.iter().flatten()).enumerate()
        {
            let (key, value) = (key.as_ref(), value.as_ref());
            check(key, value).map_err(|error| (n, error))?;
            self.write_hashed(hash, key, value, Expect::Anything, |_| ())
                .map_err(|refusal| (n, E::from(refusal)))?;
        }
        Ok(())
    }

    /// Removes keys, at most [`GROUP`]. Returns how many there were.
    pub(crate) fn remove_group<K: AsRef<[u8]>>(&self, keys: &[K]) -> usize {
        let mut hashes = [0; GROUP];
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.hash(key.as_ref());
        }
        self.ask_to_change(&hashes[..keys.len()]);
        let removed = keys
            .iter()
            .zip(hashes)
            .filter(|(key, hash)| self.remove_hashed(*hash, key.as_ref(), |_| ()).is_some());
        removed.count()
    }

    /// Asks for what changes of these hashes will look at.
    fn ask_to_change(&self, hashes: &[u64]) {
        let pin = self.pin();
        let mut glances = [const { Glance::Unsure }; GROUP];
        self.ask_for(hashes.iter().copied(), &pin, &mut glances);
    }

    /// Asks for the home line of a hash.
    pub(crate) fn prefetch(&self, hash: u64) {
        let pin = self.pin();
        if let Some(generation) = self.generation.load(&pin) {
            if let Some(home) = generation.index.home(&self.pool, &pin, hash) {
                home.prefetch(&self.pool);
            }
        }
    }
}
