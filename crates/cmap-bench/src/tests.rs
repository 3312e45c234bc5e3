//! A tiny setting of every workload, on every store, against the standard library's map.

use std::collections::BTreeMap;

use crate::entry::Sizes;
use crate::job::{Job, Kind};
use crate::store::{Plan, Session, StdMap, Store, StoreName, Variant};
use crate::workload::{Out, run, run_on};

const KINDS: [Kind; 14] = [
    Kind::Steady,
    Kind::Batch,
    Kind::Hit,
    Kind::Churn,
    Kind::Pause,
    Kind::Faults,
    Kind::Drop,
    Kind::Beside,
    Kind::Six,
    Kind::Growth,
    Kind::Filled,
    Kind::Deleted,
    Kind::Overwrite,
    Kind::Lines,
];
const STORES: [StoreName; 10] = [
    StoreName::Cmap,
    StoreName::Dashmap,
    StoreName::Papaya,
    StoreName::Scc,
    StoreName::Sharded,
    StoreName::QuickCache,
    StoreName::Segcache,
    StoreName::Noop,
    StoreName::Bound,
    StoreName::LockedBound,
];

fn checksums(out: &Out) -> BTreeMap<&str, &str> {
    let checked = out.figures.iter().filter_map(|figure| {
        assert!(figure.figure.is_finite(), "{figure:?}");
        Some((figure.workload.as_str(), figure.checksum.as_deref()?))
    });
    // How often the writer beside the reader had its turn is up to the scheduler; it reads nothing.
    checked
        .filter(|(workload, _)| *workload != "writer beside a reader")
        .collect()
}

fn tiny(kind: Kind, threads: usize, sizes: Sizes) -> Job {
    Job {
        threads,
        sizes,
        ops: 6_000,
        turnovers: 2,
        ..Job::new(kind, StoreName::Cmap, 3_000)
    }
}

fn agree(job: &Job) {
    let mut model = Out::new(false);
    run_on::<StdMap>(job, &mut model);
    assert!(!model.figures.is_empty(), "{job} measured nothing");
    let expected = checksums(&model);
    for store in STORES {
        let job = Job {
            store,
            ..job.clone()
        };
        if job.unfit().is_some() {
            continue;
        }
        let mut out = Out::new(false);
        run(&job, &mut out);
        if store == StoreName::Noop {
            continue;
        }
        for (workload, checksum) in checksums(&out) {
            assert_eq!(Some(&checksum), expected.get(workload), "{workload}: {job}");
        }
    }
}

#[test]
fn every_workload_reads_what_the_model_reads() {
    for kind in KINDS {
        for threads in [1, 2] {
            for sizes in [Sizes::Fixed, Sizes::Mixed] {
                if kind != Kind::Batch || sizes == Sizes::Fixed {
                    agree(&tiny(kind, threads, sizes));
                }
            }
        }
    }
}

#[test]
fn the_variants_of_cmap_run() {
    for variant in [Variant::Preallocated, Variant::Maintained] {
        let job = Job {
            variant,
            ..tiny(Kind::Pause, 1, Sizes::Fixed)
        };
        let mut out = Out::new(false);
        run(&job, &mut out);
        assert!(!out.figures.is_empty());
    }
}

/// Every call of the trait with whole values compared, which the workloads' checksums are too cheap for.
fn answers_rightly<S: Store>(threads: usize) {
    const N: u64 = 2_000;
    let job = Job {
        threads,
        ..tiny(Kind::Steady, 1, Sizes::Mixed)
    };
    let entries = job.sequence();
    let store = S::new(&Plan {
        entries: N,
        payload_bytes: entries.payload(0..N),
        updates: N,
        ..job.plan()
    });
    let mut buffer = [0; crate::entry::VALUE_BYTES_MAX];
    for version in 0..2 {
        for n in 0..N {
            store.insert(&entries.key(n), entries.value(n, version, &mut buffer));
        }
    }
    let mut seen = 0;
    let able = store.for_each(|_, _| seen += 1);
    assert!(!able || seen == N);

    let keys: Vec<_> = (0..N + 100).map(|n| entries.key(n)).collect();
    let mut session = store.session();
    let mut next = 0;
    session.get_many(&keys, |i, value| {
        assert_eq!(i, next);
        let n = i as u64;
        let wanted = (n < N).then(|| entries.value(n, 1, &mut buffer).to_vec());
        assert_eq!(value, wanted.as_deref(), "{n}");
        next += 1;
    });
    assert_eq!(next, keys.len());
    session.repin();
    drop(session);

    assert_eq!(store.remove_many(&keys[..50]), 50);
    assert!(!store.remove(&keys[0]) && store.remove(&keys[50]));
    store.shrink();
    for (n, key) in (0..N).zip(&keys) {
        let wanted = (n > 50).then(|| entries.value(n, 1, &mut buffer).to_vec());
        assert_eq!(store.get_copy(key), wanted, "{n}");
        assert_eq!(store.get(key, <[u8]>::to_vec), wanted, "{n}");
    }
}

#[test]
fn every_store_answers_rightly() {
    use crate::store::*;
    answers_rightly::<StdMap>(2);
    answers_rightly::<Cmap>(2);
    answers_rightly::<Dashmap>(2);
    answers_rightly::<Papaya>(2);
    answers_rightly::<Scc>(2);
    answers_rightly::<Sharded>(2);
    answers_rightly::<QuickCache>(2);
    answers_rightly::<SegCache>(2);
    answers_rightly::<Bound>(1);
    answers_rightly::<LockedBound>(1);
}
