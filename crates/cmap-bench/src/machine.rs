//! What the figures were taken on, and what this process holds.

use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The machine and the code, written into each line of the results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Of the working tree, with `+` if it has changes; `unknown` outside a repository.
    pub commit: String,
    /// The processor's name for itself.
    pub cpu: String,
    /// Hardware threads that this process may use.
    pub cores: usize,
    /// The global allocator.
    pub allocator: String,
}

impl Machine {
    /// Looks around.
    pub fn detect() -> Self {
        Self {
            commit: commit(),
            cpu: cpu(),
            cores: cores(),
            allocator: if cfg!(feature = "mimalloc") {
                "mimalloc"
            } else {
                "system"
            }
            .into(),
        }
    }
}

/// Hardware threads that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let Some(head) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".into();
    };
    let sources = ["crates", "Cargo.toml", "Cargo.lock"];
    let mut status = vec!["status", "--porcelain", "--untracked-files=no", "--"];
    status.extend(sources);
    match git(&status) {
        Some(changes) if changes.is_empty() => head,
        _ => head + "+",
    }
}

fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let name = field("model name").unwrap_or_else(|| "unknown".into());
    match (field("cpu family"), field("model\t")) {
        (Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        _ => name,
    }
}

/// Bytes that can be had without swapping: the system's estimate, or what the control group leaves.
pub fn available_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let system = kib(&text, "MemAvailable:").map_or(u64::MAX, |kib| kib << 10);
    let group = |name: &str| -> Option<u64> {
        let path = format!("/sys/fs/cgroup/{name}");
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    match (group("memory.max"), group("memory.current")) {
        (Some(max), Some(current)) => system.min(max.saturating_sub(current)),
        _ => system,
    }
}

/// Bytes resident in this process, anonymous and shared memory, huge pages included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resident {
    /// All of them.
    pub bytes: u64,
    /// Those in transparent huge pages.
    pub huge_bytes: u64,
}

/// Counts what is resident page by page: exact, and slow enough to be used at rest only.
///
/// It is `RssAnon + RssShmem`; the counters of that name may lag by some hundred KiB on newer kernels.
pub fn resident() -> Resident {
    let rollup = || std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    // The first look touches the pages of its own text, which the second finds there.
    drop(rollup());
    let text = rollup();
    match kib(&text, "Anonymous:") {
        None => Resident {
            bytes: resident_roughly(),
            huge_bytes: 0,
        },
        Some(anonymous) => Resident {
            bytes: (anonymous + kib(&text, "Pss_Shmem:").unwrap_or(0)) << 10,
            huge_bytes: kib(&text, "AnonHugePages:").unwrap_or(0) << 10,
        },
    }
}

/// `RssAnon + RssShmem` from the process's counters: cheap enough to be polled.
pub fn resident_roughly() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    (kib(&text, "RssAnon:").unwrap_or(0) + kib(&text, "RssShmem:").unwrap_or(0)) << 10
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// This thread on a core of its own, until it is dropped. Without it two threads that have just been started share a core
/// for milliseconds before the system moves one, which is long enough to spoil a short phase.
pub struct Placed(libc::cpu_set_t);

impl Placed {
    /// Puts this thread on the `number`-th of the cores that it may use; `None` where that cannot be done.
    pub fn on(number: usize) -> Option<Self> {
        let size = size_of::<libc::cpu_set_t>();
        let mut allowed = no_cores();
        // SAFETY: `allowed` is a set of that size to write to; 0 is this thread.
        if unsafe { libc::sched_getaffinity(0, size, &raw mut allowed) } != 0 {
            return None;
        }
        // SAFETY: the number is below the set's size.
        let is_allowed = |&core: &usize| unsafe { libc::CPU_ISSET(core, &allowed) };
        let core = (0..size * 8).filter(is_allowed).nth(number)?;
        let mut chosen = no_cores();
        // SAFETY: as above.
        unsafe { libc::CPU_SET(core, &mut chosen) };
        // SAFETY: `chosen` is a set of that size to read.
        let done = unsafe { libc::sched_setaffinity(0, size, &raw const chosen) };
        (done == 0).then_some(Self(allowed))
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        let size = size_of::<libc::cpu_set_t>();
        // SAFETY: a set of that size to read. If it fails, the thread stays where it is.
        unsafe { libc::sched_setaffinity(0, size, &raw const self.0) };
    }
}

const fn no_cores() -> libc::cpu_set_t {
    // SAFETY: a set is an array of integers; all zeros is the empty one.
    unsafe { std::mem::zeroed() }
}

/// Processor time that this thread has had.
pub fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a `timespec` to write to.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(done, 0, "every Linux has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Page faults that this thread has taken without waiting for a disk.
pub fn minor_faults() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is a `rusage` to write to.
    let done = unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    assert_eq!(done, 0, "getrusage knows RUSAGE_THREAD");
    // SAFETY: zeroed is a valid `rusage`, and the call filled it.
    unsafe { usage.assume_init() }.ru_minflt as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_follows_what_is_touched() {
        // Far more than the tests beside this one touch meanwhile.
        const BYTES: usize = 256 << 20;
        let before = resident().bytes as i64;
        let faults = minor_faults();
        let mut pages = crate::pages::Pages::new(BYTES).unwrap();
        pages.as_mut_slice().fill(1);
        let grown = resident().bytes as i64 - before;
        assert!((grown - BYTES as i64).abs() < BYTES as i64 / 2, "{grown}");
        assert!(minor_faults() > faults);
        drop(pages);
        let left = resident().bytes as i64 - before;
        assert!(left < BYTES as i64 / 2, "{left}");
    }

    #[test]
    fn a_place_is_given_back() {
        let cores = cores();
        let placed = Placed::on(cores - 1);
        assert!(placed.is_some() && super::cores() == 1);
        drop(placed);
        assert_eq!(super::cores(), cores);
        assert!(Placed::on(cores).is_none());
    }

    #[test]
    fn the_machine_has_a_name() {
        let machine = Machine::detect();
        assert!(!machine.cpu.is_empty() && machine.cores > 0 && !machine.commit.is_empty());
        assert!(available_bytes() > 0);
    }
}
