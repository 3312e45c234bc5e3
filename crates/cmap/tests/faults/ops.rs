//! The operations under fault. Each runs its calls to the map through `faulty`, so that only the map's allocations fail, and
//! keeps the model in step with the answers.

use crate::failing::{faulty, faulty_on_a_new_thread, spared};
use cmap::{Budget, CMap, Changed, Cursor, Error, Inserted, Op as Do};
use std::{collections::HashMap, ops::ControlFlow};

pub type Model = HashMap<Vec<u8>, Vec<u8>>;

pub struct Op {
    pub name: &'static str,
    /// Whether it may answer with an error.
    pub fallible: bool,
    /// Whether it returns a `Vec`, whose own allocation cannot be refused.
    pub returns_vec: bool,
    pub run: fn(&CMap, &mut Model) -> Result<(), Error>,
}

const fn op(name: &'static str, run: fn(&CMap, &mut Model) -> Result<(), Error>) -> Op {
    Op {
        name,
        fallible: true,
        returns_vec: false,
        run,
    }
}

impl Op {
    /// It cannot return an error, so it must work.
    const fn sure(self) -> Self {
        Self {
            fallible: false,
            ..self
        }
    }

    const fn returning_vec(self) -> Self {
        Self {
            returns_vec: true,
            ..self
        }
    }
}

pub const OPS: &[Op] = &[
    op("insert a new key", |map, model| {
        insert(map, model, b"new", &[1; 100])
    }),
    op("overwrite", |map, model| {
        insert(map, model, &key(8), &[2; 100])
    }),
    op("insert an extent", |map, model| {
        insert(map, model, b"new", &[3; 100_000])
    }),
    op("overwrite by an extent", |map, model| {
        insert(map, model, &key(8), &[4; 100_000])
    }),
    op("overwrite an extent", |map, model| {
        insert(map, model, &key(40), &[5; 90_000])
    }),
    op("insert into an empty map", |map, model| {
        map.clear();
        model.clear();
        insert(map, model, b"first", b"value")
    }),
    op("insert_swap of a new key", |map, model| {
        let old = faulty(|| map.insert_swap(b"new", &[6; 700]))?;
        assert_eq!(old, model.insert(b"new".to_vec(), vec![6; 700]));
        Ok(())
    }),
    op("insert_swap", |map, model| {
        let old = faulty(|| map.insert_swap(&key(9), &[6; 70]))?;
        assert_eq!(old, model.insert(key(9), vec![6; 70]));
        Ok(())
    })
    .returning_vec(),
    op("insert_if_absent", |map, model| {
        assert_eq!(
            faulty(|| map.insert_if_absent(&key(9), &[7; 70]))?,
            Changed::Nothing
        );
        assert_eq!(
            faulty(|| map.insert_if_absent(b"new", &[7; 70]))?,
            Changed::Inserted
        );
        model.insert(b"new".to_vec(), vec![7; 70]);
        Ok(())
    }),
    op("insert_with", |map, model| {
        for (key, len) in [(key(9), 70), (b"new".to_vec(), 700), (key(10), 90_000)] {
            let mut were_zeros = false;
            let inserted = faulty(|| {
                map.insert_with(&key, len, |value| {
                    were_zeros = value.iter().all(|&byte| byte == 0);
                    value.fill(7);
                })
            })?;
            let before = model.insert(key, vec![7; len]);
            assert_eq!(
                inserted,
                before.map_or(Inserted::New, |_| Inserted::Replaced)
            );
            assert!(were_zeros);
        }
        Ok(())
    }),
    // What the closure wrote is copied, and stored once more: also without memory for that.
    op("insert_with, cleared meanwhile", |map, model| {
        let mut runs = 0;
        let inserted = faulty(|| {
            map.insert_with(&key_on_stack(9), 700, |value| {
                map.clear();
                value.fill(7);
                runs += 1;
            })
        });
        if runs == 1 {
            model.clear();
        }
        assert_eq!(inserted?, Inserted::New);
        model.insert(key(9), vec![7; 700]);
        Ok(())
    }),
    op("replace", |map, model| {
        assert_eq!(faulty(|| map.replace(b"new", &[1])), Ok(Changed::Nothing));
        assert_eq!(
            faulty(|| map.replace(&key(9), &[8; 700]))?,
            Changed::Replaced
        );
        model.insert(key(9), vec![8; 700]);
        Ok(())
    }),
    op("compare_and_swap", |map, model| {
        let held = model[&key(9)].clone();
        let new: &[u8] = &[8; 900];
        let swapped = faulty(|| map.compare_and_swap(&key_on_stack(9), Some(&held), Some(new)))?;
        assert_eq!(swapped, Changed::Replaced);
        model.insert(key(9), new.to_vec());
        let inserted = faulty(|| map.compare_and_swap(b"new", None, Some(new)))?;
        assert_eq!(inserted, Changed::Inserted);
        model.insert(b"new".to_vec(), new.to_vec());
        let removed = faulty(|| map.compare_and_swap(&key_on_stack(9), Some(new), None))?;
        assert_eq!(removed, Changed::Removed);
        model.remove(&key(9));
        Ok(())
    }),
    op("compute", |map, model| {
        for n in [9, 10, 1_000] {
            let held = model.get(&key(n)).cloned();
            let changed = faulty(|| {
                map.compute(&key_on_stack(n), |old| {
                    assert_eq!(old, held.as_deref());
                    Do::Put([9; 650])
                })
            })?;
            assert_eq!(
                changed,
                held.map_or(Changed::Inserted, |_| Changed::Replaced)
            );
            model.insert(key(n), vec![9; 650]);
        }
        Ok(())
    }),
    op("compute that removes, remove_if", |map, model| {
        let remove = |_: Option<&[u8]>| Do::<&[u8]>::Remove;
        assert_eq!(
            faulty(|| map.compute(&key_on_stack(9), remove)),
            Ok(Changed::Removed)
        );
        assert!(faulty(
            || map.remove_if(&key_on_stack(8), |value| value.len() == 296)
        ));
        model.remove(&key(9));
        model.remove(&key(8));
        Ok(())
    })
    .sure(),
    op("get_or_insert_with", |map, model| {
        let got = faulty(|| map.get_or_insert_with(b"new", || [1; 700]))?;
        assert_eq!(got, [1; 700]);
        model.insert(b"new".to_vec(), got);
        Ok(())
    })
    .returning_vec(),
    op("fetch_add", |map, model| {
        for n in 0..200_u64 {
            assert_eq!(faulty(|| map.fetch_add(b"new", 1))?, n);
            model.insert(b"new".to_vec(), (n + 1).to_le_bytes().to_vec());
        }
        Ok(())
    }),
    op("append", |map, model| {
        for _ in 0..60 {
            let held = model.entry(b"new".to_vec()).or_default();
            let len = faulty(|| map.append(b"new", &[5; 50]));
            match len {
                Ok(len) => {
                    held.extend_from_slice(&[5; 50]);
                    assert_eq!(len, held.len());
                }
                Err(error) => {
                    if held.is_empty() {
                        model.remove(&b"new"[..]);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }),
    // New keys, old ones, one twice, and an extent; what is not stored is what comes after what is.
    op("insert_many", |map, model| {
        let entries: Vec<_> = (0..60_usize)
            .map(|n| {
                let len = if n == 50 { 90_000 } else { n * 31 % 700 };
                (key_on_stack(n % 7 * 60 + n % 57), vec![n as u8; len])
            })
            .collect();
        let stored = faulty(|| map.insert_many(entries.iter().map(|(key, value)| (key, value))));
        let done = stored
            .as_ref()
            .map_or_else(|stopped| stopped.done, |&all| all);
        assert_eq!(stored.is_ok(), done == entries.len());
        for (key, value) in entries.into_iter().take(done) {
            model.insert(key.to_vec(), value);
        }
        stored.map(drop).map_err(|stopped| stopped.source)
    }),
    op("insert_many into an empty map", |map, model| {
        map.clear();
        model.clear();
        let keys: [_; 40] = std::array::from_fn(key_on_stack);
        let stored = faulty(|| map.insert_many(keys.iter().map(|key| (key, [6; 300]))));
        let done = stored
            .as_ref()
            .map_or_else(|stopped| stopped.done, |&all| all);
        model.extend(keys[..done].iter().map(|key| (key.to_vec(), vec![6; 300])));
        stored.map(drop).map_err(|stopped| stopped.source)
    }),
    op("remove_many", |map, model| {
        let keys: [_; 150] = std::array::from_fn(key_on_stack);
        let expected = keys.iter().filter(|key| model.remove(&key[..]).is_some());
        let expected = expected.count();
        assert_eq!(faulty(|| map.remove_many(&keys)), expected);
        Ok(())
    })
    .sure(),
    op("remove", |map, model| {
        assert!(faulty(|| map.remove(&key(5))) && !faulty(|| map.remove(b"absent")));
        model.remove(&key(5));
        Ok(())
    })
    .sure(),
    op("remove nearly all", |map, model| {
        for n in 0..110 {
            assert_eq!(
                faulty(|| map.remove(&key(n))),
                model.remove(&key(n)).is_some(),
                "{n}"
            );
        }
        Ok(())
    })
    .sure(),
    op("take", |map, model| {
        for n in 0..110 {
            assert_eq!(faulty(|| map.take(&key(n))), model.remove(&key(n)), "{n}");
        }
        Ok(())
    })
    .sure()
    .returning_vec(),
    op("clear", |map, model| {
        faulty(|| map.clear());
        model.clear();
        Ok(())
    })
    .sure(),
    op("compact", |map, _| {
        faulty(|| map.compact(Budget::bytes(1_000)));
        faulty(|| map.compact(Budget::all()));
        Ok(())
    })
    .sure(),
    op("shrink_to_fit", |map, model| {
        (20..110).for_each(|n| assert_eq!(map.remove(&key(n)), model.remove(&key(n)).is_some()));
        faulty(|| map.shrink_to_fit());
        Ok(())
    })
    .sure(),
    op("reserve", |map, _| {
        faulty(|| map.reserve(500, 0))?;
        faulty(|| map.reserve(0, 300_000))
    }),
    op("get", |map, model| {
        assert_eq!(faulty(|| map.get(&key(9))), model.get(&key(9)).cloned());
        Ok(())
    })
    .sure()
    .returning_vec(),
    op("get_into", |map, model| {
        let mut value = Vec::with_capacity(10_000);
        let len = faulty(|| map.get_into(&key(9), &mut value));
        assert_eq!(
            (len, Some(&value)),
            (model.get(&key(9)).map(Vec::len), model.get(&key(9)))
        );
        Ok(())
    })
    .sure(),
    op("reads", |map, model| {
        read_all(model, |key, value| {
            let right = faulty(|| map.get_with(key, |found| found == value));
            let told = faulty(|| (map.contains_key(key), map.value_len(key), map.len()));
            assert_eq!(
                (right, told),
                (Some(true), (true, Some(value.len()), model.len()))
            );
        })
    })
    .sure(),
    op("reads under nested pins", |map, model| {
        let pins: [_; 6] = std::array::from_fn(|_| faulty(|| map.pin()));
        read_all(model, |key, value| {
            assert!(
                pins.iter()
                    .all(|pin| faulty(|| pin.get(key)) == Some(value))
            );
        })
    })
    .sure(),
    op("for_each", |map, model| {
        let (mut entries, mut bytes) = (0, 0);
        faulty(|| {
            map.for_each(|key, value| {
                (entries, bytes) = (entries + 1, bytes + key.len() + value.len())
            })
        });
        let payload: usize = model
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        assert_eq!((entries, bytes), (model.len(), payload));
        Ok(())
    })
    .sure(),
    op("try_for_each", |map, _| {
        let mut left = 10;
        let flow = faulty(|| {
            map.try_for_each(|_, _| {
                left -= 1;
                if left == 0 {
                    ControlFlow::Break("enough")
                } else {
                    ControlFlow::Continue(())
                }
            })
        });
        assert_eq!(flow, ControlFlow::Break("enough"));
        Ok(())
    })
    .sure(),
    op("scan", |map, model| {
        let (mut entries, mut cursor) = (0, Some(Cursor::START));
        while let Some(from) = cursor {
            cursor = faulty(|| map.scan(from, 10, |_, _| entries += 1));
        }
        assert_eq!(entries, model.len());
        Ok(())
    })
    .sure(),
    op("retain", |map, model| {
        let removed = faulty(|| map.retain(|_, value| value.len() % 2 == 0));
        let before = model.len();
        model.retain(|_, value| value.len() % 2 == 0);
        assert_eq!(removed, before - model.len());
        Ok(())
    })
    .sure(),
    op("iter, keys and drain", |map, model| {
        assert_eq!(faulty(|| map.iter().count()), model.len());
        assert_eq!(faulty(|| map.keys().count()), model.len());
        for (key, value) in faulty(|| map.drain()).take(60) {
            assert_eq!(model.remove(&key), Some(value));
        }
        Ok(())
    })
    .sure()
    .returning_vec(),
    op("get_ref", |map, model| {
        let kept = faulty(|| map.get_ref(&key_on_stack(40)));
        let large = faulty(|| map.get_ref(&key_on_stack(0)));
        faulty(|| map.clear());
        assert_eq!(kept.as_deref(), model.get(&key(40)).map(Vec::as_slice));
        assert_eq!(large.as_deref(), model.get(&key(0)).map(Vec::as_slice));
        faulty(|| drop((kept, large)));
        model.clear();
        Ok(())
    })
    .sure()
    .returning_vec(),
    op("memory and stats", |map, _| {
        faulty(|| (map.memory(), map.stats()));
        Ok(())
    })
    .sure(),
    op("the first read of a thread", |map, model| {
        let value = &model[&key(9)];
        let right =
            faulty_on_a_new_thread(|| map.get_with(&key_on_stack(9), |found| found == value));
        assert_eq!(right, Some(true));
        Ok(())
    })
    .sure(),
    op("the first write of a thread", |map, model| {
        faulty_on_a_new_thread(|| map.insert(b"by a new thread", &[8; 50]))?;
        model.insert(b"by a new thread".to_vec(), vec![8; 50]);
        Ok(())
    }),
    op("the first remove of a thread", |map, model| {
        assert!(faulty_on_a_new_thread(|| map.remove(&key_on_stack(9))));
        model.remove(&key(9));
        Ok(())
    })
    .sure(),
    // Goes on after a refusal: the error is that of the last refused insert.
    op("a storm of new keys", |map, model| {
        let refused =
            (1_000..1_400).filter_map(|n| insert(map, model, &key(n), &[n as u8; 40]).err());
        refused.last().map_or(Ok(()), Err)
    }),
    op("a storm of overwrites", |map, model| {
        let refused =
            (0..600).filter_map(|n| insert(map, model, &key(n % 60), &[n as u8; 90]).err());
        refused.last().map_or(Ok(()), Err)
    }),
    op("churn", |map, model| {
        let mut last = Ok(());
        for n in 0..400 {
            if let Err(error) = insert(map, model, &key(2_000 + n), &vec![n as u8; n % 700]) {
                last = Err(error);
            }
            let old = key(2_000 + n.saturating_sub(50));
            assert_eq!(faulty(|| map.remove(&old)), model.remove(&old).is_some());
        }
        last
    }),
];

fn key(n: usize) -> Vec<u8> {
    spared(|| key_on_stack(n).to_vec())
}

/// A key that needs no allocation.
fn key_on_stack(n: usize) -> [u8; 12] {
    let mut key = *b"key ........";
    key[4..].copy_from_slice(&(n as u64).to_le_bytes());
    key
}

fn insert(map: &CMap, model: &mut Model, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let done = faulty(|| map.insert(key, value));
    if done.is_ok() {
        model.insert(key.to_vec(), value.to_vec());
    }
    done.map(drop)
}

fn read_all(model: &Model, check: impl Fn(&[u8], &[u8])) -> Result<(), Error> {
    model.iter().for_each(|(key, value)| check(key, value));
    Ok(())
}

/// 120 entries of all sizes, after as many again have gone: tables have split, and there is something to compact.
pub fn prepare(map: &CMap) -> Model {
    let mut model = Model::new();
    for n in 0..240 {
        let len = if n % 20 == 0 { 5_000 } else { n * 37 % 300 };
        map.insert(&key(n), &vec![n as u8; len])
            .expect("nothing fails yet");
        model.insert(key(n), vec![n as u8; len]);
    }
    for n in (0..240).filter(|n| n % 4 > 1) {
        assert!(map.remove(&key(n)));
        model.remove(&key(n));
    }
    model
}
