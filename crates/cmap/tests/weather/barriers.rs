//! Systems whose filters (seccomp) refuse `membarrier`: from the start, and pins pay for a fence of their own; or only after pins
//! have come to rely on it, and the process ends rather than go on unsoundly.

use crate::common::{
    STAMP_BYTES, Stamp, alone, alone_until_it_aborts, assert_sound, key_bytes, scaled, settle,
};
use cmap::{Budget, CMap, internal};
use std::{
    env, io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// Of `membarrier`.
const QUERY: libc::c_int = 0;
const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;

/// Calls `membarrier` as the library does; the error's number where it is refused.
fn membarrier(command: libc::c_int) -> Result<libc::c_long, i32> {
    // SAFETY: three integers; it touches no memory of ours.
    let answer = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    if answer >= 0 {
        return Ok(answer);
    }
    Err(io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// From here on `membarrier` answers `error` to the calling thread, and to those that it spawns. `false`: there are no filters.
fn refuse_membarrier(error: i32) -> bool {
    let statement = |code: u32, k: u32, if_not: u8| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: if_not,
        k,
    };
    let answer = libc::SECCOMP_RET_ERRNO | error as u32;
    let mut statements = [
        // The call's number comes first in what a filter sees.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        statement(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            libc::SYS_membarrier as u32,
            1,
        ),
        statement(libc::BPF_RET | libc::BPF_K, answer, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let filter = libc::sock_fprog {
        len: statements.len() as u16,
        filter: statements.as_mut_ptr(),
    };
    // SAFETY: four integers; without it only root may have filters.
    let promised = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the filter and its statements are ours; the system copies both.
    let set = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const filter,
        )
    };
    promised == 0 && set == 0
}

/// Why there is nothing to see here, if so. Asked on a thread of its own, with which its filter goes.
fn no_filters() -> Option<&'static str> {
    let thread = thread::spawn(|| refuse_membarrier(libc::EPERM));
    let has_filters = thread.join().expect("no panic");
    (!has_filters).then_some("the system has no filters")
}

/// Readers whose values prove themselves, writers that leave much garbage, compaction.
fn read_write_compact(map: &CMap) {
    const KEYS: u64 = 300;
    let write = |key: u64, writer: u16, version: u64, value: &mut Vec<u8>| {
        let stamp = Stamp {
            key,
            writer,
            version,
        };
        stamp.write(STAMP_BYTES + (version % 200) as usize, value);
        map.insert(&key_bytes(key), value).expect("there is memory");
    };
    let mut value = Vec::new();
    (0..KEYS).for_each(|key| write(key, 0, 0, &mut value));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers = [1, 2].map(|writer: u16| {
            scope.spawn(move || {
                let mut value = Vec::new();
                for version in 1..=scaled(400_000) as u64 {
                    let key = version * u64::from(writer) % KEYS;
                    write(key, writer, version, &mut value);
                }
            })
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                map.compact(Budget::bytes(20_000));
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for key in (0..KEYS).step_by(3) {
                    let pin = map.pin();
                    let held = [key, key + 1, key + 2].map(|key| (key, pin.get(&key_bytes(key))));
                    for (key, value) in held {
                        let value = value.expect("a key that stays");
                        assert_eq!(Stamp::read(value).key, key);
                    }
                }
            }
        });
        let written = writers.map(|writer| writer.join().is_ok());
        over.store(true, Ordering::Relaxed);
        assert_eq!(written, [true; 2]);
    });
    assert_eq!(map.len() as u64, KEYS);
    settle(map);
    assert_sound(map);
}

#[track_caller]
fn refused_from_the_start(name: &str, error: i32) {
    if let Some(reason) = no_filters() {
        println!("{name}: skipped, {reason}");
        return;
    }
    alone(name, || {
        assert!(refuse_membarrier(error));
        assert_eq!(membarrier(QUERY), Err(error));
        let tiny = internal::tiny().build().expect("tiny");
        for map in [&tiny, &CMap::new()] {
            read_write_compact(map);
        }
        let stats = tiny.stats();
        assert!(stats.relocations > 0 && stats.chunks_freed > 0, "{stats:?}");
    });
}

#[test]
fn membarrier_not_permitted() {
    refused_from_the_start("barriers::membarrier_not_permitted", libc::EPERM);
}

#[test]
fn membarrier_not_known() {
    refused_from_the_start("barriers::membarrier_not_known", libc::ENOSYS);
}

/// Pins rely on barriers as soon as the process is registered for them: without, nothing may be given back any more.
#[test]
fn membarrier_refused_after_the_first_map() {
    const NAME: &str = "barriers::membarrier_refused_after_the_first_map";
    let unused = cfg!(cmap_portable) || env::var_os("CMAP_NO_MEMBARRIER").is_some();
    let reason = match membarrier(QUERY) {
        _ if unused => Some("no barriers are asked for"),
        Ok(commands) if commands & libc::c_long::from(PRIVATE_EXPEDITED) != 0 => no_filters(),
        _ => Some("the system has no membarrier"),
    };
    if let Some(reason) = reason {
        println!("{NAME}: skipped, {reason}");
        return;
    }
    let words = "cmap: membarrier is refused, though this process was registered for it";
    alone_until_it_aborts(NAME, words, || {
        let map = internal::tiny().build().expect("tiny");
        read_write_compact(&map);
        assert_eq!(membarrier(PRIVATE_EXPEDITED), Ok(0), "not registered");
        assert!(refuse_membarrier(libc::EPERM));
        assert_eq!(membarrier(PRIVATE_EXPEDITED), Err(libc::EPERM));
        // The first chunk that is given back needs a barrier.
        let freed = map.stats().chunks_freed;
        for n in 0..300 {
            map.insert(&key_bytes(n), &[1; 50])
                .expect("there is memory");
        }
        map.compact(Budget::all());
        assert_eq!(map.stats().chunks_freed, freed, "given back unsoundly");
    });
}
