//! papaya behind the harness's trait.

use papaya::{Guard, HashMap, LocalGuard};

use super::{Hasher, Plan, Session, Store};

type Map = HashMap<Box<[u8]>, Box<[u8]>, Hasher>;

/// Boxed keys and values, a guard of its own for each call outside a session.
pub struct Papaya(Map);

impl Store for Papaya {
    type Session<'a> = PapayaSession<'a>;

    fn new(plan: &Plan) -> Self {
        Self(HashMap::with_hasher(plan.hasher()))
    }

    fn session(&self) -> PapayaSession<'_> {
        PapayaSession {
            map: &self.0,
            guard: self.0.guard(),
        }
    }

    #[inline(always)]
    fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.get(key, &self.0.guard()).map(|value| read(value))
    }

    #[inline]
    fn get_copy(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key, &self.0.guard()).map(|value| value.to_vec())
    }

    #[inline]
    fn insert(&self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), value.into(), &self.0.guard());
    }

    #[inline]
    fn remove(&self, key: &[u8]) -> bool {
        self.0.remove(key, &self.0.guard()).is_some()
    }

    fn for_each(&self, mut visit: impl FnMut(&[u8], &[u8])) -> bool {
        for (key, value) in self.0.iter(&self.0.guard()) {
            visit(key, value);
        }
        true
    }
}

/// A held guard.
pub struct PapayaSession<'a> {
    map: &'a Map,
    guard: LocalGuard<'a>,
}

impl Session for PapayaSession<'_> {
    #[inline]
    fn get<R>(&mut self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.map.get(key, &self.guard).map(|value| read(value))
    }

    fn repin(&mut self) {
        self.guard.refresh();
    }
}
