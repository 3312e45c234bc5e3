//! What other crates write and see: values by postcard and zerocopy, figures by serde.

// The allocator of `faults`.
#[path = "faults/failing.rs"]
#[allow(dead_code)]
mod failing;

use cmap::typed::{Codec, DecodeError, EncodeError, Error, Key, Map, Postcard, Zerocopy};
use cmap::{CMap, Changed, ChunkPool, Cursor, Op, PoolConfig};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, TryFromBytes, Unaligned, little_endian,
};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
enum Event {
    Login { user: String, at: u64 },
    Logout(Vec<u32>, Option<i8>),
    Nothing,
}

#[global_allocator]
static HEAP: failing::Heap = failing::Heap;

fn events() -> Vec<Event> {
    let login = |user: &str, at| Event::Login {
        user: user.into(),
        at,
    };
    vec![
        login("ada", 1),
        login("", u64::MAX),
        Event::Logout(vec![], None),
        Event::Logout((0..1000).collect(), Some(-1)),
        Event::Nothing,
    ]
}

#[test]
fn values_that_serde_knows_come_back() {
    let map: Map<u32, Event, Postcard> = Map::default();
    for (n, event) in (0..).zip(&events()) {
        map.insert(&n, event).expect("room");
    }
    for (n, event) in (0..).zip(events()) {
        assert_eq!(map.get_with(&n, |shown| *shown == event), Ok(Some(true)));
        assert_eq!(map.get(&n), Ok(Some(event)));
    }
    let logins = map.retain(|_, event| matches!(event, Event::Login { .. }));
    assert_eq!(logins, Ok(3));
    let later = map.compute(&0, |old| match old {
        Some(Event::Login { user, at }) => Op::Put(Event::Login {
            user: user.clone(),
            at: at + 1,
        }),
        _ => Op::Remove,
    });
    assert_eq!(later, Ok(Changed::Replaced));
    let login = Event::Login {
        user: "ada".into(),
        at: 2,
    };
    assert_eq!(map.take(&0), Ok(Some(login)));
    let made = map.get_or_insert_with(&9, || Event::Nothing);
    assert_eq!(made, Ok(Event::Nothing));
    // Nested collections, in the order of their own.
    let nested: Map<String, BTreeMap<String, Vec<f64>>, Postcard> = Map::default();
    let value = BTreeMap::from([
        ("a".to_string(), vec![0.5, -1.0]),
        ("b".to_string(), vec![]),
    ]);
    nested.insert("k", &value).expect("room");
    assert_eq!(nested.get("k"), Ok(Some(value)));
}

#[test]
fn bytes_that_postcard_cannot_read_are_told() {
    let map: Map<u32, Event, Postcard> = Map::default();
    let mut bytes = Postcard::encode(&events()[0]).expect("can be written");
    let decode = <Postcard as Codec<Event>>::decode;
    for cut in 0..bytes.len() {
        let error = decode(&bytes[..cut]).expect_err("too short");
        assert!(
            matches!(&error, DecodeError::Invalid { what, len, reason } if what.ends_with("Event") && *len == cut && !reason.is_empty()),
            "{error:?}"
        );
    }
    let whole = bytes.len();
    bytes.push(0);
    let left_over = DecodeError::Invalid {
        what: std::any::type_name::<Event>(),
        len: whole + 1,
        reason: "1 bytes are left over".into(),
    };
    assert_eq!(decode(&bytes), Err(left_over.clone()));
    map.byte_map().insert(&[0; 4], &bytes).expect("room");
    assert_eq!(map.get(&0), Err(left_over.clone()));
    assert_eq!(map.take(&0), Err(left_over));
    assert_eq!(map.len(), 1);
    assert!(
        matches!(decode(&[9]), Err(DecodeError::Invalid { len: 1, .. })),
        "no such variant"
    );
}

/// Refuses to be written.
#[derive(Deserialize, Debug, PartialEq)]
struct Shy;

impl Serialize for Shy {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

#[test]
fn what_postcard_cannot_write_changes_nothing() {
    let map: Map<u32, Shy, Postcard> = Map::default();
    let refused = map.insert(&1, &Shy);
    let is_told = |error: &Error| matches!(error, Error::Encode(EncodeError { what, reason }) if what.ends_with("Shy") && !reason.is_empty());
    assert!(refused.as_ref().is_err_and(is_told), "{refused:?}");
    assert!(
        map.get_or_insert_with(&1, || Shy)
            .as_ref()
            .is_err_and(is_told)
    );
    assert!(
        map.compute(&1, |_| Op::Put(Shy))
            .as_ref()
            .is_err_and(is_told)
    );
    assert!(map.is_empty());
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Debug, PartialEq)]
#[repr(C)]
struct Account {
    balance: little_endian::U64,
    nonce: little_endian::U32,
    flags: u8,
}

/// Wants an alignment of 8.
#[derive(TryFromBytes, IntoBytes, KnownLayout, Immutable, Clone, Debug, PartialEq)]
#[repr(C)]
struct Aligned {
    number: u64,
    pair: [u32; 2],
}

#[derive(TryFromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Debug, PartialEq)]
#[repr(u8)]
enum Colour {
    Red = 1,
    Green = 2,
}

#[test]
fn values_are_seen_where_they_lie() {
    let map: Map<Vec<u8>, Account, Zerocopy> = Map::default();
    // Keys of every length, so that values begin at every alignment.
    for n in 0..64_u8 {
        let account = Account {
            balance: (u64::from(n) << 40).into(),
            nonce: u32::from(n).into(),
            flags: n,
        };
        map.insert(&vec![n; n.into()], &account).expect("room");
    }
    let pinned = map.byte_map().pin();
    for n in 0..64_u8 {
        let key = vec![n; n.into()];
        let lies_at = pinned.get(&key).expect("just inserted").as_ptr();
        let shown = map.get_with(&key, |account| {
            assert_eq!(std::ptr::from_ref(account).cast::<u8>(), lies_at, "a copy");
            (account.balance.get(), account.nonce.get(), account.flags)
        });
        assert_eq!(shown, Ok(Some((u64::from(n) << 40, n.into(), n))));
    }
    assert_eq!(
        map.byte_map().value_len(b""),
        Some(13),
        "no padding is stored"
    );
}

#[test]
fn values_with_an_alignment_are_shown_wherever_they_lie() {
    let map: Map<Vec<u8>, Aligned, Zerocopy> = Map::default();
    let value = |n: u8| Aligned {
        number: u64::from(n) << 50,
        pair: [n.into(), u32::MAX],
    };
    let (mut shown, mut misaligned) = (0, 0);
    for n in 0..64_u8 {
        map.insert(&vec![n; n.into()], &value(n)).expect("room");
        let key = vec![n; n.into()];
        assert_eq!(map.get(&key), Ok(Some(value(n))));
        assert_eq!(map.get_with(&key, |seen| *seen == value(n)), Ok(Some(true)));
        let address = map.byte_map().get_with(&key, |bytes| bytes.as_ptr().addr());
        misaligned += usize::from(address.expect("just inserted") % 8 != 0);
        shown += 1;
    }
    assert!(
        shown == 64 && (1..64).contains(&misaligned),
        "{misaligned} misaligned"
    );
}

#[test]
fn bytes_that_zerocopy_cannot_see_are_told() {
    let map: Map<u8, Colour, Zerocopy> = Map::default();
    map.insert(&1, &Colour::Green).expect("room");
    assert_eq!(map.get(&1), Ok(Some(Colour::Green)));
    assert_eq!(map.replace(&1, &Colour::Red), Ok(Changed::Replaced));
    assert_eq!(map.get(&1), Ok(Some(Colour::Red)));
    map.byte_map().insert(&[2], &[7]).expect("room");
    map.byte_map().insert(&[3], &[1, 1]).expect("room");
    let what = std::any::type_name::<Colour>();
    let invalid = DecodeError::Invalid {
        what,
        len: 1,
        reason: "these bits are none of its values".into(),
    };
    let length = DecodeError::Length {
        what,
        expected: 1,
        len: 2,
    };
    assert_eq!(map.get(&2), Err(invalid.clone()));
    assert_eq!(map.get_with(&2, |_| ()), Err(invalid));
    assert_eq!(map.get(&3), Err(length.clone()));
    assert_eq!(map.get_with(&3, |_| ()), Err(length));
    let aligned: Map<u8, Aligned, Zerocopy> = Map::from(map.into_byte_map());
    let length = DecodeError::Length {
        what: std::any::type_name::<Aligned>(),
        expected: 16,
        len: 1,
    };
    // The wrong length, not the wrong place, whatever the place.
    assert_eq!(aligned.get_with(&1, |_| ()), Err(length));
}

#[test]
fn figures_and_cursors_can_be_written() {
    let pool = ChunkPool::new(PoolConfig::default()).expect("a pool");
    let map = CMap::builder().pool(&pool).build().expect("a map");
    for n in 0..10_000_u32 {
        map.insert(&n.to_be_bytes(), b"value").expect("room");
    }
    let (memory, stats) = (map.memory(), map.stats());
    let written = serde_json::to_value(memory).expect("JSON");
    assert_eq!(written["live"], memory.live);
    let sum: u64 = written
        .as_object()
        .expect("fields")
        .values()
        .filter_map(serde_json::Value::as_u64)
        .sum();
    assert_eq!(sum, memory.total() as u64);
    let written = serde_json::to_value(stats).expect("JSON");
    assert_eq!(
        (&written["entries"], &written["splits"]),
        (&10_000.into(), &stats.splits.into())
    );
    assert_eq!(
        serde_json::to_value(pool.usage()).expect("JSON")["in_use"],
        pool.usage().in_use
    );
    assert_eq!(
        serde_json::to_value(map.compact(cmap::Budget::all())).expect("JSON")["done"],
        true
    );

    let cursor = map
        .scan(Cursor::START, 100, |_, _| ())
        .expect("more than 100 entries");
    let stored = serde_json::to_string(&cursor).expect("JSON");
    assert_eq!(
        serde_json::from_str::<Cursor>(&stored).expect("a cursor"),
        cursor
    );
}

#[test]
fn look_ups_and_writing_plain_keys_and_values_allocate_nothing() {
    let numbers: Map<u64, u64> = (0..100).map(|n| (n, n)).collect();
    let names: Map<String, String> = [("ada".into(), "Lovelace".into())].into_iter().collect();
    let accounts: Map<[u8; 32], Aligned, Zerocopy> = Map::default();
    let account = Aligned {
        number: 1,
        pair: [2, 3],
    };
    accounts.insert(&[1; 32], &account).expect("room");
    // An allocation from here on would end the process.
    failing::plan(failing::Plan {
        countdown: 1,
        sticky: true,
    });
    let answers = failing::faulty(|| {
        (
            numbers.get(&7),
            numbers.get_with(&8, |n| *n),
            numbers.contains_key(&100),
            names.get_with("ada", str::len),
            names.get("bob").is_ok_and(|name| name.is_none()),
            accounts.get_with(&[1; 32], |shown| *shown == account),
            <u64 as Key>::encode(&1) == [0, 0, 0, 0, 0, 0, 0, 1],
            <Zerocopy as Codec<Aligned>>::encode(&account).is_ok_and(|bytes| bytes.len() == 16),
        )
    });
    assert_eq!(failing::end(), 0);
    assert_eq!(
        answers,
        (
            Ok(Some(7)),
            Ok(Some(8)),
            false,
            Ok(Some(8)),
            true,
            Ok(Some(true)),
            true,
            true
        )
    );
}
