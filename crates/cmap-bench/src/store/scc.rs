//! scc behind the harness's trait.

use scc::{Guard, HashMap};

use super::{Hasher, Plan, Session, Store};

/// Boxed keys and values in scc's growable map.
pub struct Scc(HashMap<Box<[u8]>, Box<[u8]>, Hasher>);

impl Store for Scc {
    type Session<'a> = SccSession<'a>;

    fn new(plan: &Plan) -> Self {
        Self(HashMap::with_hasher(plan.hasher()))
    }

    fn session(&self) -> SccSession<'_> {
        SccSession {
            store: self,
            guard: Guard::new(),
        }
    }

    #[inline(always)]
    fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.read_sync(key, |_, value| read(value))
    }

    #[inline]
    fn get_copy(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.read_sync(key, |_, value| value.to_vec())
    }

    #[inline]
    fn insert(&self, key: &[u8], value: &[u8]) {
        self.0.upsert_sync(key.into(), value.into());
    }

    #[inline]
    fn remove(&self, key: &[u8]) -> bool {
        self.0.remove_sync(key).is_some()
    }

    fn for_each(&self, mut visit: impl FnMut(&[u8], &[u8])) -> bool {
        self.0.iter_sync(|key, value| {
            visit(key, value);
            true
        })
    }
}

/// An epoch guard held around the calls, which makes those that they take themselves cheaper.
pub struct SccSession<'a> {
    store: &'a Scc,
    guard: Guard,
}

impl Session for SccSession<'_> {
    #[inline]
    fn get<R>(&mut self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.store.get(key, read)
    }

    fn repin(&mut self) {
        self.guard = Guard::new();
    }
}
