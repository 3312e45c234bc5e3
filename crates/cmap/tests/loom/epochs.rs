//! The epoch alone: pins against stamps, looks and frees. Whatever is freed too early loom reports at the pointer.

use std::sync::Arc;

use crate::harness::{check, check_without_bound, join, spawn};
use cmap::internal::loom::{Limbo, Shared, Tag, leave};
use loom::sync::atomic::{AtomicBool, Ordering};

struct World {
    tag: Tag,
    shared: Shared<u32>,
    limbo: Limbo<u32>,
}

impl World {
    /// A shared 0, and places for what it will be replaced by.
    fn new() -> Arc<Self> {
        let tag = Tag::fresh();
        Arc::new(Self {
            tag,
            shared: Shared::new(0),
            limbo: Limbo::new(tag, 4),
        })
    }

    /// One section: what it sees is not freed before its end, and no older than `least`.
    fn section(&self, least: u32) -> u32 {
        let pin = self.tag.pin();
        let seen = *self.shared.load(&pin).expect("never empty");
        assert!(seen >= least, "{seen} after {least}");
        seen
    }

    fn end(mut self: Arc<Self>) {
        assert_eq!(self.limbo.attempt(), 0, "the last attempt freed the rest");
        Arc::get_mut(&mut self)
            .expect("all threads are joined")
            .limbo
            .drain();
    }
}

/// A thread that waits for nobody: its sections come before, between and after the replacing, the stamp and the look.
#[test]
fn one_section_against_advance_and_free() {
    check_without_bound("one_section_against_advance_and_free", || {
        let world = World::new();
        let reader = world.clone();
        let reader = spawn(move || reader.section(0));
        world.shared.replace(Some(1), &world.limbo);
        world.limbo.attempt();
        join(reader);
        world.limbo.attempt();
        world.end();
    });
}

/// The second section may show a younger pin to a look that must still wait for what the first one read.
#[test]
fn two_sections_of_a_thread_against_advance_and_free() {
    check_without_bound("two_sections_of_a_thread_against_advance_and_free", || {
        let world = World::new();
        let reader = world.clone();
        let reader = spawn(move || {
            let first = reader.section(0);
            reader.section(first)
        });
        world.shared.replace(Some(1), &world.limbo);
        world.limbo.attempt();
        join(reader);
        world.limbo.attempt();
        world.end();
    });
}

/// Deeper sections protect as the outermost one does, in whatever order they end.
#[test]
fn nested_sections_against_two_advances() {
    check("nested_sections_against_two_advances", || {
        let world = World::new();
        let reader = world.clone();
        let reader = spawn(move || {
            let outer = reader.tag.pin();
            let first = reader.shared.load(&outer).copied();
            let inner = reader.tag.pin();
            drop(outer);
            let second = reader.shared.load(&inner).copied();
            assert!(first <= second, "{first:?}, then {second:?}");
        });
        for value in 1..=2 {
            world.shared.replace(Some(value), &world.limbo);
            world.limbo.attempt();
        }
        join(reader);
        world.limbo.attempt();
        world.end();
    });
}

/// A fifth section shares a word with the sixth: the word stays until both are over.
#[test]
fn sections_deeper_than_a_record_against_advance_and_free() {
    check(
        "sections_deeper_than_a_record_against_advance_and_free",
        || {
            let world = World::new();
            let reader = world.clone();
            let reader = spawn(move || {
                let other = Tag::fresh();
                let outer = [(); 4].map(|()| other.pin());
                let fifth = reader.tag.pin();
                let sixth = reader.tag.pin();
                drop(fifth);
                assert!(reader.shared.load(&sixth).is_some());
                drop((sixth, outer));
            });
            world.shared.replace(Some(1), &world.limbo);
            world.limbo.attempt();
            join(reader);
            world.limbo.attempt();
            world.end();
        },
    );
}

/// Threads that could get no record share a word.
#[test]
fn pins_without_a_record_against_advance_and_free() {
    check("pins_without_a_record_against_advance_and_free", || {
        let world = World::new();
        let section = |world: &World| {
            let pin = world.tag.pin_without_record();
            world.shared.load(&pin).copied()
        };
        let (one, two) = (world.clone(), world.clone());
        let (one, two) = (spawn(move || section(&one)), spawn(move || section(&two)));
        world.shared.replace(Some(1), &world.limbo);
        world.limbo.attempt();
        join(one);
        join(two);
        world.limbo.attempt();
        world.end();
    });
}

/// A thread reads, unpins and ends; another takes its record over, and its younger pin must not hide what the first read.
#[test]
fn last_pin_against_thread_exit() {
    check("last_pin_against_thread_exit", || {
        let world = World::new();
        let (one, two) = (world.clone(), world.clone());
        let over = Arc::new(AtomicBool::new(false));
        let lingers = over.clone();
        let one = spawn(move || {
            one.section(0);
            leave();
            // For loom a thread that ended is ordered before everything. So it is not quite over.
            lingers.load(Ordering::Relaxed);
        });
        let two = spawn(move || two.section(0));
        let collector = world.clone();
        let collector = spawn(move || {
            collector.shared.replace(Some(1), &collector.limbo);
            collector.limbo.attempt();
            over.store(true, Ordering::Relaxed);
        });
        join(one);
        join(two);
        join(collector);
        world.limbo.attempt();
        world.end();
    });
}

/// A pin on another map delays nobody, and one that begins after the stamp neither.
#[test]
fn a_pin_of_another_map_does_not_delay() {
    check_without_bound("a_pin_of_another_map_does_not_delay", || {
        let world = World::new();
        let other = spawn(|| {
            let tag = Tag::fresh();
            let pin = tag.pin();
            drop(tag.pin());
            drop(pin);
        });
        world.shared.replace(Some(1), &world.limbo);
        assert_eq!(world.limbo.attempt(), 1, "nobody looks");
        join(other);
        world.end();
    });
}

/// Two threads unlink and make grace attempts: each thing is freed once, and only when no section sees it.
#[test]
fn two_collectors_against_a_section() {
    check("two_collectors_against_a_section", || {
        let world = World::new();
        let (reader, other) = (world.clone(), world.clone());
        let reader = spawn(move || reader.section(0));
        let other = spawn(move || {
            other.shared.replace(Some(1), &other.limbo);
            other.limbo.attempt()
        });
        world.shared.replace(Some(2), &world.limbo);
        let mut freed = world.limbo.attempt();
        join(reader);
        freed += join(other);
        freed += world.limbo.attempt();
        assert_eq!(freed, 2);
        world.end();
    });
}
