//! Limbo: what was unlinked and waits for pins.
//!
//! Everything that can be unlinked has a place here promised when it is made, so that retiring needs no memory and cannot
//! fail. A *grace attempt* stamps what came since the last one, looks at the pins once, and hands out what none can see.
//! It never waits for one: a pin only delays.

use std::collections::VecDeque;
use std::time::Duration;

use super::epoch::{Domain, Quiesced};
use super::tag::Tag;
use crate::base::sync::{AtomicBool, AtomicUsize, Instant, Mutex, Ordering};

/// How many things one grace attempt hands out at most, and after how many bytes it stops as a rule: the caller pays for
/// giving their memory back.
pub(crate) const RIPE_MAX: usize = 32;
pub(crate) const RIPE_BYTES: usize = 256 << 10;

/// The heap could not give `bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoHeap {
    pub(crate) bytes: usize,
}

struct Waiting<G> {
    /// 0: not stamped yet.
    stamp: u64,
    bytes: usize,
    garbage: G,
}

struct State<G> {
    /// In the order of retiring, so stamps never fall.
    waiting: VecDeque<Waiting<G>>,
    /// Places kept free for things that live.
    promised: usize,
    /// The oldest pin that the last attempt met, and when it was met first.
    met: Option<(u64, Instant)>,
}

/// The waiting room of one map.
pub(crate) struct Limbo<G> {
    tag: Tag,
    state: Mutex<State<G>>,
    bytes: AtomicUsize,
    /// Bytes that no attempt has looked at.
    fresh: AtomicUsize,
    /// The last attempt stopped before it had handed out all that it could.
    more: AtomicBool,
}

/// What one attempt hands out, each thing with its bytes, for [`Limbo::given`].
pub(crate) type Ripe<G> = [Option<(G, usize)>; RIPE_MAX];

impl<G> Limbo<G> {
    pub(crate) fn new(tag: Tag) -> Self {
        Self {
            tag,
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                promised: 0,
                met: None,
            }),
            bytes: AtomicUsize::new(0),
            fresh: AtomicUsize::new(0),
            more: AtomicBool::new(false),
        }
    }

    /// Keeps `places` free for things that are about to be made.
    pub(crate) fn promise(&self, places: usize) -> Result<(), NoHeap> {
        let mut state = self.state.lock();
        let wanted = state.promised + places;
        state.waiting.try_reserve(wanted).map_err(|_| NoHeap {
            bytes: wanted * size_of::<Waiting<G>>(),
        })?;
        state.promised = wanted;
        Ok(())
    }

    /// Gives back places of things that were not made after all.
    pub(crate) fn unpromise(&self, places: usize) {
        let mut state = self.state.lock();
        debug_assert!(state.promised >= places, "a place was promised for each");
        state.promised -= places;
    }

    /// Takes in a thing of `bytes` that was just unlinked, in the place promised for it.
    pub(crate) fn retire(&self, garbage: G, bytes: usize) {
        let mut state = self.state.lock();
        debug_assert!(state.promised > 0, "a place was promised for each");
        debug_assert!(state.waiting.capacity() > state.waiting.len());
        state.promised -= 1;
        state.waiting.push_back(Waiting {
            stamp: 0,
            bytes,
            garbage,
        });
        // Relaxed, both: figures that decide when to look, not what is safe.
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.fresh.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that wait, or were handed out and are still being given back.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes retired since the last attempt.
    pub(crate) fn fresh_bytes(&self) -> usize {
        self.fresh.load(Ordering::Relaxed)
    }

    /// Whether the last attempt left something for the next one to hand out.
    pub(crate) fn has_more(&self) -> bool {
        self.more.load(Ordering::Relaxed)
    }

    /// Since when the oldest pin met has been known, if one was in the way at the last attempt.
    pub(crate) fn oldest_pin_age(&self) -> Option<Duration> {
        self.state.lock().met.map(|(_, since)| since.elapsed())
    }

    /// One grace attempt: things that no pin sees, at most [`RIPE_MAX`] of them and up to the one that makes it `most` bytes;
    /// and the proof. `None` if another thread is at it.
    ///
    /// `hold` says of a thing that it and all later ones must stay for now.
    pub(crate) fn attempt(
        &self,
        domain: &Domain,
        most: usize,
        mut hold: impl FnMut(&G) -> bool,
    ) -> Option<(Ripe<G>, Quiesced)> {
        let mut state = self.state.try_lock()?;
        let mut ripe = [const { None }; RIPE_MAX];
        if state.waiting.is_empty() {
            self.more.store(false, Ordering::Relaxed);
            state.met = None;
            return Some((ripe, Quiesced::assert()));
        }
        if state.waiting.back().is_some_and(|last| last.stamp == 0) {
            let stamp = domain.stamp();
            for thing in state
                .waiting
                .iter_mut()
                .rev()
                .take_while(|thing| thing.stamp == 0)
            {
                thing.stamp = stamp;
            }
            self.fresh.store(0, Ordering::Relaxed);
        }
        let oldest = domain.oldest_pin(self.tag);
        let mut bytes = 0;
        for place in &mut ripe {
            if bytes >= most {
                break;
            }
            let Some(front) = state.waiting.front() else {
                break;
            };
            let is_seen = if cfg!(planted_early_free) {
                front.stamp > oldest
            } else {
                front.stamp >= oldest
            };
            if is_seen || hold(&front.garbage) {
                break;
            }
            if let Some(thing) = state.waiting.pop_front() {
                bytes += thing.bytes;
                *place = Some((thing.garbage, thing.bytes));
            }
        }
        let is_blocked = state
            .waiting
            .front()
            .is_none_or(|front| front.stamp >= oldest);
        self.more.store(!is_blocked, Ordering::Relaxed);
        state.met = match (state.waiting.front(), state.met) {
            (Some(front), met) if front.stamp >= oldest => match met {
                Some((pin, since)) if pin == oldest => Some((pin, since)),
                _ => Some((oldest, Instant::now())),
            },
            _ => None,
        };
        Some((ripe, Quiesced::assert()))
    }

    /// A thing of `bytes` that was handed out was given back.
    pub(crate) fn given(&self, bytes: usize) {
        // Relaxed: as in `retire`.
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Everything that waits, for the owner of the map by `&mut`: no pin on it can be left.
    pub(crate) fn drain(&mut self) -> (impl Iterator<Item = G>, Quiesced) {
        let waiting = core::mem::take(&mut self.state.lock().waiting);
        self.bytes.store(0, Ordering::Relaxed);
        (
            waiting.into_iter().map(|thing| thing.garbage),
            Quiesced::assert(),
        )
    }
}

#[cfg(all(test, not(any(cmap_loom, cmap_shuttle))))]
mod tests {
    use super::super::epoch::domain;
    use super::*;

    #[test]
    fn nothing_ripens_under_a_pin_and_all_of_it_after() {
        let tag = Tag::fresh(domain());
        let limbo = Limbo::new(tag);
        limbo.promise(2).expect("memory");
        let pin = domain().pin(tag);
        limbo.retire("a", 10);
        let (ripe, _) = limbo
            .attempt(domain(), RIPE_BYTES, |_| false)
            .expect("alone");
        assert!(ripe.iter().all(Option::is_none));
        assert!(limbo.oldest_pin_age().is_some());
        limbo.retire("b", 5);
        assert_eq!((limbo.bytes(), limbo.fresh_bytes()), (15, 5));
        drop(pin);
        let (ripe, _) = limbo
            .attempt(domain(), RIPE_BYTES, |_| false)
            .expect("alone");
        assert_eq!(
            ripe.iter().flatten().copied().collect::<Vec<_>>(),
            [("a", 10), ("b", 5)]
        );
        assert_eq!((limbo.bytes(), limbo.fresh_bytes()), (15, 0));
        limbo.given(15);
        assert_eq!(limbo.bytes(), 0);
        assert!(limbo.oldest_pin_age().is_none());
    }

    #[test]
    fn an_older_pin_does_not_hold_what_it_saw_leave() {
        let tag = Tag::fresh(domain());
        let limbo = Limbo::new(tag);
        limbo.promise(2).expect("memory");
        limbo.retire("old", 1);
        let _ = limbo.attempt(domain(), RIPE_BYTES, |_| false);
        let pin = domain().pin(tag);
        limbo.retire("new", 1);
        let (ripe, _) = limbo
            .attempt(domain(), RIPE_BYTES, |_| false)
            .expect("alone");
        assert!(ripe[0].is_none());
        drop(pin);
        let (ripe, _) = limbo
            .attempt(domain(), RIPE_BYTES, |_| false)
            .expect("alone");
        assert_eq!(ripe[0], Some(("new", 1)));
    }
}
