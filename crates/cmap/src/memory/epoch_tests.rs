//! Unit tests of the epochs, beside their file because that has no room left.

use super::*;

/// A domain for one test: records are per thread and process, so each test looks at its own tag only.
fn tag() -> Tag {
    Tag::fresh(domain())
}

/// A value for the rest of the process, which a leak checker finds again.
fn kept<T>(value: T) -> &'static T {
    static KEPT: std::sync::Mutex<Vec<usize>> = std::sync::Mutex::new(Vec::new());
    let kept: &'static T = Box::leak(Box::new(value));
    let at = core::ptr::from_ref(kept).expose_provenance();
    KEPT.lock().expect("no panic holds it").push(at);
    kept
}

#[test]
fn a_pin_holds_its_own_map_and_no_other() {
    let (mine, other) = (tag(), tag());
    let pin = domain().pin(mine);
    let stamp = domain().stamp();
    assert!(domain().oldest_pin(mine) <= stamp);
    assert_eq!(domain().oldest_pin(other), u64::MAX);
    drop(pin);
    assert_eq!(domain().oldest_pin(mine), u64::MAX);
}

#[test]
fn a_pin_after_the_stamp_is_younger() {
    let mine = tag();
    let stamp = domain().stamp();
    let pin = domain().pin(mine);
    assert!(domain().oldest_pin(mine) > stamp);
    drop(pin);
}

#[test]
fn nested_pins_drop_in_any_order_and_deep_ones_protect_everything() {
    let (mine, other) = (tag(), tag());
    let mut pins: Vec<Pin> = (0..NESTED + 3).map(|_| domain().pin(mine)).collect();
    assert_ne!(
        domain().oldest_pin(other),
        u64::MAX,
        "the fifth pin protects every map"
    );
    pins.drain(..NESTED);
    assert_ne!(domain().oldest_pin(other), u64::MAX);
    pins.remove(1);
    pins.remove(1);
    assert_ne!(domain().oldest_pin(mine), u64::MAX, "one deep pin is left");
    pins.clear();
    assert_eq!(domain().oldest_pin(mine), u64::MAX);
}

#[test]
fn the_fallback_protects_until_its_last_pin_ends() {
    let mine = tag();
    let first = domain().pin_fallback();
    let second = domain().pin_fallback();
    drop(first);
    assert_ne!(domain().oldest_pin(mine), u64::MAX);
    drop(second);
    assert_eq!(domain().oldest_pin(mine), u64::MAX);
}

#[test]
fn records_are_reused_by_later_threads() {
    for _ in 0..50 {
        std::thread::spawn(|| drop(domain().pin(tag())))
            .join()
            .expect("thread");
    }
    assert!(
        domain().record_count() < 40,
        "{} records",
        domain().record_count()
    );
}

#[test]
fn the_lowest_number_is_taken_again_first() {
    let domain = kept(Domain::new());
    let records: Vec<_> = (0..4).filter_map(|_| domain.new_record()).collect();
    let numbers = |of: &[&Record]| of.iter().map(|record| record.number).collect::<Vec<_>>();
    assert_eq!(numbers(&records), [0, 1, 2, 3]);
    assert!(domain.free_record().is_none());
    for record in &records[1..] {
        record.owned.store(false, Ordering::Relaxed);
    }
    let again: Vec<_> = (0..3).filter_map(|_| domain.free_record()).collect();
    assert_eq!(numbers(&again), [1, 2, 3]);
}

#[test]
fn a_leaked_pin_outlives_its_thread() {
    let mine = tag();
    std::thread::spawn(move || core::mem::forget(domain().pin(mine)))
        .join()
        .expect("thread");
    assert_ne!(domain().oldest_pin(mine), u64::MAX);
}

#[test]
fn a_shared_pointer_swaps_and_frees() {
    let mine = tag();
    let shared = Shared::new(Box::new(1));
    let pin = domain().pin(mine);
    let one = shared.load(&pin).expect("set");
    let old = shared.swap(Some(Box::new(2))).expect("set");
    assert_eq!((*one, shared.load(&pin).copied()), (1, Some(2)));
    assert!(!shared.is(one));
    drop(pin);
    old.free(&Quiesced::assert());
    assert_eq!(shared.set_if_empty(Box::new(3)).map_err(|b| *b), Err(3));
}

/// Epochs that the fallback's word has no room for look older than they are, which protects more.
#[test]
fn the_fallback_protects_at_the_last_epochs() {
    let last = u64::MAX >> TAG_BITS;
    let domain = kept(Domain::new());
    for epoch in [(u64::MAX >> COUNT_BITS) - 1, last - 2] {
        domain.epoch.store(epoch * EPOCH, Ordering::Relaxed);
        for _ in 0..3 {
            let pin = domain.pin_fallback();
            let stamp = domain.stamp();
            assert!(domain.oldest_pin(tag()) <= stamp, "{stamp:x}");
            drop(pin);
            assert_eq!(domain.oldest_pin(tag()), u64::MAX);
        }
    }
}

#[test]
fn too_many_pins_at_once_are_refused_by_a_panic() {
    let record = kept(Record::new(0));
    record
        .deep
        .store(word(7 * EPOCH, Tag::ANY), Ordering::Relaxed);
    record.deep_count.store(u32::MAX, Ordering::Relaxed);
    assert!(std::panic::catch_unwind(|| record.pin_deep(8)).is_err());
    assert_eq!(record.deep_count.load(Ordering::Relaxed), u32::MAX);

    let domain = kept(Domain::new());
    let full = 5 << COUNT_BITS | COUNT_MASK;
    domain.fallback.store(full, Ordering::Relaxed);
    assert!(std::panic::catch_unwind(|| domain.pin_fallback()).is_err());
    assert_eq!(domain.fallback.load(Ordering::Relaxed), full);
}
