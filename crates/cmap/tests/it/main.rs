//! The map as its users see it, in one binary: against a model, under limits, pins and hostile hashers, and at the edges.

#![cfg_attr(cmap_asan, allow(unused_imports))]
#[path = "../common/mod.rs"]
mod common;

mod batches;
mod closures;
mod collisions;
mod compute;
mod defects;
mod edges;
mod figures;
mod hostile;
mod knobs;
mod limits;
mod long_scans;
mod model;
mod pins;
mod refs;
mod scan;
mod turnover;
mod typed;
