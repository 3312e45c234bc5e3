//! The progress bar: on standard error if that is a terminal, otherwise nowhere.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::store::Kind;

/// Entries between two looks at the bar while the input is read.
const READ_STEP: u64 = 1024;
/// How often the sign of life moves while the input is read.
const TICK: Duration = Duration::from_millis(100);

/// A bar, or none.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// For the person at the terminal, if there is one.
    pub fn at_terminal() -> Self {
        if !io::stderr().is_terminal() {
            return Self::hidden();
        }
        let bar = ProgressBar::no_length();
        bar.set_style(style("reading {spinner}"));
        Self { bar }
    }

    /// For nobody.
    pub fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
        }
    }

    /// Whether anybody sees it.
    pub fn is_visible(&self) -> bool {
        !self.bar.is_hidden()
    }

    /// The input is being read: of a known size, or until it ends.
    pub fn reading(&self, bytes: Option<u64>) {
        self.packing("reading", bytes);
    }

    /// So many bytes of entries are being made.
    pub fn making(&self, bytes: u64) {
        self.packing("making entries", Some(bytes));
    }

    fn packing(&self, doing: &str, bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            self.bar.set_length(bytes);
        }
        let how_far = match bytes {
            Some(_) => "{bar:30} {percent:>3} % ",
            None => "{spinner}",
        };
        self.bar
            .set_style(style(&format!("{doing} {how_far} {{msg}} entries")));
        self.bar.enable_steady_tick(TICK);
    }

    /// So many entries were packed; the last one took so many bytes of the input.
    pub fn read(&self, entries: u64, input_bytes: u64) {
        self.bar.inc(input_bytes);
        if entries.is_multiple_of(READ_STEP) {
            self.bar.set_message(entries.to_string());
        }
    }

    /// The stores are being measured, in so many steps. From here on nothing moves by itself: drawing takes a core.
    pub fn measuring(&self, steps: u64) {
        self.bar.disable_steady_tick();
        self.bar.set_style(style("{bar:30} {percent:>3} %  {msg}"));
        self.bar.set_length(steps);
        self.bar.set_position(0);
    }

    /// So many of the steps are done, and this is being done now.
    pub fn measured(&self, steps: u64, kind: Kind, doing: &str) {
        self.bar.set_position(steps);
        self.bar.set_message(format!("{kind}: {doing}"));
    }

    /// Leaves no trace on the terminal.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates are constants")
        .progress_chars("#>-")
}
