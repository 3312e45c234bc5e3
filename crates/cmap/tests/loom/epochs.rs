//! The epoch alone: pins against stamps, looks and frees. Whatever is freed too early loom reports at the pointer.

use std::sync::Arc;

use crate::harness::{check, check_without_bound, join, spawn};
use cmap::internal::loom::{Limbo, Shared, Tag};

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
fn one_section_against_advance_and_free_without_bound() {
    check_without_bound("one_section_against_advance_and_free_without_bound", || {
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

#[test]
fn two_sections_of_a_thread_against_advance_and_free() {
    check("two_sections_of_a_thread_against_advance_and_free", || {
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
