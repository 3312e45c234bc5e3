//! The program as its users meet it: what it prints, how it ends, and what it leaves behind.

#[path = "program/arguments.rs"]
mod arguments;
#[path = "program/bench.rs"]
mod bench;
#[path = "program/children.rs"]
mod children;
#[path = "program/csv.rs"]
mod csv;
#[path = "program/files.rs"]
mod files;
#[path = "program/jsonl.rs"]
mod jsonl;
#[path = "program/place.rs"]
mod place;
#[path = "program/report.rs"]
mod report;
#[path = "program/tree.rs"]
mod tree;
