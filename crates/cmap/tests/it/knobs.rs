//! The limits of keys, values, capacities and knobs: works at the limit, and above it an error with the name or the numbers.

use crate::common::assert_sound;
use cmap::{Budget, Builder, CMap, Changed, ChunkPool, Error, Inserted, PoolConfig};

const MIB: usize = 1 << 20;
const LEAST: usize = 16 * MIB;

fn limited() -> CMap {
    CMap::builder()
        .max_bytes(LEAST)
        .build()
        .expect("the least limit")
}

#[test]
fn keys_and_values_at_and_above_their_limits() {
    let map = limited();
    let bytes = vec![1_u8; 1 << 16];
    assert_eq!(map.insert(&bytes[..65_535], b"v"), Ok(Inserted::New));
    assert_eq!(map.get(&bytes[..65_535]).as_deref(), Some(b"v".as_slice()));
    let refused = Error::KeyTooLong {
        len: 65_536,
        max: 65_535,
    };
    assert_eq!(map.insert(&bytes, b"v"), Err(refused.clone()));
    assert_eq!(map.insert_swap(&bytes, b"v"), Err(refused.clone()));
    assert_eq!(
        map.insert_if_absent(&bytes, b"v"),
        Err::<Changed, _>(refused)
    );
    assert_eq!(
        (
            map.get(&bytes),
            map.contains_key(&bytes),
            map.value_len(&bytes)
        ),
        (None, false, None)
    );
    assert_eq!(
        (map.remove(&bytes), map.take(&bytes), map.pin().get(&bytes)),
        (false, None, None)
    );

    // Never touched, so it takes address space only.
    let longest = vec![0_u8; 1 << 32];
    let refused = Error::ValueTooLong {
        len: 1 << 32,
        max: u32::MAX as usize,
    };
    assert_eq!(map.insert(b"k", &longest), Err(refused.clone()));
    assert_eq!(map.insert_swap(b"k", &longest), Err(refused.clone()));
    assert_eq!(map.insert_if_absent(b"k", &longest), Err(refused));
    // One byte less is allowed, though not by this map's limit.
    let full = map.insert(b"k", &longest[1..]);
    assert!(
        matches!(full, Err(Error::Full { needed, .. }) if needed >= u32::MAX as usize),
        "{full:?}"
    );
    assert_eq!(map.len(), 1);
    assert_sound(&map);
}

#[test]
fn knobs_out_of_range_are_refused_by_name() {
    let refused = |builder: Builder, name: &str| match builder.build() {
        Err(Error::InvalidConfig { field, reason }) => {
            assert!(field == name && !reason.is_empty(), "{field}: {reason}")
        }
        Err(other) => panic!("{name}: {other:?}"),
        Ok(_) => panic!("{name}: accepted"),
    };
    for bad in [
        f64::NAN,
        -f64::NAN,
        -1e-9,
        1.000_001,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ] {
        refused(CMap::builder().speed_over_memory(bad), "speed_over_memory");
    }
    for bad in [
        f64::NAN,
        0.0,
        -0.0,
        0.019_999,
        0.500_001,
        -0.1,
        1.0,
        f64::INFINITY,
    ] {
        refused(CMap::builder().max_dead_ratio(bad), "max_dead_ratio");
    }
    for bad in [0, 1, MIB, LEAST - 1] {
        refused(CMap::builder().max_bytes(bad), "max_bytes");
    }
    for good in [0.0, 0.35, 1.0] {
        assert!(
            CMap::builder().speed_over_memory(good).build().is_ok(),
            "speed_over_memory {good}"
        );
    }
    for good in [0.02, 0.25, 0.5] {
        assert!(
            CMap::builder().max_dead_ratio(good).build().is_ok(),
            "max_dead_ratio {good}"
        );
    }
}

#[test]
fn pool_knobs_out_of_range_are_refused_by_name() {
    for chunk_bytes in [
        0,
        1,
        4_096,
        32 << 10,
        (64 << 10) + 1,
        3 << 20,
        128 << 20,
        1 << 40,
        usize::MAX,
    ] {
        match ChunkPool::new(PoolConfig {
            chunk_bytes,
            ..PoolConfig::default()
        }) {
            Err(Error::InvalidConfig {
                field: "chunk_bytes",
                reason,
            }) => assert!(!reason.is_empty()),
            other => panic!("chunks of {chunk_bytes} bytes: {other:?}"),
        }
    }
    for chunk_bytes in [64 << 10, 1 << 20, 64 << 20] {
        let pool = ChunkPool::new(PoolConfig {
            chunk_bytes,
            ..PoolConfig::default()
        })
        .expect("an allowed size");
        let map = CMap::builder()
            .pool(&pool)
            .build()
            .expect("a pool of one's own");
        assert_eq!(
            map.insert(b"key", &vec![1; 3 * chunk_bytes]),
            Ok(Inserted::New)
        );
        assert_eq!(map.value_len(b"key"), Some(3 * chunk_bytes));
    }
    let odd = [
        PoolConfig {
            max_bytes: Some(0),
            ..PoolConfig::default()
        },
        PoolConfig {
            address_space: Some(0),
            ..PoolConfig::default()
        },
        PoolConfig {
            address_space: Some(usize::MAX),
            ..PoolConfig::default()
        },
    ];
    for config in odd {
        let told = format!("{config:?}");
        match ChunkPool::new(config) {
            // Refused by name, or rounded to something that works or says that it is full.
            Err(Error::InvalidConfig { field, .. }) => assert!(
                ["max_bytes", "address_space"].contains(&field),
                "{told}: {field}"
            ),
            Err(error) => assert!(
                matches!(error, Error::OutOfMemory { .. } | Error::CapacityOverflow),
                "{told}: {error:?}"
            ),
            Ok(pool) => {
                let map = CMap::builder()
                    .pool(&pool)
                    .build()
                    .expect("a map in that pool");
                let inserted = map.insert(b"key", b"value");
                let has_it = map.contains_key(b"key");
                assert_eq!(inserted.is_ok(), has_it, "{told}: {inserted:?}");
            }
        }
    }
}

#[test]
fn absurd_capacities_are_refused() {
    let map = CMap::new();
    let half = usize::MAX / 2;
    for (entries, bytes) in [
        (usize::MAX, 0),
        (0, usize::MAX),
        (usize::MAX, usize::MAX),
        (half, half),
        (1, usize::MAX - 1),
    ] {
        assert_eq!(
            map.reserve(entries, bytes),
            Err(Error::CapacityOverflow),
            "reserve({entries}, {bytes})"
        );
        let built = CMap::builder().expected(entries, bytes).build();
        assert_eq!(
            built.err(),
            Some(Error::CapacityOverflow),
            "expected({entries}, {bytes})"
        );
    }
    assert_eq!(map.insert(b"key", b"value"), Ok(Inserted::New));
    assert_eq!(map.compact(Budget::bytes(usize::MAX)).moved, 0);
    let limited = limited();
    let full = limited.reserve(1, 1 << 30);
    assert!(
        matches!(full, Err(Error::Full { needed, available, .. }) if needed > available),
        "{full:?}"
    );
    assert_eq!(limited.insert(b"key", b"value"), Ok(Inserted::New));
}
