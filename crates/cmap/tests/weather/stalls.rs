//! Those who stop in the middle: a pin held while millions write, a thread that stalls while it replaces a table, a signal in
//! the middle of a call, a destructor in the middle of a panic.

use crate::common::{Meddling, alone, assert_sound, content, key_bytes, scaled, settle, within};
use cmap::{CMap, Error, internal};
use std::{
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::{
        Condvar, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(120);

/// A pin is held while a million writes go by: memory stays within the limit, writes say what is pinned, and all comes back.
#[test]
fn a_pin_amid_a_million_writes() {
    alone("stalls::a_pin_amid_a_million_writes", || {
        let limit = 16 << 20;
        let map = CMap::builder().max_bytes(limit).build().expect("a limit");
        for n in 0..2_000 {
            map.insert(&key_bytes(n), &[n as u8; 1_000])
                .expect("2 MB fit");
        }
        let pin = map.pin();
        let held: Vec<_> = (0..2_000)
            .map(|n| pin.get(&key_bytes(n)).expect("filled"))
            .collect();
        let (mut refused, writes) = (0, scaled(20_000_000).min(1_000_000) as u64);
        for n in 0..writes {
            match map.insert(&key_bytes(n % 2_000), &[7; 1_000]) {
                Ok(_) => {}
                Err(Error::Full {
                    pinned,
                    needed,
                    available,
                }) => {
                    refused += 1;
                    assert!(
                        pinned > 0 && needed > available,
                        "{pinned}, {needed} of {available}"
                    );
                }
                Err(other) => panic!("write {n}: {other:?}"),
            }
            if n % 1_000 == 0 {
                let (memory, stats) = (map.memory(), map.stats());
                assert!(memory.total() <= limit, "write {n}: {memory:?}");
                assert!(
                    n < 100_000 || stats.oldest_pin.is_some(),
                    "write {n}: {stats:?}"
                );
            }
        }
        println!("stalls::a_pin_amid_a_million_writes: {writes} writes, {refused} refused");
        assert!(refused > 0);
        assert!(
            held.iter()
                .enumerate()
                .all(|(n, value)| **value == [n as u8; 1_000])
        );
        drop(pin);
        settle(&map);
        let stats = map.stats();
        assert_eq!((stats.oldest_pin, stats.retired_bytes), (None, 0));
        assert!((0..2_000).all(|n| map.insert(&key_bytes(n), &[8; 1_000]).is_ok()));
        assert_sound(&map);
    });
}

/// Where the stalled thread is: 0 on its way, 1 stalled, 2 let go.
static STAGE: Mutex<u32> = Mutex::new(0);
static MOVED: Condvar = Condvar::new();
static HASHES: AtomicUsize = AtomicUsize::new(0);

fn stage(is_there: impl Fn(u32) -> bool) -> u32 {
    let stage = STAGE.lock().expect("no panic");
    *MOVED
        .wait_while(stage, |stage| !is_there(*stage))
        .expect("no panic")
}

fn set_stage(to: u32) {
    *STAGE.lock().expect("no panic") = to;
    MOVED.notify_all();
}

/// Stalls in the second hash of a call: one of a key that is already there, while its table is being replaced.
fn stall() {
    if HASHES.fetch_add(1, Ordering::Relaxed) == 1 && stage(|_| true) == 0 {
        set_stage(1);
        stage(|stage| stage == 2);
    }
}

/// A thread stalls in the middle of replacing a table: reads go on, and so do writes that need no room in that table.
#[test]
fn a_thread_that_stalls_in_a_rebuild() {
    within(
        PATIENCE,
        "reads and writes beside a stalled rebuild",
        || {
            let map = internal::tiny_wide()
                .hasher(Meddling)
                .build()
                .expect("tiny");
            let value = |n: u64| [n as u8; 30];
            let filled = 400;
            for n in 0..filled {
                map.insert(&key_bytes(n), &value(n))
                    .expect("there is memory");
            }
            thread::scope(|scope| {
                let map = &map;
                let stalling = scope.spawn(move || {
                    Meddling::arm(Some(stall));
                    // Nobody lets go before it has stalled, which a split or a growth does soon.
                    let mut n = filled;
                    while stage(|_| true) == 0 {
                        HASHES.store(0, Ordering::Relaxed);
                        map.insert(&key_bytes(n), &value(n))
                            .expect("there is memory");
                        n += 1;
                    }
                    Meddling::arm(None);
                    n
                });
                stage(|stage| stage == 1);
                for n in 0..filled {
                    assert_eq!(map.get(&key_bytes(n)), Some(value(n).to_vec()), "{n}");
                    assert!(!map.contains_key(&key_bytes(1 << 40 | n)));
                }
                assert!(content(map).0 >= filled as usize && map.len() >= filled as usize);
                for n in 0..filled {
                    let replaced = map.insert_swap(&key_bytes(n), &value(n + 1));
                    assert_eq!(replaced, Ok(Some(value(n).to_vec())), "{n}");
                    assert_eq!(
                        map.insert_swap(&key_bytes(n), &value(n)),
                        Ok(Some(value(n + 1).to_vec()))
                    );
                }
                assert!((0..filled).step_by(3).all(|n| map.remove(&key_bytes(n))));
                set_stage(2);
                let to = stalling.join().expect("no panic");
                for n in 0..to {
                    assert_eq!(
                        map.contains_key(&key_bytes(n)),
                        n >= filled || n % 3 != 0,
                        "{n}"
                    );
                }
            });
            settle(&map);
            assert_sound(&map);
        },
    );
}

static SIGNALLED: OnceLock<CMap> = OnceLock::new();
static SIGNALS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn read_in_a_signal(_: libc::c_int) {
    let found = SIGNALLED
        .get()
        .map(|map| map.get_with(b"steady", |value| value == [5; 100]));
    if found == Some(Some(true)) {
        SIGNALS.fetch_add(1, Ordering::Relaxed);
    } else {
        std::process::abort();
    }
}

/// A signal every so many microseconds; 0: no more.
fn every(tv_usec: libc::suseconds_t) {
    let often = libc::timeval { tv_sec: 0, tv_usec };
    let timer = libc::itimerval {
        it_interval: often,
        it_value: often,
    };
    let none = std::ptr::null_mut();
    // SAFETY: `timer` is ours.
    let set = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, none) };
    assert_eq!(set, 0);
}

/// Calls from a signal handler are not promised. A look-up that copies nothing works all the same, wherever the signal comes.
#[test]
fn a_look_up_in_a_signal_handler() {
    alone("stalls::a_look_up_in_a_signal_handler", || {
        let map = SIGNALLED.get_or_init(|| internal::tiny().build().expect("tiny"));
        map.insert(b"steady", &[5; 100]).expect("there is memory");
        assert!(map.contains_key(b"steady"));
        let handler = read_in_a_signal as extern "C" fn(libc::c_int);
        // SAFETY: the handler reads the map, which is what is tested, and counts.
        unsafe { libc::signal(libc::SIGALRM, handler as *const () as libc::sighandler_t) };
        every(150);
        let mut n = 0;
        while SIGNALS.load(Ordering::Relaxed) < 2_000 {
            n += 1;
            map.insert(&key_bytes(n % 100), &[n as u8; 60])
                .expect("there is memory");
            assert!(map.get(&key_bytes(n % 100)).is_some());
            map.remove(&key_bytes((n + 50) % 100));
        }
        every(0);
        settle(map);
        assert_sound(map);
    });
}

/// Uses the map when it is dropped, be it by a panic, and panics within that once more.
struct Meddler<'m>(&'m CMap);

impl Drop for Meddler<'_> {
    fn drop(&mut self) {
        self.0
            .insert(b"in drop", &[1; 600])
            .expect("there is memory");
        let inner = catch_unwind(AssertUnwindSafe(|| {
            self.0
                .get_with(b"in drop", |_| -> () { panic!("within a panic") })
        }));
        assert!(inner.is_err());
        assert!(self.0.remove(b"in drop"));
        self.0.for_each(|_, value| assert_eq!(value.len(), 50));
    }
}

#[test]
fn a_panic_within_a_panic() {
    alone("stalls::a_panic_within_a_panic", || {
        panic::set_hook(Box::new(|_| {}));
        let map = internal::tiny().build().expect("tiny");
        for n in 0..300 {
            map.insert(&key_bytes(n), &[3; 50])
                .expect("there is memory");
        }
        let before = content(&map);
        for n in 0..200 {
            let panic = catch_unwind(AssertUnwindSafe(|| {
                let pin = map.pin();
                let _meddler = Meddler(&map);
                assert!(pin.contains_key(&key_bytes(n)));
                map.for_each(|_, _| {
                    let _meddler = Meddler(&map);
                    panic!("the outer one");
                });
            }));
            assert!(panic.is_err());
            assert_eq!(content(&map), before);
        }
        settle(&map);
        assert_sound(&map);
    });
}
