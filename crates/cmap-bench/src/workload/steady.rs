//! What a map in use does, one after another on the same map: fill, hit, miss, zipf, batch, mixes, iterate, remove.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, Zipf};

use super::{Out, Timed, buffer, fill, share, timed};
use crate::entry::{KEY_BYTES, digest};
use crate::job::Job;
use crate::machine::resident;
use crate::rng::{Order, Rng};
use crate::store::{Session, Store};

/// Keys in a batch.
pub const BATCH: usize = 64;
/// Reads between two renewals of a held pin.
const REPIN: u64 = 1024;
/// Keys from here on are never inserted.
const ABSENT: u64 = 1 << 40;
const ZIPF_EXPONENT: f64 = 0.99;

/// All of them.
pub fn all<S: Store>(job: &Job, out: &mut Out) {
    let store = filled::<S>(job, out);
    let phases: [(&str, Phase<S>); 7] = [
        ("hit", hit),
        ("hit, pin held", hit_held),
        ("hit, batched", hit_batched),
        ("miss", miss),
        ("zipf", zipf),
        ("95/5", |job, store, gate| mixed(job, store, 5, gate)),
        ("50/50", |job, store, gate| mixed(job, store, 50, gate)),
    ];
    for (name, phase) in phases {
        let timed = phase(job, &store, &|| out.gate());
        out.timed(name, job.ops, &timed);
    }
    if job.threads == 1 {
        out.gate();
        iterate(job, &store, out);
    }
    out.gate();
    let removed = remove(job, &store);
    out.timed("remove", job.entries, &removed);
}

/// Fill and hit only.
pub fn hits<S: Store>(job: &Job, out: &mut Out) {
    let store = filled::<S>(job, out);
    let timed = hit(job, &store, &|| out.gate());
    out.timed("hit", job.ops, &timed);
}

/// A phase calls its last argument when it is about to start.
type Phase<S> = fn(&Job, &S, &dyn Fn()) -> Timed;

fn filled<S: Store>(job: &Job, out: &mut Out) -> S {
    let plan = job.plan();
    let before = resident();
    let store = S::new(&plan);
    out.gate();
    let timed = fill(job, &store);
    out.timed("fill", job.entries, &timed);
    let now = resident();
    let grown = now.bytes as f64 - before.bytes as f64;
    let overhead = (grown - plan.payload_bytes as f64) / job.entries as f64;
    out.plain("overhead, filled", "bytes/entry", overhead);
    let huge = (now.huge_bytes as f64 - before.huge_bytes as f64) / grown.max(1.0);
    out.plain("share in huge pages", "ratio", huge);
    store
}

fn hit<S: Store>(job: &Job, store: &S, gate: &dyn Fn()) -> Timed {
    let entries = job.sequence();
    gate();
    timed(job.threads, |thread| {
        let mut rng = Rng::new(job.seed, 1, thread as u64);
        let mut sum = 0u64;
        for _ in share(job.ops, job.threads, thread) {
            let key = entries.key(rng.below(job.entries));
            sum = sum.wrapping_add(store.get(&key, digest).unwrap_or(0));
        }
        sum
    })
}

fn hit_held<S: Store>(job: &Job, store: &S, gate: &dyn Fn()) -> Timed {
    let entries = job.sequence();
    gate();
    timed(job.threads, |thread| {
        let mut rng = Rng::new(job.seed, 1, thread as u64);
        let mut sum = 0u64;
        let mut session = store.session();
        let mut ops = share(job.ops, job.threads, thread);
        while !ops.is_empty() {
            let some = ops.start..ops.end.min(ops.start + REPIN);
            ops.start = some.end;
            for _ in some {
                let key = entries.key(rng.below(job.entries));
                sum = sum.wrapping_add(session.get(&key, digest).unwrap_or(0));
            }
            session.repin();
        }
        sum
    })
}

fn hit_batched<S: Store>(job: &Job, store: &S, gate: &dyn Fn()) -> Timed {
    let entries = job.sequence();
    gate();
    timed(job.threads, |thread| {
        let mut rng = Rng::new(job.seed, 1, thread as u64);
        let mut sum = 0u64;
        let mut session = store.session();
        let mut keys = [[0; KEY_BYTES]; BATCH];
        let mut ops = share(job.ops, job.threads, thread);
        while !ops.is_empty() {
            let keys = &mut keys[..BATCH.min((ops.end - ops.start) as usize)];
            ops.start += keys.len() as u64;
            for key in keys.iter_mut() {
                *key = entries.key(rng.below(job.entries));
            }
            session.get_many(keys, |_, value| {
                sum = sum.wrapping_add(value.map_or(0, digest));
            });
            session.repin();
        }
        sum
    })
}

fn miss<S: Store>(job: &Job, store: &S, gate: &dyn Fn()) -> Timed {
    let entries = job.sequence();
    gate();
    timed(job.threads, |thread| {
        let mut rng = Rng::new(job.seed, 2, thread as u64);
        let mut sum = 0u64;
        for _ in share(job.ops, job.threads, thread) {
            let key = entries.key(ABSENT + rng.below(job.entries));
            sum = sum.wrapping_add(store.get(&key, digest).unwrap_or(0));
        }
        sum
    })
}

/// The ranks are drawn beforehand: a draw takes tens of nanoseconds, which would blur what is compared.
fn zipf<S: Store>(job: &Job, store: &S, gate: &dyn Fn()) -> Timed {
    let entries = job.sequence();
    let picks: Vec<Vec<u32>> = std::thread::scope(|scope| {
        let draws: Vec<_> = (0..job.threads)
            .map(|thread| scope.spawn(move || zipf_picks(job, thread)))
            .collect();
        draws
            .into_iter()
            .map(|draw| draw.join().expect("drawing"))
            .collect()
    });
    gate();
    timed(job.threads, |thread| {
        let mut sum = 0u64;
        for &n in &picks[thread] {
            let key = entries.key(u64::from(n));
            sum = sum.wrapping_add(store.get(&key, digest).unwrap_or(0));
        }
        sum
    })
}

fn zipf_picks(job: &Job, thread: usize) -> Vec<u32> {
    assert!(job.entries < 1 << 32, "a pick is 32 bits");
    let ranks = Zipf::new(job.entries as f64, ZIPF_EXPONENT).expect("at least one entry");
    let mut rng = SmallRng::seed_from_u64(job.seed ^ (thread as u64) << 32);
    let order = Order::new(job.entries, job.seed ^ 3);
    share(job.ops, job.threads, thread)
        .map(|_| order.at(ranks.sample(&mut rng) as u64 - 1) as u32)
        .collect()
}

fn mixed<S: Store>(job: &Job, store: &S, updates_percent: u64, gate: &dyn Fn()) -> Timed {
    let entries = job.sequence();
    gate();
    timed(job.threads, |thread| {
        let mut rng = Rng::new(job.seed, 3 + updates_percent, thread as u64);
        let mut value = buffer();
        let mut sum = 0u64;
        for version in share(job.ops, job.threads, thread) {
            let word = rng.word();
            let n = ((u128::from(word) * u128::from(job.entries)) >> 64) as u64;
            let key = entries.key(n);
            // The lowest bits, for the highest chose the key.
            if (word & 0xffff) * 100 < updates_percent << 16 {
                store.insert(&key, entries.value(n, version + 1, &mut value));
            } else {
                sum = sum.wrapping_add(store.get(&key, digest).unwrap_or(0));
            }
        }
        sum
    })
}

fn iterate<S: Store>(job: &Job, store: &S, out: &mut Out) {
    let mut able = false;
    let timed = Timed::alone(|| {
        let mut sum = 0u64;
        able = store.for_each(|key, value| {
            sum = sum.wrapping_add(digest(key)).wrapping_add(digest(value));
        });
        sum
    });
    if able {
        out.timed("iterate", job.entries, &timed);
    }
}

/// Each key once, in random order.
fn remove<S: Store>(job: &Job, store: &S) -> Timed {
    let entries = job.sequence();
    let order = Order::new(job.entries, job.seed ^ 4);
    timed(job.threads, |thread| {
        let mut removed = 0;
        for i in share(job.entries, job.threads, thread) {
            removed += u64::from(store.remove(&entries.key(order.at(i))));
        }
        removed
    })
}
