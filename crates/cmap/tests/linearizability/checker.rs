//! Judges the history of one key: a search for an order (Wing and Gong) that remembers where it has been (Lowe).
//!
//! A key's state is the number of its value, or none. At each step the next call may be any that began before the first return
//! among those still to be placed, if its answer fits the state. At most 64 calls, so that a set of them is one word; at most a
//! million positions, so that it ends.

use std::collections::HashSet;

/// A call with its answer; values are told apart by numbers, each written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Get(Option<u32>),
    Contains(bool),
    /// Writes; the answer is whether it replaced a value.
    Insert(u32, bool),
    /// Writes; says nothing of what was there.
    Put(u32),
    /// Writes; the answer is the value before.
    Swap(u32, Option<u32>),
    /// Writes unless present; the answer is whether it did.
    IfAbsent(u32, bool),
    /// Writes if present; the answer is whether it did.
    Replace(u32, bool),
    /// Writes the second in place of the first; the answer is whether it did.
    CompareAndSwap(Option<u32>, Option<u32>, bool),
    /// Writes unless present; the answer is what is there afterwards.
    GetOrInsert(u32, u32),
    /// Adds to what [`is_counter`]; the answer is what was there, or that it is none.
    Add(u32, Option<u32>),
    /// Adds to what is there, whatever it is; the answer is the sum.
    Append(u32, u32),
    Take(Option<u32>),
    Remove(bool),
    /// Removes this one; the answer is whether it did.
    RemoveIf(u32, bool),
    /// Removes whatever is there; says nothing of it.
    Clear,
}

/// A call, and the clock directly before and after it.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub begin: u64,
    pub end: u64,
    pub call: Call,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ordered,
    /// No order explains the answers.
    Impossible,
    /// The search was given up.
    Unknown,
}

/// Positions that one search looks at. Real histories need some hundreds.
const POSITIONS_MAX: usize = 1 << 20;

/// Which values are eight bytes long, so that `fetch_add` works on them.
pub fn is_counter(id: u32) -> bool {
    id % 4 == 0
}

impl Call {
    /// The state after this call, if its answer fits the state before.
    fn apply(self, state: Option<u32>) -> Option<Option<u32>> {
        let (fits, after) = match self {
            Call::Get(found) => (found == state, state),
            Call::Contains(found) => (found == state.is_some(), state),
            Call::Insert(id, replaced) => (replaced == state.is_some(), Some(id)),
            Call::Put(id) => (true, Some(id)),
            Call::Swap(id, old) => (old == state, Some(id)),
            Call::IfAbsent(id, inserted) => (inserted == state.is_none(), state.or(Some(id))),
            Call::Replace(id, replaced) => (replaced == state.is_some(), state.map(|_| id)),
            Call::CompareAndSwap(expected, new, swapped) => (
                swapped == (expected == state),
                if expected == state { new } else { state },
            ),
            Call::GetOrInsert(id, found) => (found == state.unwrap_or(id), state.or(Some(id))),
            Call::Add(delta, before) => match state {
                Some(id) if !is_counter(id) => (before.is_none(), state),
                _ => {
                    let held = state.unwrap_or(0);
                    (before == Some(held), Some(held.wrapping_add(delta)))
                }
            },
            Call::Append(words, sum) => (sum == state.unwrap_or(0) + words, Some(sum)),
            Call::Take(old) => (old == state, None),
            Call::RemoveIf(id, removed) => (
                removed == (state == Some(id)),
                state.filter(|&held| held != id),
            ),
            Call::Remove(removed) => (removed == state.is_some(), None),
            Call::Clear => (true, None),
        };
        fits.then_some(after)
    }

    fn writes(self) -> bool {
        !matches!(self, Call::Get(_) | Call::Contains(_))
    }
}

/// Whether an order explains the history of a key that was absent before it.
pub fn judge(events: &[Event]) -> Verdict {
    assert!(
        events.len() <= 64,
        "{} calls do not fit a word",
        events.len()
    );
    let all = if events.len() == 64 {
        u64::MAX
    } else {
        (1 << events.len()) - 1
    };
    let mut been = HashSet::new();
    let mut ahead = vec![(all, None)];
    while let Some((left, state)) = ahead.pop() {
        if left == 0 {
            return Verdict::Ordered;
        }
        if !been.insert((left, state)) {
            continue;
        }
        if been.len() > POSITIONS_MAX {
            return Verdict::Unknown;
        }
        let placeable = |n: &usize| left & (1 << n) != 0;
        let first_return = (0..events.len())
            .filter(placeable)
            .map(|n| events[n].end)
            .min()
            .expect("some are left");
        for n in (0..events.len())
            .filter(placeable)
            .filter(|&n| events[n].begin < first_return)
        {
            if let Some(after) = events[n].call.apply(state) {
                ahead.push((left & !(1 << n), after));
            }
        }
    }
    Verdict::Impossible
}

/// Whether two calls, one of them a write, ran at one time.
pub fn overlap(events: &[Event]) -> bool {
    events.iter().enumerate().any(|(n, a)| {
        let mut others = events[..n].iter();
        others.any(|b| a.begin < b.end && b.begin < a.end && (a.call.writes() || b.call.writes()))
    })
}

fn event(begin: u64, end: u64, call: Call) -> Event {
    Event { begin, end, call }
}

#[test]
fn the_checker_accepts_what_has_an_order() {
    let ordered: &[&[Event]] = &[
        &[],
        &[
            event(1, 2, Call::Get(None)),
            event(3, 4, Call::Insert(1, false)),
            event(5, 6, Call::Get(Some(1))),
        ],
        // Two swaps at one time, in either order.
        &[
            event(1, 4, Call::Swap(1, Some(2))),
            event(2, 3, Call::Swap(2, None)),
            event(5, 6, Call::Take(Some(1))),
        ],
        // A batch, of which each key has an instant of its own.
        &[
            event(1, 6, Call::Put(1)),
            event(2, 3, Call::Swap(2, Some(1))),
            event(4, 5, Call::Get(Some(2))),
        ],
        // Additions at one time; what is no counter is left alone.
        &[
            event(1, 4, Call::Add(4, Some(8))),
            event(2, 3, Call::Add(8, Some(0))),
            event(5, 6, Call::CompareAndSwap(Some(12), Some(1), true)),
            event(7, 8, Call::Add(4, None)),
            event(9, 10, Call::GetOrInsert(3, 1)),
            event(11, 12, Call::RemoveIf(3, false)),
            event(13, 14, Call::RemoveIf(1, true)),
            event(15, 16, Call::Replace(5, false)),
        ],
        // Appends at one time, in the order of their sums.
        &[
            event(1, 4, Call::Append(4, 9)),
            event(2, 3, Call::Append(5, 5)),
            event(5, 6, Call::Take(Some(9))),
            event(7, 8, Call::Append(1, 1)),
        ],
        // A read during a write sees either.
        &[
            event(1, 6, Call::Insert(1, false)),
            event(2, 3, Call::Get(None)),
            event(4, 5, Call::Contains(true)),
        ],
        &[
            event(1, 8, Call::Remove(true)),
            event(2, 3, Call::IfAbsent(1, true)),
            event(9, 10, Call::Get(None)),
        ],
        // A key cleared while it is read.
        &[
            event(1, 2, Call::Insert(1, false)),
            event(3, 8, Call::Clear),
            event(4, 5, Call::Get(Some(1))),
            event(6, 7, Call::Insert(2, false)),
            event(9, 10, Call::Take(Some(2))),
        ],
    ];
    for events in ordered {
        assert_eq!(judge(events), Verdict::Ordered, "{events:?}");
    }
    assert!(overlap(ordered[2]) && !overlap(ordered[1]));
    assert!(!overlap(&[
        event(1, 4, Call::Get(None)),
        event(2, 3, Call::Contains(false))
    ]));
}

#[test]
fn the_checker_rejects_what_has_none() {
    let impossible: &[(&str, &[Event])] = &[
        (
            "a lost write",
            &[
                event(1, 2, Call::Insert(1, false)),
                event(3, 4, Call::Get(None)),
            ],
        ),
        (
            "an old value after a newer one",
            &[
                event(1, 2, Call::Swap(1, None)),
                event(3, 8, Call::Swap(2, Some(1))),
                event(4, 5, Call::Get(Some(2))),
                event(6, 7, Call::Get(Some(1))),
            ],
        ),
        (
            "a removed key that comes back",
            &[
                event(1, 2, Call::Insert(1, false)),
                event(3, 4, Call::Remove(true)),
                event(5, 6, Call::Contains(true)),
            ],
        ),
        (
            "a batch that took effect twice",
            &[
                event(1, 6, Call::Put(1)),
                event(2, 3, Call::Swap(2, Some(1))),
                event(4, 5, Call::Get(Some(1))),
            ],
        ),
        (
            "one value taken twice",
            &[
                event(1, 2, Call::Swap(1, None)),
                event(3, 6, Call::Take(Some(1))),
                event(4, 5, Call::Take(Some(1))),
            ],
        ),
        (
            "two that were both first",
            &[
                event(1, 4, Call::IfAbsent(1, true)),
                event(2, 3, Call::IfAbsent(2, true)),
            ],
        ),
        (
            "a cleared key that comes back",
            &[
                event(1, 2, Call::Insert(1, false)),
                event(3, 4, Call::Clear),
                event(5, 6, Call::Get(Some(1))),
            ],
        ),
        ("a value from nowhere", &[event(1, 2, Call::Get(Some(9)))]),
        (
            "an addition that was lost",
            &[
                event(1, 2, Call::Add(4, Some(0))),
                event(3, 6, Call::Add(8, Some(4))),
                event(4, 7, Call::Add(16, Some(4))),
            ],
        ),
        (
            "an append that was lost",
            &[
                event(1, 2, Call::Append(4, 4)),
                event(3, 6, Call::Append(5, 9)),
                event(4, 7, Call::Append(6, 10)),
            ],
        ),
        (
            "a swap of what was not there any more",
            &[
                event(1, 2, Call::Swap(1, None)),
                event(3, 4, Call::Replace(2, true)),
                event(5, 6, Call::CompareAndSwap(Some(1), Some(3), true)),
            ],
        ),
        (
            "a removal of what was put in between",
            &[
                event(1, 2, Call::Swap(1, None)),
                event(3, 4, Call::Swap(2, Some(1))),
                event(5, 6, Call::RemoveIf(1, true)),
                event(7, 8, Call::Get(None)),
            ],
        ),
        (
            "two that both made it",
            &[
                event(1, 4, Call::GetOrInsert(1, 1)),
                event(2, 3, Call::GetOrInsert(2, 2)),
            ],
        ),
        (
            "a write that replaced nothing",
            &[event(1, 2, Call::Insert(1, true))],
        ),
    ];
    for (what, events) in impossible {
        assert_eq!(judge(events), Verdict::Impossible, "{what}: {events:?}");
    }
}

/// With as many calls at one time as ever occur, the search still ends at once.
#[test]
fn the_checker_is_quick_where_all_overlap() {
    let mut events: Vec<Event> = (0..36)
        .map(|n| event(1, 100, Call::Get(Some(n % 4 + 1))))
        .collect();
    events.extend((1..=4).map(|n| event(1, 100, Call::Insert(n, n > 1))));
    assert_eq!(judge(&events[36..]), Verdict::Ordered);
    events.push(event(101, 102, Call::Get(None)));
    assert_eq!(judge(&events[34..]), Verdict::Impossible);
}

/// A search that would go on for ever is given up, and says so.
#[test]
fn the_checker_knows_when_it_does_not_know() {
    let mut events: Vec<Event> = (1..=40)
        .map(|n| event(1, 100, Call::IfAbsent(n, n % 2 == 0)))
        .collect();
    events.extend((41..=60).map(|n| event(1, 100, Call::Take(Some(n - 20)))));
    assert_eq!(judge(&events), Verdict::Unknown);
}
