//! Ctrl-C, and a polite request to end: the child is ended and waited for, then the program ends.
//!
//! The temporary file has no name, so there is nothing else to clean up. One lock orders a signal and the start of a
//! child: either the child is known when the signal is handled, or it is never started.

use std::{
    io::{self, Write},
    process::{Child, ChildStdout, Command, ExitStatus, exit},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

/// Signals that end the program.
pub const SIGNALS: [i32; 2] = [SIGINT, SIGTERM];

/// Handles signals from when it is installed until the program ends, and owns the running child.
pub struct Interrupt {
    child: Arc<Mutex<Option<Child>>>,
}

impl Interrupt {
    /// Starts the thread that waits for signals.
    pub fn install() -> io::Result<Self> {
        let mut signals = Signals::new(SIGNALS)?;
        let child = Arc::new(Mutex::new(None));
        let known = Arc::clone(&child);
        thread::Builder::new()
            .name("interrupt".into())
            .spawn(move || {
                if let Some(signal) = signals.forever().next() {
                    // Held until the end, so that no child starts any more.
                    let mut child = lock(&known);
                    if let Some(child) = child.as_mut() {
                        let _ = child.kill();
                        let _ = child.wait();
                    }
                    let _ = writeln!(io::stderr(), "\ncmap: interrupted");
                    exit(128 + signal);
                }
            })?;
        Ok(Self { child })
    }

    /// Starts a child, whose standard output the command pipes.
    pub fn spawn(&self, command: &mut Command) -> io::Result<ChildStdout> {
        let mut child = lock(&self.child);
        assert!(child.is_none(), "one child at a time");
        let mut started = command.spawn()?;
        let output = started.stdout.take().expect("the command pipes it");
        *child = Some(started);
        Ok(output)
    }

    /// Waits until the child has ended.
    pub fn wait(&self) -> io::Result<ExitStatus> {
        let child = lock(&self.child)
            .as_ref()
            .map(Pid::from_child)
            .expect("a child runs");
        // Without the lock, so that a signal can end the child meanwhile. It stays waitable: its number is not reused.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(
            waitid(WaitId::Pid(child), ended),
            Err(rustix::io::Errno::INTR)
        ) {}
        let mut child = lock(&self.child);
        let status = child.as_mut().expect("a child runs").wait()?;
        *child = None;
        Ok(status)
    }

    /// Ends the child, whatever it does.
    pub fn kill(&self) {
        if let Some(child) = lock(&self.child).as_mut() {
            let _ = child.kill();
        }
    }
}

fn lock(child: &Mutex<Option<Child>>) -> MutexGuard<'_, Option<Child>> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}
