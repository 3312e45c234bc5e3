//! What others are told of a map: its figures by the `metrics` facade, what happens in it by `tracing`.

#[path = "common/mod.rs"]
mod common;

use cmap::{Budget, CMap, Error, internal};
use common::assert_sound;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// A map in which much has happened.
fn lively() -> CMap {
    let map = internal::tiny().build().expect("a map");
    for key in 0..5_000_u32 {
        map.insert(&key.to_be_bytes(), b"value").expect("room");
    }
    map.retain(|key, _| key[3] % 8 == 0);
    map.shrink_to_fit();
    map
}

type Recorded = BTreeMap<String, (f64, Option<metrics::Unit>, String)>;

/// Name and labels, in the form `name{label=value,…}`: value, unit, description.
fn recorded(recorder: &DebuggingRecorder) -> Recorded {
    let all = recorder.snapshotter().snapshot().into_vec();
    let entry = |(key, unit, text, value): (
        metrics_util::CompositeKey,
        _,
        Option<metrics::SharedString>,
        _,
    )| {
        let key = key.key();
        let labels = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()));
        let labels: Vec<_> = labels.collect();
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(_) => panic!("there are no histograms"),
        };
        let text = text.map_or(String::new(), |text| text.to_string());
        (
            format!("{}{{{}}}", key.name(), labels.join(",")),
            (value, unit, text),
        )
    };
    all.into_iter().map(entry).collect()
}

#[test]
fn figures_reach_the_recorder_by_the_names_that_are_documented() {
    let recorder = DebuggingRecorder::new();
    let map = lively();
    metrics::with_local_recorder(&recorder, || {
        for key in 0..1_000_u32 {
            map.insert(&key.to_be_bytes(), b"value").expect("room");
            assert!(map.contains_key(&key.to_be_bytes()));
        }
        assert!(
            recorded(&recorder).is_empty(),
            "calls of the map record nothing"
        );
        map.record_metrics("users");
    });
    let told = recorded(&recorder);
    let (memory, stats) = (map.memory(), map.stats());
    assert!(
        stats.splits > 0 && stats.merges > 0 && stats.rebuilds > 0,
        "{stats:?}"
    );
    assert!(stats.relocations > 0 && stats.chunks_freed > 0, "{stats:?}");
    let parts = [
        ("live", memory.live),
        ("dead", memory.dead),
        ("padding", memory.padding),
        ("index", memory.index),
        ("pool", memory.pool),
        ("retired", memory.retired),
        ("held", memory.held),
    ];
    let parts = parts.map(|(part, bytes)| {
        (
            format!("cmap_memory_bytes{{map=users,part={part}}}"),
            bytes as f64,
        )
    });
    let figures = [
        ("entries", stats.entries as f64),
        ("tables", stats.tables as f64),
        ("spilled", stats.spilled as f64),
        ("chunks", stats.chunks_in_use as f64),
        (
            "oldest_pin_seconds",
            stats.oldest_pin.unwrap_or_default().as_secs_f64(),
        ),
        ("splits_total", stats.splits as f64),
        ("merges_total", stats.merges as f64),
        ("rebuilds_total", stats.rebuilds as f64),
        ("compactions_total", stats.compactions as f64),
        ("relocations_total", stats.relocations as f64),
        ("moved_bytes_total", stats.bytes_moved as f64),
        ("freed_chunks_total", stats.chunks_freed as f64),
        ("refused_total", stats.refused as f64),
    ];
    let figures = figures.map(|(name, figure)| (format!("cmap_{name}{{map=users}}"), figure));
    let expected: BTreeMap<_, _> = parts.into_iter().chain(figures).collect();
    let values: BTreeMap<_, _> = told
        .iter()
        .map(|(key, (value, ..))| (key.clone(), *value))
        .collect();
    assert_eq!(values, expected);
    let sum: f64 = told
        .iter()
        .filter(|(key, _)| key.starts_with("cmap_memory"))
        .map(|(_, (value, ..))| value)
        .sum();
    assert_eq!(sum, memory.total() as f64);
    for (key, (_, unit, text)) in &told {
        let expected = match key {
            _ if key.contains("bytes") => metrics::Unit::Bytes,
            _ if key.contains("seconds") => metrics::Unit::Seconds,
            _ => metrics::Unit::Count,
        };
        assert_eq!(unit.as_ref(), Some(&expected), "{key}");
        assert!(!text.is_empty(), "{key}");
    }
}

#[test]
fn maps_are_told_apart_by_their_name_and_counters_rise() {
    let recorder = DebuggingRecorder::new();
    let (one, other) = (lively(), CMap::new());
    metrics::with_local_recorder(&recorder, || {
        one.record_metrics("one");
        other.record_metrics(String::from("other"));
    });
    let first = recorded(&recorder);
    assert_eq!(first["cmap_entries{map=one}"].0, one.len() as f64);
    assert_eq!(first["cmap_entries{map=other}"].0, 0.0);
    let before = one.stats().splits;
    for key in 0..5_000_u32 {
        one.insert(&key.to_le_bytes(), b"value").expect("room");
    }
    assert!(one.stats().splits > before);
    metrics::with_local_recorder(&recorder, || one.record_metrics("one"));
    let then = recorded(&recorder);
    assert_eq!(
        then["cmap_splits_total{map=one}"].0,
        one.stats().splits as f64
    );
}

/// One event: its level, message and fields.
#[derive(Clone, Debug, Default)]
struct Told {
    level: Option<Level>,
    message: String,
    what: String,
    numbers: BTreeMap<&'static str, u64>,
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        assert_eq!(field.name(), "message", "{value:?}");
        self.message = format!("{value:?}");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        assert_eq!(field.name(), "what");
        self.what = value.into();
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.numbers.insert(field.name(), value);
    }
}

struct Listener<F>(F);

impl<S: Subscriber, F: Fn(Told) + 'static> Layer<S> for Listener<F> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "cmap" {
            let mut told = Told {
                level: Some(*event.metadata().level()),
                ..Told::default()
            };
            event.record(&mut told);
            (self.0)(told);
        }
    }
}

/// Runs `body`; shows `listen` the events of this thread meanwhile.
fn listening<R>(listen: impl Fn(Told) + Send + Sync + 'static, body: impl FnOnce() -> R) -> R {
    tracing::subscriber::with_default(tracing_subscriber::registry().with(Listener(listen)), body)
}

/// Runs `body` and returns its events.
fn events(body: impl FnOnce()) -> Vec<Told> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let told = all.clone();
    listening(
        move |event| told.lock().expect("no panic").push(event),
        body,
    );
    Arc::into_inner(all)
        .expect("the only owner")
        .into_inner()
        .expect("no panic")
}

#[test]
fn each_replaced_table_and_compacted_chunk_is_one_event() {
    let mut map = None;
    let told = events(|| map = Some(lively()));
    let stats = map.expect("a map").stats();
    let tables = told
        .iter()
        .filter(|event| event.message == "table replaced");
    let mut counts = BTreeMap::new();
    for event in tables {
        assert_eq!(event.level, Some(Level::TRACE));
        assert_eq!(event.numbers.keys().copied().collect::<Vec<_>>(), ["depth"]);
        *counts.entry(event.what.as_str()).or_insert(0_u64) += 1;
    }
    let expected = [
        ("merged", stats.merges),
        ("rebuilt", stats.rebuilds),
        ("split", stats.splits),
    ];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);

    let compacted: Vec<_> = told
        .iter()
        .filter(|event| event.message == "chunk compacted")
        .collect();
    // The last walk may have no end yet.
    let walks = compacted.len() as u64;
    assert!(
        walks > 0 && (stats.compactions - 1..=stats.compactions).contains(&walks),
        "{walks}: {stats:?}"
    );
    for (before, after) in compacted.iter().zip(&compacted[1..]) {
        for (name, number) in &before.numbers {
            assert!(number <= &after.numbers[name]);
        }
    }
    let last = compacted.last().expect("some");
    assert_eq!(last.level, Some(Level::DEBUG));
    assert!(last.numbers["relocations"] > 0 && last.numbers["relocations"] <= stats.relocations);
    assert!(last.numbers["bytes_moved"] > 0 && last.numbers["bytes_moved"] <= stats.bytes_moved);
    let kinds: BTreeSet<_> = told.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
}

#[test]
fn a_reached_limit_is_told_with_the_numbers_and_not_each_time() {
    const REFUSALS: u64 = 100;
    let map = CMap::builder().max_bytes(16 << 20).build().expect("a map");
    let large = vec![1; 32 << 20];
    let mut first = None;
    let started = Instant::now();
    let told = events(|| {
        for _ in 0..REFUSALS {
            let full = map.insert(b"k", &large).expect_err("twice the limit");
            first.get_or_insert(full);
        }
    });
    let told: Vec<_> = told
        .iter()
        .filter(|event| event.message == "limit reached")
        .collect();
    let most = 1 + started.elapsed().as_secs() as usize;
    assert!((1..=most).contains(&told.len()), "{}", told.len());
    assert_eq!(told[0].level, Some(Level::WARN));
    let numbers = &told[0].numbers;
    let Some(Error::Full {
        needed,
        available,
        pinned,
    }) = first
    else {
        panic!("{first:?}")
    };
    let expected = [
        ("available", available),
        ("needed", needed),
        ("pinned", pinned),
        ("refused", 1),
    ];
    let expected = expected.map(|(name, number)| (name, number as u64));
    assert_eq!(*numbers, BTreeMap::from(expected));
    assert_eq!(map.stats().refused, REFUSALS);
}

#[test]
fn a_listener_may_call_the_map_that_tells() {
    let map = Arc::new(internal::tiny().build().expect("a map"));
    let (inner, heard) = (map.clone(), Arc::new(Mutex::new(0_u32)));
    let listen = {
        let heard = heard.clone();
        move |_: Told| {
            let mut heard = heard.lock().expect("no panic");
            *heard += 1;
            let key = heard.to_le_bytes();
            inner.insert(&key, b"heard").expect("room");
            assert_eq!(inner.get(&key).as_deref(), Some(&b"heard"[..]));
            inner.compact(Budget::bytes(4096));
            assert!(inner.remove(&key));
        }
    };
    listening(listen, || {
        for key in 0..5_000_u32 {
            map.insert(&key.to_be_bytes(), b"value").expect("room");
        }
        map.retain(|key, _| key[3] % 8 == 0);
        map.shrink_to_fit();
    });
    assert!(*heard.lock().expect("no panic") > 100);
    for key in (0..5_000_u32).filter(|key| key % 8 == 0) {
        assert_eq!(map.get(&key.to_be_bytes()).as_deref(), Some(&b"value"[..]));
    }
    assert_sound(&map);
}

#[test]
fn a_listener_that_panics_leaves_the_map_whole() {
    thread_local!(static LEFT: Cell<u32> = const { Cell::new(0) });
    let map = internal::tiny().build().expect("a map");
    let listen = |_: Told| {
        let left = LEFT.get();
        LEFT.set(left.saturating_sub(1));
        if left == 1 {
            common::panic_quietly("a listener's own");
        }
    };
    let mut panics = 0;
    for key in 0..5_000_u32 {
        LEFT.set(1 + key % 3);
        let inserted = listening(listen, || {
            let key = &key.to_be_bytes();
            catch_unwind(AssertUnwindSafe(|| map.insert(key, b"value").is_ok()))
        });
        match inserted {
            Ok(is_done) => assert!(is_done),
            Err(_) => {
                panics += 1;
                // It was interrupted, before its instant or after it; once more, then.
                map.insert(&key.to_be_bytes(), b"value").expect("room");
            }
        }
    }
    assert!(panics > 50, "{panics}");
    assert_eq!(map.len(), 5_000);
    let missing = (0..5_000_u32).filter(|key| !map.contains_key(&key.to_be_bytes()));
    assert_eq!(missing.count(), 0);
    assert_sound(&map);
}
