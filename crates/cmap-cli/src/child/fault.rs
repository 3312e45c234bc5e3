//! For tests: `CMAP_CHILD_FAULT` makes a child go wrong in a named way, to show that the program notices.
//!
//! Unset, nothing of this runs: the stores are then measured without it in between.

use std::{
    env,
    process::abort,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;

use crate::store::{Hasher, Store};

const VARIABLE: &str = "CMAP_CHILD_FAULT";
/// So that a test fails, and does not hang too, if nothing ends a child that hangs.
const HANG_AT_MOST: Duration = Duration::from_secs(60);

/// A way to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// The process dies.
    Crash,
    /// The process says `hanging PID` on standard error, and waits to be ended.
    Hang,
    /// The process says something that is no message.
    Garbage,
    /// The process ends without a result.
    Silence,
    /// An insert is refused.
    Refuse,
    /// An insert is forgotten.
    Lose,
    /// A value is stored with its last byte changed.
    Corrupt,
    /// A delete says that it is done, and is not.
    Undead,
}

impl Fault {
    /// The one that a test asks for.
    pub fn from_environment() -> Option<Self> {
        let name = env::var(VARIABLE).ok()?;
        Some(
            Self::from_str(&name, false)
                .unwrap_or_else(|_| panic!("{VARIABLE}={name}: no such fault")),
        )
    }

    /// Goes wrong at once, if it is one of those that do.
    pub fn strike(self) {
        match self {
            Fault::Crash => abort(),
            Fault::Hang => {
                eprintln!("hanging {}", std::process::id());
                let start = Instant::now();
                while let Some(rest) = HANG_AT_MOST.checked_sub(start.elapsed()) {
                    thread::park_timeout(rest);
                }
                eprintln!("still hanging");
                std::process::exit(1);
            }
            Fault::Garbage => println!("forty-two"),
            Fault::Silence => std::process::exit(0),
            Fault::Refuse | Fault::Lose | Fault::Corrupt | Fault::Undead => {}
        }
    }
}

/// A store that goes wrong once.
pub struct Faulty<S> {
    store: S,
    fault: Fault,
    struck: AtomicBool,
}

impl<S> Faulty<S> {
    pub fn new(store: S, fault: Fault) -> Self {
        Self {
            store,
            fault,
            struck: AtomicBool::new(false),
        }
    }

    fn strikes(&self, fault: Fault) -> bool {
        self.fault == fault && !self.struck.swap(true, Ordering::Relaxed)
    }
}

impl<S: Store> Store for Faulty<S> {
    fn new(_: Hasher) -> Result<Self, String> {
        unreachable!("made around a store")
    }

    fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), String> {
        if self.strikes(Fault::Refuse) {
            return Err("no room (a planted fault)".into());
        }
        if self.strikes(Fault::Lose) {
            return Ok(());
        }
        if !value.is_empty() && self.strikes(Fault::Corrupt) {
            let mut value = value.to_vec();
            *value.last_mut().expect("it is not empty") ^= 1;
            return self.store.insert(key, &value);
        }
        self.store.insert(key, value)
    }

    fn get_with<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.store.get_with(key, read)
    }

    fn remove(&self, key: &[u8]) -> bool {
        self.strikes(Fault::Undead) || self.store.remove(key)
    }

    fn len(&self) -> usize {
        self.store.len()
    }
}
