//! go-cmap's own six benches: decimal keys, the value `dag`, reads that copy, a uniform choice per operation.

use std::time::Duration;

use super::{Out, Timed, share, timed};
use crate::job::Job;
use crate::rng::Rng;
use crate::store::{Plan, Store};

const VALUE: &[u8] = b"dag";
const PRESENT: u64 = 1024;
/// Steps of a round of the throughput pair: as many as there are keys of two counting bytes.
const STEPS: u64 = 65_536;

/// Decimal ASCII of each number below `2 * PRESENT`, written once.
struct Keys(Vec<([u8; 4], u8)>);

impl Keys {
    fn new() -> Self {
        let text = |n: u64| {
            let digits = n.to_string();
            let mut key = [0; 4];
            key[..digits.len()].copy_from_slice(digits.as_bytes());
            (key, digits.len() as u8)
        };
        Self((0..PRESENT * 2).map(text).collect())
    }

    #[inline]
    fn get(&self, n: u64) -> &[u8] {
        let (key, len) = &self.0[n as usize];
        &key[..usize::from(*len)]
    }
}

/// All six.
pub fn run<S: Store>(job: &Job, out: &mut Out) {
    let keys = Keys::new();
    let present = || {
        let store = S::new(&plan(job));
        for n in 0..PRESENT {
            store.insert(keys.get(n), VALUE);
        }
        store
    };
    let hits = reads(job, &present(), &keys, 0);
    out.timed("get hits", job.ops, &hits);
    let balanced = reads(job, &present(), &keys, PRESENT);
    out.timed("get balanced", job.ops, &balanced);
    let both = get_or_insert(job, &S::new(&plan(job)), &keys);
    out.timed("get or insert", job.ops, &both);
    let adversarial = adversarial(job, &S::new(&plan(job)));
    out.timed("adversarial", job.ops, &adversarial);
    throughput::<S>(job, out);
}

fn plan(job: &Job) -> Plan {
    Plan {
        entries: STEPS * job.threads as u64,
        payload_bytes: STEPS * job.threads as u64 * 7,
        ..job.plan()
    }
}

/// How a copied value counts.
fn count(value: Option<Vec<u8>>) -> u64 {
    value.map_or(1, |value| 3 + value.len() as u64 + u64::from(value[0]))
}

fn reads<S: Store>(job: &Job, store: &S, keys: &Keys, from: u64) -> Timed {
    timed(job.threads, |thread| {
        let mut rng = Rng::new(job.seed, 1, thread as u64);
        let mut sum = 0u64;
        for _ in share(job.ops, job.threads, thread) {
            let key = keys.get(from + rng.below(PRESENT));
            sum = sum.wrapping_add(count(store.get_copy(key)));
        }
        sum
    })
}

/// Whether a key is there yet depends on the threads' luck: only wrong answers are counted.
fn get_or_insert<S: Store>(job: &Job, store: &S, keys: &Keys) -> Timed {
    timed(job.threads, |thread| {
        let mut rng = Rng::new(job.seed, 2, thread as u64);
        let mut wrong = 0;
        for _ in share(job.ops, job.threads, thread) {
            let word = rng.word();
            let key = keys.get(word % PRESENT);
            if word >> 63 == 0 {
                store.insert(key, VALUE);
            } else {
                let value = store.get_copy(key);
                wrong += u64::from(value.is_some_and(|value| value != VALUE));
            }
        }
        wrong
    })
}

/// One operation is an insert and a removal.
fn adversarial<S: Store>(job: &Job, store: &S) -> Timed {
    timed(job.threads, |thread| {
        let key = thread.to_string();
        let mut removed = 0;
        for _ in share(job.ops, job.threads, thread) {
            store.insert(key.as_bytes(), VALUE);
            removed += u64::from(store.remove(key.as_bytes()));
        }
        removed
    })
}

/// Rounds of `STEPS`: into a fresh map each time; then out of the last. The threads' keys differ in the last byte.
fn throughput<S: Store>(job: &Job, out: &mut Out) {
    let threads = job.threads as u64;
    let rounds = (job.ops / (STEPS * threads)).max(1);
    let ops = rounds * STEPS * threads;
    let mut inserting = Timed {
        wall: Duration::ZERO,
        cpu: Duration::ZERO,
        threads: job.threads,
        checksum: 0,
    };
    let mut store = S::new(&plan(job));
    for round in 0..rounds {
        if round > 0 {
            store = S::new(&plan(job));
        }
        let round = timed(job.threads, |thread| {
            counting_keys(thread, |key| store.insert(key, VALUE));
            0
        });
        inserting.wall += round.wall;
        inserting.cpu += round.cpu;
    }
    out.timed("insert throughput", ops, &inserting);

    let getting = timed(job.threads, |thread| {
        let mut sum = 0u64;
        for _ in 0..rounds {
            counting_keys(thread, |key| {
                sum = sum.wrapping_add(count(store.get_copy(key)))
            });
        }
        sum
    });
    out.timed("get throughput", ops, &getting);
}

fn counting_keys(thread: usize, mut visit: impl FnMut(&[u8])) {
    let mut key = [0, 0, 0, thread as u8];
    for _ in 0..STEPS {
        visit(&key);
        key[0] = key[0].wrapping_add(1);
        if key[0] == 0 {
            key[1] = key[1].wrapping_add(1);
        }
    }
}
