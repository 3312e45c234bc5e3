//! The measurement itself: load, look up, perhaps a mixed phase, delete, check, drop.
//!
//! Every pass runs on as many threads as asked for, which take batches of entries from a common counter. Before a thread
//! works on a batch it reads its bytes, so that what is waited for is the store and not the packed file. A pass lasts
//! from the first thread's start to the last one's end; memory is read between passes, when their threads have ended and
//! nobody has asked an allocator to give anything back. The first wrong answer ends it all.

use std::{
    hint, io,
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use crate::{memory, packed::Entries, store::Store};

use super::{
    message::{Measured, Pass},
    order::{Scattered, is_kept, is_looked_up, kept},
};

/// Entries that a thread takes at once.
const BATCH: usize = 64;
/// How far into an entry its bytes are read ahead.
const AHEAD_BYTES: usize = 4096;
const CACHE_LINE_BYTES: usize = 64;
/// Pairs of readings from which the clock's cost is taken.
const CLOCK_PAIRS: u32 = 100_000;
/// How much of a key is shown.
const SHOWN_BYTES: usize = 80;

/// What to measure with.
pub struct Bench<'b> {
    pub entries: &'b Entries,
    pub threads: usize,
    /// Lookups of a hundred operations in a mixed phase, if there is to be one.
    pub mix: Option<u8>,
    /// Told now and then how many entries a pass has behind it.
    pub watch: &'b (dyn Fn(Pass, u64) + Sync),
}

/// An entry, and its number.
#[derive(Clone, Copy)]
struct Entry<'e> {
    number: usize,
    key: &'e [u8],
    value: &'e [u8],
}

impl Bench<'_> {
    /// Measures the store that `make` makes; `Err` says what it did wrong.
    pub fn run<S: Store>(
        &self,
        make: impl FnOnce() -> Result<S, String>,
    ) -> Result<Measured, String> {
        let clock_ns = clock_ns();
        self.entries.touch();
        let baseline = memory::resident().map_err(unmeasured)?;
        let above_baseline = || {
            memory::resident()
                .map(|now| now.saturating_sub(baseline))
                .map_err(unmeasured)
        };

        let store = make()?;
        let (load, worst_insert) = self.load(&store)?;
        let loaded_bytes = above_baseline()?;
        expect_len(&store, self.entries.len(), "after loading")?;
        let lookup = self.look_up(&store)?;
        let mixed = self
            .mix
            .map(|percent| self.mixed(&store, percent))
            .transpose()?;
        self.delete(&store)?;
        let left_bytes = above_baseline()?;
        expect_len(&store, kept(self.entries.len()), "after deleting")?;
        self.check(&store)?;
        let start = Instant::now();
        drop(store);
        Ok(Measured {
            loaded_bytes,
            left_bytes,
            load_ns: nanoseconds(load),
            lookup_ns: nanoseconds(lookup),
            mixed_ns: mixed.map(nanoseconds),
            worst_insert_ns: nanoseconds(worst_insert),
            drop_ns: nanoseconds(start.elapsed()),
            clock_ns,
        })
    }

    /// Puts all entries in, in the order of the input, and times each insert. Says how long all and the worst one took.
    fn load(&self, store: &impl Store) -> Result<(Duration, Duration), String> {
        let (took, worst) = self.pass(Pass::Load, |worst: &mut Duration, entry| {
            let start = Instant::now();
            let inserted = store.insert(entry.key, entry.value);
            let took = start.elapsed();
            *worst = took.max(*worst);
            expect_inserted(inserted, entry)
        })?;
        Ok((took, worst.into_iter().max().expect("a thread at least")))
    }

    /// Looks all entries up and compares every byte.
    fn look_up(&self, store: &impl Store) -> Result<Duration, String> {
        Ok(self
            .pass(Pass::LookUp, |(), entry| expect_value(store, entry))?
            .0)
    }

    /// Looks up so many entries of a hundred, and replaces the values of the others.
    fn mixed(&self, store: &impl Store, percent: u8) -> Result<Duration, String> {
        let look_up_or_replace = |other: &mut Vec<u8>, entry: Entry<'_>| {
            if is_looked_up(entry.number, percent) {
                return expect_value(store, entry);
            }
            other.clear();
            other.extend(another(entry.value));
            expect_inserted(store.insert(entry.key, other), entry)
        };
        Ok(self.pass(Pass::Mixed, look_up_or_replace)?.0)
    }

    fn delete(&self, store: &impl Store) -> Result<(), String> {
        let delete = |(): &mut (), entry: Entry<'_>| {
            if is_kept(entry.number) || store.remove(entry.key) {
                return Ok(());
            }
            Err(format!(
                "wrong answer: key {} is not there to be deleted",
                shown(entry.key)
            ))
        };
        self.pass(Pass::Delete, delete).map(|_| ())
    }

    /// What was deleted is absent, what was kept is as it was.
    fn check(&self, store: &impl Store) -> Result<(), String> {
        let check = |(): &mut (), entry: Entry<'_>| {
            if is_kept(entry.number) {
                let is_replaced = self
                    .mix
                    .is_some_and(|percent| !is_looked_up(entry.number, percent));
                return match is_replaced {
                    true => expect(store, entry, |value| {
                        value.iter().copied().eq(another(entry.value))
                    }),
                    false => expect_value(store, entry),
                };
            }
            match store.get_with(entry.key, |_| ()) {
                None => Ok(()),
                Some(()) => Err(format!(
                    "wrong answer: key {} is still there, though deleted",
                    shown(entry.key)
                )),
            }
        };
        self.pass(Pass::Check, check).map(|_| ())
    }

    /// Does something with every entry, on all threads. Says how long it took, and what each thread noted.
    fn pass<N, F>(&self, pass: Pass, work: F) -> Result<(Duration, Vec<N>), String>
    where
        N: Default + Send,
        F: Fn(&mut N, Entry<'_>) -> Result<(), String> + Sync,
    {
        let (next, wrong, stop) = (
            AtomicUsize::new(0),
            Mutex::new(None),
            AtomicBool::new(false),
        );
        let gate = RwLock::new(());
        let order = Scattered::new(self.entries.len());
        let worker = || {
            let mut batch = Vec::with_capacity(BATCH);
            let mut noted = N::default();
            drop(gate.read());
            let start = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                let place = next.fetch_add(BATCH, Ordering::Relaxed);
                if place >= self.entries.len() {
                    break;
                }
                self.fetch(pass, &order, place, &mut batch);
                if let Err(reason) = batch.iter().try_for_each(|&entry| work(&mut noted, entry)) {
                    wrong
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .get_or_insert(reason);
                    stop.store(true, Ordering::Relaxed);
                }
                (self.watch)(pass, (place + batch.len()) as u64);
            }
            (start, Instant::now(), noted)
        };
        let spans: Vec<_> = thread::scope(|scope| {
            // They start together when all are there, or not at all.
            let closed = gate.write();
            let spawn = |_| thread::Builder::new().spawn_scoped(scope, worker);
            let workers: io::Result<Vec<_>> = (0..self.threads).map(spawn).collect();
            stop.store(workers.is_err(), Ordering::Relaxed);
            drop(closed);
            let workers = workers
                .map_err(|error| format!("{} threads cannot be started: {error}", self.threads))?;
            let join = |worker: ScopedJoinHandle<'_, _>| {
                worker.join().map_err(|_| "a thread panicked".to_string())
            };
            workers.into_iter().map(join).collect::<Result<_, String>>()
        })?;
        if let Some(reason) = wrong.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(reason);
        }
        let start = spans
            .iter()
            .map(|span| span.0)
            .min()
            .expect("a thread at least");
        let end = spans
            .iter()
            .map(|span| span.1)
            .max()
            .expect("a thread at least");
        Ok((end - start, spans.into_iter().map(|span| span.2).collect()))
    }

    /// The batch that begins in `place`, its bytes in the cache. Loading goes by the input's order, the rest scattered.
    fn fetch<'e>(
        &'e self,
        pass: Pass,
        order: &Scattered,
        place: usize,
        batch: &mut Vec<Entry<'e>>,
    ) {
        batch.clear();
        let mut number = if pass == Pass::Load {
            place
        } else {
            order.at(place)
        };
        let mut sum = 0_u8;
        for _ in place..self.entries.len().min(place + BATCH) {
            let (key, value) = self.entries.get(number);
            let ahead = [key, &value[..value.len().min(AHEAD_BYTES)]];
            sum = ahead
                .iter()
                .flat_map(|bytes| bytes.iter().step_by(CACHE_LINE_BYTES))
                .fold(sum, |sum, byte| sum ^ byte);
            batch.push(Entry { number, key, value });
            number = if pass == Pass::Load {
                number + 1
            } else {
                order.after(number)
            };
        }
        hint::black_box(sum);
    }
}

/// What the mixed phase puts in the place of a value.
fn another(value: &[u8]) -> impl Iterator<Item = u8> {
    value.iter().map(|byte| !byte)
}

fn expect_inserted(inserted: Result<(), String>, entry: Entry<'_>) -> Result<(), String> {
    inserted.map_err(|reason| format!("key {} could not be inserted: {reason}", shown(entry.key)))
}

fn expect_value(store: &impl Store, entry: Entry<'_>) -> Result<(), String> {
    expect(store, entry, |value| value == entry.value)
}

fn expect(
    store: &impl Store,
    entry: Entry<'_>,
    is_right: impl FnOnce(&[u8]) -> bool,
) -> Result<(), String> {
    match store.get_with(entry.key, is_right) {
        Some(true) => Ok(()),
        Some(false) => Err(format!(
            "wrong answer: the value of key {} is not the one put in",
            shown(entry.key)
        )),
        None => Err(format!(
            "wrong answer: key {} is absent, though put in and not deleted",
            shown(entry.key)
        )),
    }
}

fn expect_len(store: &impl Store, entries: usize, when: &str) -> Result<(), String> {
    let len = store.len();
    if len == entries {
        return Ok(());
    }
    Err(format!(
        "wrong answer: it counts {len} entries {when}, not {entries}"
    ))
}

/// The mean cost of a pair of readings.
fn clock_ns() -> u64 {
    let start = Instant::now();
    for _ in 0..CLOCK_PAIRS {
        hint::black_box(hint::black_box(Instant::now()).elapsed());
    }
    nanoseconds(start.elapsed() / CLOCK_PAIRS)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn unmeasured(error: io::Error) -> String {
    format!("the memory of this process is not known: {error}")
}

fn shown(key: &[u8]) -> String {
    let more = if key.len() > SHOWN_BYTES { "..." } else { "" };
    format!(
        "\"{}\"{more}",
        key[..key.len().min(SHOWN_BYTES)].escape_ascii()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        child::fault::{Fault, Faulty},
        packed::Writer,
        store::{CMapStore, DashMapStore, HashMapStore, Hasher},
    };

    fn entries(count: u32) -> Entries {
        let mut writer = Writer::create().unwrap();
        for number in 0..count {
            writer
                .push(
                    format!("key {number}").as_bytes(),
                    &number.to_le_bytes().repeat(5),
                )
                .unwrap();
        }
        Entries::open(writer.finish().unwrap().file()).unwrap()
    }

    fn measure<S: Store>(
        count: u32,
        threads: usize,
        fault: Option<Fault>,
    ) -> Result<Measured, String> {
        let entries = entries(count);
        let bench = Bench {
            entries: &entries,
            threads,
            mix: Some(50),
            watch: &|_, done| assert!(done <= u64::from(count)),
        };
        let make = || S::new(Hasher::with_seed(7));
        match fault {
            None => bench.run(make),
            Some(fault) => bench.run(|| make().map(|store| Faulty::new(store, fault))),
        }
    }

    #[test]
    fn right_answers_are_measured() {
        for threads in [1, 3] {
            for count in [1, 63, 64, 65, 5_000] {
                for measured in [
                    measure::<HashMapStore>(count, threads, None),
                    measure::<DashMapStore>(count, threads, None),
                    measure::<CMapStore>(count, threads, None),
                ] {
                    let measured = measured.unwrap();
                    assert!(
                        measured.load_ns >= measured.worst_insert_ns
                            && measured.worst_insert_ns > 0
                    );
                    assert!(measured.mixed_ns.is_some_and(|mixed| mixed > 0));
                    assert!(
                        measured.lookup_ns > 0 && measured.drop_ns > 0 && measured.clock_ns > 0
                    );
                }
            }
        }
    }

    #[test]
    fn wrong_answers_are_found() {
        for (fault, reason) in [
            (Fault::Refuse, "could not be inserted: no room"),
            (Fault::Lose, "it counts 999 entries after loading, not 1000"),
            (Fault::Corrupt, "is not the one put in"),
            (
                Fault::Undead,
                "it counts 101 entries after deleting, not 100",
            ),
        ] {
            for threads in [1, 3] {
                let found = measure::<HashMapStore>(1_000, threads, Some(fault)).unwrap_err();
                assert!(found.contains(reason), "{fault:?}: {found}");
            }
        }
    }

    #[test]
    fn every_entry_is_looked_up_and_checked() {
        let entries = entries(100);
        let bench = Bench {
            entries: &entries,
            threads: 2,
            mix: None,
            watch: &|_, _| (),
        };
        let store = HashMapStore::new(Hasher::with_seed(7)).unwrap();
        bench.load(&store).unwrap();
        bench.look_up(&store).unwrap();
        for number in 0..entries.len() {
            let (key, value) = entries.get(number);
            store.insert(key, b"another").unwrap();
            assert!(
                bench
                    .look_up(&store)
                    .unwrap_err()
                    .contains("not the one put in")
            );
            store.remove(key);
            assert!(bench.look_up(&store).unwrap_err().contains("absent"));
            assert_eq!(bench.delete(&store).is_err(), !is_kept(number));
            bench.load(&store).unwrap();
            bench.delete(&store).unwrap();
            bench.check(&store).unwrap();
            if is_kept(number) {
                store.remove(key);
                assert!(bench.check(&store).unwrap_err().contains("absent"));
            } else {
                store.insert(key, value).unwrap();
                assert!(bench.check(&store).unwrap_err().contains("still there"));
            }
            bench.load(&store).unwrap();
        }
    }

    #[test]
    fn every_value_that_the_mixed_phase_leaves_is_checked() {
        let entries = entries(1_000);
        for percent in [0, 50, 100] {
            let bench = Bench {
                entries: &entries,
                threads: 2,
                mix: Some(percent),
                watch: &|_, _| (),
            };
            let store = HashMapStore::new(Hasher::with_seed(7)).unwrap();
            bench.load(&store).unwrap();
            bench.mixed(&store, percent).unwrap();
            bench.delete(&store).unwrap();
            bench.check(&store).unwrap();
            for number in (0..entries.len()).filter(|&number| is_kept(number)) {
                let (key, value) = entries.get(number);
                let now = store.get_with(key, <[u8]>::to_vec).unwrap();
                let before: Vec<u8> = another(&now).collect();
                assert_eq!(now == value, is_looked_up(number, percent));
                assert_eq!(before == value, !is_looked_up(number, percent));
                store.insert(key, &before).unwrap();
                assert!(
                    bench
                        .check(&store)
                        .unwrap_err()
                        .contains("not the one put in")
                );
                store.insert(key, &now).unwrap();
            }
        }
    }

    #[test]
    fn a_key_is_shown_in_ascii_and_cut() {
        assert_eq!(shown(b"a\0\xff\""), r#""a\x00\xff\"""#);
        assert_eq!(shown(&[b'a'; 100]), format!("\"{}\"...", "a".repeat(80)));
    }
}
