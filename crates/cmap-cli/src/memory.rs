//! What the system says about memory: of this process, and of the machine.

use std::{fs, io};

/// Bytes of this process's own memory: `RssAnon + RssShmem` of `/proc/self/status`.
///
/// Pages of mapped files (the program itself, the packed entries) do not count; the packed file's do where the
/// temporary directory lies in memory (`tmpfs`), which is why they are touched before the first reading.
pub fn resident() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    match (
        kibibytes(&status, "RssAnon"),
        kibibytes(&status, "RssShmem"),
    ) {
        (Some(anonymous), Some(shared)) => Ok((anonymous + shared) << 10),
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "/proc/self/status has no RssAnon or RssShmem",
        )),
    }
}

/// Bytes that can be used without pushing anything out: `MemAvailable` of `/proc/meminfo`; `None` where there is none.
pub fn available() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    Some(kibibytes(&meminfo, "MemAvailable")? << 10)
}

fn kibibytes(text: &str, field: &str) -> Option<u64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "RssAnon:\t    120 kB\nRssAnonymous:\t 7 kB\nRssShmem:\t 4 kB\nThreads:\t1\n";
        assert_eq!(kibibytes(text, "RssAnon"), Some(120));
        assert_eq!(kibibytes(text, "RssShmem"), Some(4));
        assert_eq!(kibibytes(text, "Rss"), None);
        assert_eq!(kibibytes(text, "Threads"), None);
    }

    #[test]
    fn memory_that_is_written_counts() {
        let before = resident().unwrap();
        let written = std::hint::black_box(vec![1_u8; 256 << 20]);
        let after = resident().unwrap();
        assert!(after >= before + (128 << 20), "{before} -> {after}");
        drop(written);
        assert!(available().is_some_and(|bytes| bytes > 0));
    }
}
