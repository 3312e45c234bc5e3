//! Runs one child per store: starts it, follows what it says, and judges how it ended.

use std::{
    env,
    fs::File,
    io::{self, BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::{ChildStdout, Command, ExitStatus, Stdio},
};

use crate::{
    child::{Measured, Message, Pass},
    failure::Failure,
    interrupt::{Interrupt, SIGNALS},
    progress::Progress,
    store::Kind,
};

/// The signal with which the system ends a process when memory runs out.
const SIGKILL: i32 = 9;

/// What all children have in common.
pub struct Runner<'r> {
    /// The packed entries.
    pub packed: &'r File,
    /// How many there are.
    pub entries: u64,
    /// Threads in each child.
    pub threads: usize,
    /// Seed of the hash in each child.
    pub seed: u64,
    /// Lookups of a hundred operations in a mixed phase, if there is to be one.
    pub mix: Option<u8>,
    /// Ends a child on Ctrl-C.
    pub interrupt: &'r Interrupt,
    /// Shows how far they are.
    pub progress: &'r Progress,
}

impl Runner<'_> {
    /// Steps of the progress bar for so many stores.
    pub fn steps(&self, stores: usize) -> u64 {
        (stores * self.passes().count()) as u64 * self.entries
    }

    fn passes(&self) -> impl Iterator<Item = Pass> {
        let is_mixed = self.mix.is_some();
        Pass::ALL
            .into_iter()
            .filter(move |&pass| is_mixed || pass != Pass::Mixed)
    }

    /// Measures a store, the `number`-th from 0.
    pub fn measure(&self, number: usize, kind: Kind) -> Result<Measured, Failure> {
        let failed = |reason: String| Failure::Child { kind, reason };
        self.progress.measured(self.steps(number), kind, "starting");
        let output = self
            .start(kind)
            .map_err(|error| failed(format!("its process cannot be started: {error}")))?;
        let said = self.follow(output, number, kind);
        if said.is_err() {
            self.interrupt.kill();
        }
        let ended = self
            .interrupt
            .wait()
            .map_err(|error| failed(format!("its process is lost: {error}")))?;
        if let Some(signal) = ended.signal().filter(|signal| SIGNALS.contains(signal)) {
            // Ctrl-C reaches the whole group of processes; the child may be the first to end.
            return Err(Failure::Interrupted { signal });
        }
        match said.map_err(failed)? {
            Some(Message::Measured(measured)) if ended.success() => Ok(measured),
            Some(Message::Failed { reason }) => Err(failed(reason)),
            _ => Err(failed(format!(
                "its process ended without a result: {}",
                describe(ended)
            ))),
        }
    }

    fn start(&self, kind: Kind) -> io::Result<ChildStdout> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["measure-store", "--store", kind.argument()]);
        command.args([
            "--threads",
            &self.threads.to_string(),
            "--seed",
            &self.seed.to_string(),
        ]);
        if let Some(mix) = self.mix {
            command.args(["--mix", &mix.to_string()]);
        }
        if self.progress.is_visible() {
            command.arg("--progress");
        }
        command
            .stdin(Stdio::from(self.packed.try_clone()?))
            .stdout(Stdio::piped());
        self.interrupt.spawn(&mut command)
    }

    /// Shows what the child reports, until it has said all. The result is its last message.
    fn follow(
        &self,
        output: ChildStdout,
        number: usize,
        kind: Kind,
    ) -> Result<Option<Message>, String> {
        let mut result = None;
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(|error| format!("its process cannot be heard: {error}"))?;
            match serde_json::from_slice(&line) {
                Ok(Message::Progress { pass, done }) => {
                    let earlier = self.passes().take_while(|&earlier| earlier != pass);
                    let passes = earlier.count() as u64;
                    let steps = self.steps(number) + passes * self.entries + done;
                    self.progress.measured(steps, kind, pass.doing());
                }
                Ok(message) => result = Some(message),
                Err(_) => {
                    return Err(format!(
                        "its process said \"{}\", which is no result",
                        line.escape_ascii()
                    ));
                }
            }
        }
        Ok(result)
    }
}

fn describe(ended: ExitStatus) -> String {
    match ended.signal() {
        Some(SIGKILL) => format!("{ended} (was there too little memory?)"),
        _ => ended.to_string(),
    }
}
