//! The operating system: reserve, commit, give back, barrier, and what machine this is. Nothing else.
//!
//! An address range is reserved once and never moves; its pages are committed in runs and given back in runs. Linux has
//! more to offer (huge pages, `membarrier`, `madvise` that empties pages); every other Unix, and Linux under
//! `--cfg cmap_portable`, does without.
//!
//! Invariants kept here, for the unsafe blocks below:
//! - **Whole-range**: a [`Reservation`] owns `base..base + len`, a mapping that nobody else made or unmaps.
//! - **Inside**: every offset and length handed to the system is checked against `len` first.

#![allow(unsafe_code)]
// Model checkers bring memory of their own.
#![cfg_attr(any(cmap_loom, cmap_shuttle), allow(dead_code))]

use core::ptr::NonNull;
use std::io::{self, Write};

#[cfg(not(any(cmap_loom, cmap_shuttle)))]
use super::sync::{AtomicBool, Ordering};

/// So that addresses alone are not charged to anybody. Elsewhere the flag does not exist or means nothing.
#[cfg(all(target_os = "linux", not(cmap_portable)))]
const NO_RESERVE: libc::c_int = libc::MAP_NORESERVE;
#[cfg(not(all(target_os = "linux", not(cmap_portable))))]
const NO_RESERVE: libc::c_int = 0;

/// A range of addresses that belongs to this process alone. Dropping it unmaps it.
#[derive(Debug)]
pub(crate) struct Reservation {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: Whole-range: the mapping is owned, has no thread affinity, and every access to its bytes goes through
// `memory::chunk`, which says who may read and write when.
unsafe impl Send for Reservation {}
// SAFETY: as above; the methods only pass addresses to the system, which is thread-safe.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Reserves `len` bytes (a multiple of `align`) at a multiple of `align`, inaccessible and without backing memory. The
    /// page that follows them is reserved too, and never accessible: what begins within the range and is shorter than a
    /// page cannot reach anything else.
    pub(crate) fn new(len: usize, align: usize) -> io::Result<Self> {
        debug_assert!(align.is_power_of_two() && len % align == 0);
        let page = page_size();
        let padded = len
            .checked_add(align)
            .and_then(|len| len.checked_add(page))
            .ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: an anonymous mapping at an address of the system's choice touches no existing memory.
        let raw = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                padded,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | NO_RESERVE,
                -1,
                0,
            )
        };
        if raw == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let raw = raw.cast::<u8>();
        let lead = raw.addr().next_multiple_of(align) - raw.addr();
        let tail = align - lead;
        // SAFETY: `lead <= align`, and the mapping is `len + align + page` long.
        let base = unsafe { raw.add(lead) };
        if lead > 0 {
            // SAFETY: the first `lead` bytes (a multiple of the page) of the mapping just made; nobody has its address.
            let trimmed = unsafe { libc::munmap(raw.cast(), lead) };
            debug_assert_eq!(trimmed, 0);
        }
        if tail > 0 {
            // SAFETY: `base + len + page` is `tail` bytes before the mapping's end.
            let end = unsafe { base.add(len + page) };
            // SAFETY: the last `tail` bytes (a multiple of the page) of the mapping just made; nobody has its address.
            let trimmed = unsafe { libc::munmap(end.cast(), tail) };
            debug_assert_eq!(trimmed, 0);
        }
        let base = NonNull::new(base).ok_or(io::ErrorKind::OutOfMemory)?;
        let this = Self { base, len };
        this.advise_no_huge();
        Ok(this)
    }

    /// A range of no bytes.
    pub(crate) fn none() -> Self {
        Self {
            base: NonNull::dangling(),
            len: 0,
        }
    }

    /// First byte of the range.
    #[inline]
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Length of the range in bytes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn at(&self, offset: usize, len: usize) -> *mut libc::c_void {
        assert!(
            offset <= self.len && len <= self.len - offset,
            "outside the reservation"
        );
        // SAFETY: Inside, just checked.
        unsafe { self.base.as_ptr().add(offset) }.cast()
    }

    /// Makes `offset..offset + len` readable and writable; it reads as zeros. Both must be multiples of the page size.
    pub(crate) fn commit(&self, offset: usize, len: usize) -> io::Result<()> {
        let at = self.at(offset, len);
        // SAFETY: Whole-range and Inside: the pages are ours; more access breaks nobody's assumption.
        let done = unsafe { libc::mprotect(at, len, libc::PROT_READ | libc::PROT_WRITE) };
        if done == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Gives the memory behind `offset..offset + len` back to the system; it reads as zeros afterwards.
    ///
    /// The caller has made sure that nobody needs the bytes any more (*Pinned-stays*).
    pub(crate) fn give_back(&self, offset: usize, len: usize) {
        let at = self.at(offset, len);
        if !discard(at, len) {
            // SAFETY: Whole-range and Inside: committed pages of ours that nobody reads or writes (the caller's promise).
            unsafe { core::ptr::write_bytes(at.cast::<u8>(), 0, len) };
        }
    }

    /// Reads and writes one byte of every page of `offset..offset + len`, so that later writers meet no page fault.
    pub(crate) fn touch(&self, offset: usize, len: usize) {
        let page = page_size();
        for at in (offset..offset + len).step_by(page) {
            let byte = self.at(at, 1).cast::<u8>();
            // SAFETY: Inside; the caller owns these bytes exclusively (a chunk that was handed out to nobody).
            let value = unsafe { byte.read_volatile() };
            // SAFETY: as above; the byte keeps its value.
            unsafe { byte.write_volatile(value) };
        }
    }

    #[cfg(all(target_os = "linux", not(cmap_portable)))]
    fn advise_no_huge(&self) {
        // Else khugepaged would inflate small maps. A kernel without huge pages answers EINVAL, which is as good.
        // SAFETY: Whole-range; advice only.
        let _ =
            unsafe { libc::madvise(self.base.as_ptr().cast(), self.len, libc::MADV_NOHUGEPAGE) };
    }

    #[cfg(not(all(target_os = "linux", not(cmap_portable))))]
    fn advise_no_huge(&self) {}

    /// Asks for huge pages behind `offset..offset + len`. Where they are refused, ordinary ones serve.
    #[cfg(all(target_os = "linux", not(cmap_portable)))]
    pub(crate) fn advise_huge(&self, offset: usize, len: usize) {
        let at = self.at(offset, len);
        // SAFETY: Whole-range and Inside; advice only.
        let _ = unsafe { libc::madvise(at, len, libc::MADV_HUGEPAGE) };
    }

    #[cfg(not(all(target_os = "linux", not(cmap_portable))))]
    pub(crate) fn advise_huge(&self, _offset: usize, _len: usize) {}
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        // SAFETY: Whole-range: ours to unmap, once; the owner (the pool) outlives every reference into it.
        let done = unsafe { libc::munmap(self.base.as_ptr().cast(), self.len + page_size()) };
        debug_assert_eq!(done, 0);
    }
}

/// Frees the pages at `at`, which belong to a [`Reservation`] and are committed; `false`: the system refuses, and they stay.
#[cfg(all(target_os = "linux", not(cmap_portable)))]
fn discard(at: *mut libc::c_void, len: usize) -> bool {
    // SAFETY: Whole-range and Inside, the caller's. On Linux, and nowhere else, the pages then read as zeros.
    let done = unsafe { libc::madvise(at, len, libc::MADV_DONTNEED) };
    done == 0
}

#[cfg(not(all(target_os = "linux", not(cmap_portable))))]
fn discard(at: *mut libc::c_void, len: usize) -> bool {
    // SAFETY: Whole-range and Inside, the caller's: new pages of zeros, in one step, in place of pages of ours.
    let fresh = unsafe {
        libc::mmap(
            at,
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    if fresh == at {
        return true;
    }
    // Linux refuses before it does anything (no mapping left to give, say); elsewhere the old pages may be gone already, and
    // what somebody else maps there next is not ours to write to. msync fails where a page of its range is not mapped.
    // SAFETY: MS_ASYNC neither reads nor writes the pages.
    let is_mapped = unsafe { libc::msync(at, len, libc::MS_ASYNC) } == 0;
    if !is_mapped {
        end_process("the system took pages away while it was to renew them");
    }
    false
}

/// What is left to do where going on would be unsound: says why, and aborts.
#[cold]
#[cfg_attr(cmap_tsan, allow(dead_code))]
fn end_process(reason: &str) -> ! {
    // Nobody is left to be told of a closed stderr.
    let _ = writeln!(io::stderr(), "cmap: {reason}");
    std::process::abort();
}

fn sysconf(name: libc::c_int, fallback: usize) -> usize {
    // SAFETY: sysconf only reads its argument.
    let answer = unsafe { libc::sysconf(name) };
    usize::try_from(answer)
        .ok()
        .filter(|&n| n > 0)
        .unwrap_or(fallback)
}

#[cfg(all(target_arch = "x86_64", not(any(cmap_loom, cmap_shuttle))))]
static HAS_AVX512: AtomicBool = AtomicBool::new(false);

/// Whether the processor has AVX-512F and the system saves its registers.
#[cfg(all(target_arch = "x86_64", not(any(cmap_loom, cmap_shuttle))))]
#[cfg_attr(any(cmap_asan, cmap_tsan), allow(dead_code))]
#[inline(always)]
pub(crate) fn has_avx512() -> bool {
    // Relaxed: both answers are right.
    HAS_AVX512.load(Ordering::Relaxed)
}

/// Bytes of an ordinary page.
pub(crate) fn page_size() -> usize {
    static PAGE: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *PAGE.get_or_init(|| sysconf(libc::_SC_PAGESIZE, 4096))
}

/// Bytes of memory that the machine has.
pub(crate) fn ram_bytes() -> usize {
    sysconf(libc::_SC_PHYS_PAGES, 1 << 20).saturating_mul(page_size())
}

/// Processors that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, core::num::NonZero::get)
}

/// Whether pins may use a compiler barrier only, because [`heavy_barrier`] makes every thread's stores visible.
#[inline]
#[cfg(not(any(cmap_loom, cmap_shuttle)))]
pub(crate) fn asymmetric() -> bool {
    // Relaxed: set once in `register_barrier`, before the first pin of the thread that made the first map; a thread that
    // reads the old `false` uses the full fence, which is right too.
    ASYMMETRIC.load(Ordering::Relaxed)
}

/// Model checkers know no barrier but a fence.
#[cfg(any(cmap_loom, cmap_shuttle))]
pub(crate) fn asymmetric() -> bool {
    false
}

#[cfg(not(any(cmap_loom, cmap_shuttle)))]
static ASYMMETRIC: AtomicBool = AtomicBool::new(false);

#[cfg(all(
    target_os = "linux",
    not(any(cmap_portable, cmap_tsan, cmap_loom, cmap_shuttle))
))]
mod membarrier {
    use super::{ASYMMETRIC, AtomicBool, Ordering};

    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;

    fn call(command: libc::c_int) -> bool {
        // SAFETY: membarrier takes three integers and touches no memory of ours.
        let answer = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
        answer == 0
    }

    /// Registers the process; with other threads running this takes milliseconds. No lock is held meanwhile: a child forked in
    /// between could never take it. Registering twice does no harm.
    pub(crate) fn register() {
        static IS_DONE: AtomicBool = AtomicBool::new(false);
        // Acquire: pairs with the Release below: whoever finds it done finds the answer.
        if IS_DONE.load(Ordering::Acquire) {
            return;
        }
        let is_refused = std::env::var_os("CMAP_NO_MEMBARRIER").is_some();
        if !is_refused && call(REGISTER_PRIVATE_EXPEDITED) {
            ASYMMETRIC.store(true, Ordering::Relaxed);
        }
        // Release: pairs with the Acquire above.
        IS_DONE.store(true, Ordering::Release);
    }

    /// A full barrier in every running thread of the process.
    pub(crate) fn barrier() {
        if !super::asymmetric() {
            return;
        }
        for _ in 0..1000 {
            if call(PRIVATE_EXPEDITED) {
                return;
            }
            // The kernel may have been out of memory for a moment.
            std::thread::yield_now();
        }
        // Registered, yet refused: a filter was installed after the first map. Pins rely on it, so this is final.
        super::end_process("membarrier is refused, though this process was registered for it");
    }
}

#[cfg(not(all(
    target_os = "linux",
    not(any(cmap_portable, cmap_tsan, cmap_loom, cmap_shuttle))
)))]
mod membarrier {
    pub(crate) fn register() {}
    pub(crate) fn barrier() {}
}

/// Finds out what the processor can do. Called when a map is made.
pub(crate) fn detect_processor() {
    #[cfg(all(target_arch = "x86_64", not(any(cmap_loom, cmap_shuttle))))]
    HAS_AVX512.store(std::is_x86_feature_detected!("avx512f"), Ordering::Relaxed);
}

/// Asks the system, once per process, for barriers on behalf of all threads. `CMAP_NO_MEMBARRIER` in the environment
/// refuses them; the map then runs as it does where the system has none.
pub(crate) fn register_barrier() {
    membarrier::register();
}

/// Makes every store that any thread made before now visible to the caller, where [`asymmetric`] holds.
pub(crate) fn heavy_barrier() {
    membarrier::barrier();
}

/// Calls `handler` in every child of a later `fork`, in the only thread that the child has.
///
/// The handler must do no more than atomic stores. A child made by a raw `clone` system call is not told. `false`: there is
/// no memory for it.
pub(crate) fn on_fork_in_child(handler: unsafe extern "C" fn()) -> bool {
    // SAFETY: registers a function of this library, which is never unloaded; it keeps to atomic stores.
    let refused = unsafe { libc::pthread_atfork(None, None, Some(handler)) };
    refused == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_is_aligned_commits_and_gives_back() {
        let align = 1 << 21;
        let range = Reservation::new(4 << 21, align).expect("address space");
        assert_eq!(range.base().as_ptr().addr() % align, 0);
        range.commit(align, align).expect("commit");
        let byte = range.at(align, 1).cast::<u8>();
        // SAFETY: committed above, and only this test has the address.
        unsafe { byte.write(7) };
        range.touch(align, align);
        // SAFETY: as above.
        assert_eq!(unsafe { byte.read() }, 7);
        range.give_back(align, align);
        // SAFETY: as above.
        assert_eq!(unsafe { byte.read() }, 0);
    }

    #[test]
    #[should_panic(expected = "outside the reservation")]
    fn nothing_outside_the_range_is_touched() {
        let range = Reservation::new(1 << 21, 1 << 21).expect("address space");
        let _ = range.commit(1 << 21, 4096);
    }

    #[test]
    fn the_machine_has_pages_memory_and_cores() {
        assert!(page_size().is_power_of_two());
        assert!(ram_bytes() > 1 << 20);
        assert!(cores() >= 1);
    }
}
