//! The house rules that no compiler knows, held against the sources of the library: the floors, where `unsafe`, atomics and
//! system calls may stand, and what must be commented. Headings and lengths are asked of its tests and examples too, and of
//! CONTRIBUTING.md that the tests exist that it names. Each rule is also held against a snippet that breaks it.

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use rules::{Finding, ROOMS};
use source::Source;
use std::{fs, path::Path};

/// The only files that may say `unsafe`: at most four.
const UNSAFE_FILES: &[&str] = &[
    "base/os.rs",
    "memory/chunk.rs",
    "memory/epoch.rs",
    "index/table.rs",
];

/// All files below `folder` of this crate, by their path in it.
fn sources(folder: &str) -> Vec<Source> {
    fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("a file").path();
            if path.is_dir() {
                collect(root, &path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(root)
                    .expect("below the root")
                    .to_string_lossy()
                    .replace('\\', "/");
                found.push(Source::new(
                    &name,
                    &fs::read_to_string(&path).expect("UTF-8"),
                ));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!found.is_empty(), "no sources in {}", root.display());
    found
}

/// Fails with all findings of `rule` in `folder`, one a line.
#[track_caller]
fn hold(folder: &str, rule: impl Fn(&Source) -> Vec<Finding>) {
    let findings: Vec<_> = sources(folder)
        .iter()
        .flat_map(rule)
        .map(|finding| format!("\n  {folder}/{finding}"))
        .collect();
    assert!(findings.is_empty(), "{}", findings.concat());
}

/// What `rule` finds in a snippet, as text.
fn found(rule: impl Fn(&Source) -> Vec<Finding>, name: &str, text: &str) -> Vec<String> {
    rule(&Source::new(name, text))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn rooms_use_only_the_floors_below() {
    hold("src", rules::floors);
}

#[test]
fn unsafe_stands_in_four_files_at_most() {
    assert!(
        UNSAFE_FILES.len() <= 4,
        "{} files may say `unsafe`",
        UNSAFE_FILES.len()
    );
    hold("src", |source| rules::unsafe_files(source, UNSAFE_FILES));
}

#[test]
fn every_unsafe_block_says_why() {
    hold("src", rules::safety_comments);
}

#[test]
fn atomics_come_from_base_sync() {
    hold("src", |source| {
        rules::only_in(
            source,
            &["std::sync::atomic", "core::sync::atomic"],
            "base/sync.rs",
        )
    });
}

#[test]
fn system_calls_come_from_base_os() {
    hold("src", |source| {
        rules::only_in(source, &["libc"], "base/os.rs")
    });
}

#[test]
fn every_ordering_names_its_partner() {
    hold("src", rules::ordering_comments);
}

#[test]
fn files_have_a_heading_and_an_end() {
    for folder in ["src", "tests", "examples"] {
        hold(folder, rules::heading);
        hold(folder, rules::length);
    }
}

/// Tests that a text names, in code: `file::test`.
fn tests_named(text: &str) -> Vec<(&str, &str)> {
    let code = text.split('`').skip(1).step_by(2);
    code.filter_map(|code| code.split_once("::")).collect()
}

#[test]
fn the_tests_that_hold_promises_exist() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../CONTRIBUTING.md");
    let text = fs::read_to_string(path).expect("CONTRIBUTING.md");
    let (_, section) = text
        .split_once("### Which test holds which promise")
        .expect("the section");
    let (section, _) = section.split_once("\n### ").expect("its end");
    let rows: Vec<_> = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .collect();
    assert!(rows.len() > 20, "{} promises", rows.len());
    let sources = sources("tests");
    for row in rows {
        let named = tests_named(row);
        assert!(!named.is_empty(), "no test for: {row}");
        for (file, test) in named {
            let homes = [format!("{file}.rs"), format!("{file}/mod.rs")];
            let mut at_home = sources.iter().filter(|source| {
                homes
                    .iter()
                    .any(|home| source.name == *home || source.name.ends_with(&format!("/{home}")))
            });
            let definition = format!("fn {test}() {{");
            assert!(
                at_home.any(|source| source.lines.contains(&definition)),
                "there is no test {file}::{test}"
            );
        }
    }
}

#[test]
fn the_floor_rule_bites() {
    let told = |name: &str, text: &str| found(rules::floors, name, text);
    assert_eq!(
        told("log/lane.rs", "use crate::index::Table;"),
        ["log/lane.rs:1: `log` must not know `index`"]
    );
    assert_eq!(
        told("index/mod.rs", "\nuse crate::log::Log;"),
        ["index/mod.rs:2: `index` must not know `log`"]
    );
    assert_eq!(
        told("base/os.rs", "fn f() { crate::memory::pool(); }"),
        ["base/os.rs:1: `base` must not know `memory`"]
    );
    assert_eq!(
        told("memory/pool.rs", "use super::super::store::Store;"),
        ["memory/pool.rs:1: `memory` must not know `store`"]
    );
    assert_eq!(
        told("base.rs", "use crate::map::CMap;"),
        ["base.rs:1: `base` must not know `map`"]
    );
    assert_eq!(
        told(
            "log/mod.rs",
            "use crate::{\n    base::sync,\n    index::{Slot, Table},\n    store as s,\n};"
        ),
        [
            "log/mod.rs:3: `log` must not know `index`",
            "log/mod.rs:4: `log` must not know `store`"
        ]
    );
    assert_eq!(
        told("attic/mod.rs", ""),
        ["attic/mod.rs:1: `attic` is not on the floor table"]
    );
    for (name, text) in [
        (
            "log/lane.rs",
            "use crate::{base::sync::AtomicU64, memory::Chunk};\nuse crate::log::Entry;",
        ),
        (
            "map/mod.rs",
            "use crate::store::Store; use crate::{index, log, memory, base};",
        ),
        (
            "store/mod.rs",
            "// never crate::map\nlet s = \"crate::map::CMap\";",
        ),
        ("lib.rs", "pub use crate::map::CMap;"),
    ] {
        assert!(
            told(name, text).is_empty(),
            "{name}: {:?}",
            told(name, text)
        );
    }
    assert_eq!(ROOMS.len(), 7);
}

#[test]
fn the_unsafe_rules_bite() {
    let files = |name: &str, text: &str| {
        found(
            |source| rules::unsafe_files(source, UNSAFE_FILES),
            name,
            text,
        )
    };
    assert_eq!(
        files("map/mod.rs", "//!\nunsafe { f() }"),
        ["map/mod.rs:2: `unsafe` outside the files that may have it"]
    );
    assert_eq!(files("map/mod.rs", "unsafe impl Send for X {}").len(), 1);
    assert!(files("memory/chunk.rs", "unsafe { f() }").is_empty());
    assert!(
        files(
            "map/mod.rs",
            "// unsafe\n#![deny(unsafe_code)] let x = \"unsafe\";"
        )
        .is_empty()
    );

    let why = |text: &str| found(rules::safety_comments, "memory/chunk.rs", text);
    assert_eq!(
        why("let x = unsafe { f() };"),
        ["memory/chunk.rs:1: an `unsafe` block without `// SAFETY:` above it"]
    );
    assert_eq!(
        why("// SAFETY: a.\nfn g() {}\n\nfn f() {\n    unsafe { g() }\n}").len(),
        1
    );
    assert_eq!(
        why("// SAFETY: a.\nunsafe { f() };\nunsafe { g() };").len(),
        1
    );
    assert_eq!(why("unsafe impl Sync for X {}").len(), 1);
    assert!(why("// SAFETY: Pinned-stays.\nlet x =\n    unsafe { f() };").is_empty());
    assert!(why("// SAFETY: Counted,\n// and more.\nunsafe { f() }\nunsafe fn g() {}").is_empty());
}

#[test]
fn the_atomics_rules_bite() {
    let atomics = |name: &str, text: &str| {
        found(
            |source| {
                rules::only_in(
                    source,
                    &["std::sync::atomic", "core::sync::atomic"],
                    "base/sync.rs",
                )
            },
            name,
            text,
        )
    };
    assert_eq!(
        atomics("log/lane.rs", "use std::sync::atomic::AtomicU64;"),
        ["log/lane.rs:1: `std::sync::atomic` belongs in base/sync.rs alone"]
    );
    assert_eq!(
        atomics(
            "log/lane.rs",
            "use std::{\n  sync::{Arc, atomic::{self, Ordering}}};"
        )
        .len(),
        2
    );
    assert_eq!(
        atomics(
            "log/lane.rs",
            "let x = core::sync::atomic::AtomicU8::new(0);"
        )
        .len(),
        1
    );
    assert!(atomics("base/sync.rs", "pub use std::sync::atomic::*;").is_empty());
    assert!(
        atomics(
            "log/lane.rs",
            "use std::sync::Arc;\n#[cfg(test)]\nmod tests { use std::sync::atomic::AtomicU8; }"
        )
        .is_empty()
    );

    let libc = |name: &str, text: &str| {
        found(
            |source| rules::only_in(source, &["libc"], "base/os.rs"),
            name,
            text,
        )
    };
    assert_eq!(
        libc("memory/pool.rs", "libc::mmap(0)"),
        ["memory/pool.rs:1: `libc` belongs in base/os.rs alone"]
    );
    assert!(libc("base/os.rs", "libc::mmap(0)").is_empty());

    let partners = |text: &str| found(rules::ordering_comments, "log/lane.rs", text);
    assert_eq!(
        partners("x.load(Ordering::Acquire);"),
        ["log/lane.rs:1: `Acquire` without a comment that names its partner"]
    );
    assert_eq!(
        partners("// Pairs with y.\n\n\n\n\n\n\n\n\nx.store(1, Release);").len(),
        1
    );
    assert_eq!(
        partners("/// Docs are no partner.\nx.swap(1, SeqCst);").len(),
        1
    );
    assert!(partners("// Acquire: sees what `publish` released.\nx.compare_exchange(\n    1,\n    Ordering::AcqRel,\n);").is_empty());
    assert!(partners("x.load(Acquire); // pairs with the store in `retire`").is_empty());
    assert!(partners("use Ordering::{Acquire, Release};\nx.load(Ordering::Relaxed);").is_empty());
}

#[test]
fn unit_tests_begin_at_their_module() {
    let from = |text: &str| Source::new("a.rs", text).tests_from;
    assert_eq!(from("//!\n#[cfg(test)]\nmod tests {\n}"), 1);
    assert_eq!(
        from("//!\n#[cfg(all(test, not(cmap_loom)))]\n#[path = \"x.rs\"]\nmod tests {\n}"),
        1
    );
    assert_eq!(from("//!\n#[cfg(test)]\nfn helper() {}\n"), 3);
    assert_eq!(from("//!\n#[cfg(test)]\nmod tests;\nuse libc;"), 4);
}

#[test]
fn the_file_rules_bite() {
    assert_eq!(
        found(rules::heading, "a.rs", "use x;\n"),
        ["a.rs:1: a file opens with `//!`: what it is for"]
    );
    assert!(found(rules::heading, "a.rs", "//! What it is for.\n").is_empty());
    assert_eq!(
        found(rules::length, "a.rs", &"\n".repeat(701)),
        ["a.rs:701: longer than 700 lines"]
    );
    assert!(found(rules::length, "a.rs", &"\n".repeat(700)).is_empty());
}
