//! A table that is read all day, changed a little, and compacted at night: who writes never pays for compaction, and the time of
//! day is chosen by us. The clock is a parameter, so that a night can be tested in a second.
//!
//! `cargo run -p cmap-bytes --example nightly_compact` plays two days and checks them. In a server, `tend` with `SystemClock` is
//! the body of one thread.

use cmap::{Budget, CMap, Error, Maintenance};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, SystemTime},
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What time it is, and how one waits.
trait Clock {
    /// Since midnight, UTC.
    fn time_of_day(&self) -> Duration;
    fn sleep(&self, time: Duration);
}

struct SystemClock;

impl Clock for SystemClock {
    fn time_of_day(&self) -> Duration {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Duration::from_secs(since.map_or(0, |since| since.as_secs()) % DAY.as_secs())
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// From when until when, since midnight. It may begin before midnight and end after it.
#[derive(Clone, Copy)]
struct Night {
    from: Duration,
    until: Duration,
}

impl Night {
    fn includes(self, time: Duration) -> bool {
        if self.from <= self.until {
            (self.from..self.until).contains(&time)
        } else {
            time >= self.from || time < self.until
        }
    }
}

/// A map that compacts only when told to, or to get a write under its limit.
fn table(max_bytes: usize) -> Result<CMap, Error> {
    CMap::builder()
        .maintenance(Maintenance::Manual)
        .max_bytes(max_bytes)
        .speed_over_memory(0.0) // at night there is time for the leanest
        .build()
}

/// Compacts `map` at night, until `stop`.
///
/// It works in slices with rests between them, so that it never takes a core for long: also at night somebody may be waiting.
fn tend(map: &CMap, night: Night, clock: &impl Clock, stop: &AtomicBool) {
    const SLICE: Duration = Duration::from_millis(5);
    const REST: Duration = Duration::from_millis(20);
    const LOOK: Duration = Duration::from_secs(60);
    while !stop.load(Ordering::Relaxed) {
        let is_done = !night.includes(clock.time_of_day()) || map.compact(Budget::time(SLICE)).done;
        clock.sleep(if is_done { LOOK } else { REST });
    }
}

/// A clock that its owner sets.
struct TestClock(AtomicU64);

impl TestClock {
    fn at(time: Duration) -> Self {
        Self(AtomicU64::new(time.as_secs()))
    }

    fn set(&self, time: Duration) {
        self.0.store(time.as_secs(), Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn time_of_day(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn sleep(&self, _: Duration) {
        thread::yield_now();
    }
}

fn key(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

/// A later version is longer: one of the same length would take the space of what it replaces, and nothing would be dead.
fn value(n: u32, version: u32) -> Vec<u8> {
    let words = [n, version].map(u32::to_be_bytes).concat();
    words.repeat(12 + version as usize)
}

/// Two days with a night between them.
fn check() -> Result<(), Error> {
    const ENTRIES: u32 = 100_000;
    const LIMIT: usize = 256 << 20;
    let map = &table(LIMIT)?;
    for n in 0..ENTRIES {
        map.insert(&key(n), &value(n, 0))?;
    }
    let (clock, stop) = (&TestClock::at(12 * HOUR), &AtomicBool::new(false));
    let night = Night {
        from: 23 * HOUR,
        until: 4 * HOUR,
    };
    thread::scope(|scope| {
        let keeper = scope.spawn(|| tend(map, night, clock, stop));
        let reader = scope.spawn(|| {
            let mut rng = fastrand::Rng::with_seed(1);
            while !stop.load(Ordering::Relaxed) {
                let n = rng.u32(..ENTRIES);
                let is_whole = map.get_with(&key(n), |found| {
                    found == value(n, 0) || found == value(n, 1)
                });
                assert_eq!(is_whole, Some(true), "entry {n} is not what it was");
            }
        });
        // By day two in three are written anew. Compaction leaves it at that.
        let written = (0..ENTRIES)
            .filter(|n| n % 3 != 0)
            .try_for_each(|n| map.insert(&key(n), &value(n, 1)).map(drop));
        let day = (map.memory(), map.stats());
        clock.set(2 * HOUR);
        while written.is_ok() && !map.compact(Budget::bytes(0)).done {
            assert!(
                !keeper.is_finished() && !reader.is_finished(),
                "one has panicked"
            );
            thread::yield_now();
        }
        let after = (map.memory(), map.stats());
        stop.store(true, Ordering::Relaxed);
        written?;
        println!("by day:      {:?}", day.0);
        println!("after night: {:?}", after.0);
        assert_eq!(day.1.compactions, 0, "it was compacted by day");
        assert!(after.1.compactions > 0, "it was not compacted at night");
        assert!(day.0.dead > day.0.live / 2, "there was nothing to do");
        assert!(after.0.dead < after.0.live / 8, "it was not done");
        Ok::<(), Error>(())
    })?;
    for n in 0..ENTRIES {
        let version = u32::from(n % 3 != 0);
        assert_eq!(map.get(&key(n)), Some(value(n, version)), "entry {n}");
    }
    for (hour, is_night) in [(22, false), (23, true), (0, true), (3, true), (4, false)] {
        assert_eq!(night.includes(hour * HOUR), is_night, "{hour}:00");
    }
    assert!(SystemClock.time_of_day() < DAY);
    Ok(())
}

fn main() -> Result<(), Error> {
    check()
}
