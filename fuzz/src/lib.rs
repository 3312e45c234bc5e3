//! Counts how many inputs of a target reach the map, and says so when the fuzzer ends: a target that mostly feeds what is refused
//! at the door finds nothing, and fails.

use std::sync::{
    Once,
    atomic::{AtomicU64, Ordering},
};

static INPUTS: AtomicU64 = AtomicU64::new(0);
static REACHED: AtomicU64 = AtomicU64::new(0);

/// So few inputs say nothing: a crash that is run again, or the corpus alone.
const INPUTS_MIN: u64 = 1_000;

/// Counts an input.
pub fn count(reached: bool) {
    static AT_END: Once = Once::new();
    AT_END.call_once(|| {
        // SAFETY: registers a function that is never unloaded.
        unsafe { libc::atexit(say) };
    });
    INPUTS.fetch_add(1, Ordering::Relaxed);
    REACHED.fetch_add(u64::from(reached), Ordering::Relaxed);
}

extern "C" fn say() {
    let (inputs, reached) = (
        INPUTS.load(Ordering::Relaxed),
        REACHED.load(Ordering::Relaxed),
    );
    let percent = reached * 100 / inputs.max(1);
    eprintln!("fuzz: {inputs} inputs, {reached} of them reach the map: {percent} %");
    if inputs >= INPUTS_MIN && reached * 2 < inputs {
        eprintln!("fuzz: fewer than half of the inputs reach the map");
        // SAFETY: ends the process, which is ending.
        unsafe { libc::_exit(1) };
    }
}
