//! Schedules: the whole map, in tiny geometry, under shuttle's random and PCT schedulers.
//!
//! `RUSTFLAGS="--cfg cmap_shuttle" cargo test --profile models -p cmap-bytes --test shuttle -- --nocapture`
//!
//! A scenario is a few threads with a few calls each, some of them drawn; an execution plays them in one order of all their
//! steps, chosen by the scheduler. What they answered must have an order, key by key; what they saw must be what was stored;
//! and at rest every invariant must hold. A million schedules at full scale.
//!
//! shuttle plays one thread at a time and knows no weak memory, which is loom's part. In return it plays all of the map.
#![cfg(cmap_shuttle)]

#[allow(dead_code)]
#[path = "linearizability/checker.rs"]
mod checker;
mod common;

#[path = "shuttle/harness.rs"]
mod harness;
#[path = "shuttle/world.rs"]
mod world;

#[path = "shuttle/keys.rs"]
mod keys;
#[path = "shuttle/lives.rs"]
mod lives;
#[path = "shuttle/memory.rs"]
mod memory;
#[path = "shuttle/tables.rs"]
mod tables;
