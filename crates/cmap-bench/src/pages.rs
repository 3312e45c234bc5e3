//! Anonymous memory, straight from the system: for *bound*, for the noise loop, and to have it ready for all.

use std::hint::black_box;
use std::ptr::{NonNull, null_mut};

const PAGE_BYTES_MIN: usize = 4096;
/// A huge page.
pub const HUGE_BYTES: usize = 2 << 20;

/// Lets this process have huge pages, or not; returns how it was before. Where it cannot be said, nothing changes.
pub fn allow_huge_pages(allowed: bool) -> bool {
    const NONE: libc::c_ulong = 0;
    // SAFETY: asks a flag of this process; the other arguments must be zero.
    let disabled = unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, NONE, NONE, NONE, NONE) };
    let disable = libc::c_ulong::from(!allowed);
    // SAFETY: sets the same flag, which decides how memory is backed and not what it holds.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, disable, NONE, NONE, NONE) };
    disabled <= 0
}

/// Memory that has been touched, held to be given back ahead of whoever takes it, so that what is taken has been used lately.
///
/// The host of a virtual machine takes back what its guest leaves free, within seconds. The first touch then waits for the
/// host as well: here 3.3 s for 2 GB, and 0.12 s the second time; 4.6 ms in place of 0.1 for a huge page. Which pages those
/// are is chance, and whoever takes huge ones meets most of them.
pub struct Warm {
    pieces: Vec<Pages>,
    of: usize,
}

impl Warm {
    const PIECE_BYTES: usize = 8 * HUGE_BYTES;

    /// Touches `bytes`. Where no more can be mapped it holds less; whoever needs it will say so.
    pub fn new(bytes: usize) -> Self {
        let pieces: Vec<_> = (0..bytes.div_ceil(Self::PIECE_BYTES))
            .map_while(|_| {
                let mut pages = Pages::new(Self::PIECE_BYTES).ok()?;
                let all = pages.as_mut_slice();
                all.iter_mut()
                    .step_by(PAGE_BYTES_MIN)
                    .for_each(|byte| *byte = 1);
                black_box(all);
                Some(pages)
            })
            .collect();
        Self {
            of: pieces.len(),
            pieces,
        }
    }

    /// Gives back what somebody needs who has done `done` of `all`, and an eighth in advance.
    pub fn give_back(&mut self, done: u64, all: u64) {
        let given = self.of as u64 * done / all.max(1) + self.of as u64 / 8 + 1;
        self.pieces.truncate(self.of.saturating_sub(given as usize));
    }
}

/// A private mapping, zeroed, aligned to a huge page, advised to consist of them.
pub struct Pages {
    at: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a mapping belongs to nobody but its owner; it is plain memory, on whichever thread.
unsafe impl Send for Pages {}
// SAFETY: a shared `Pages` gives out nothing but its address and its length.
unsafe impl Sync for Pages {}

impl Pages {
    /// Maps at least `bytes`; nothing is touched yet.
    pub fn new(bytes: usize) -> std::io::Result<Self> {
        let bytes = bytes.max(1).next_multiple_of(HUGE_BYTES);
        let reserved = bytes + HUGE_BYTES;
        // SAFETY: an anonymous mapping at an address of the system's choice replaces nothing.
        let start = unsafe {
            libc::mmap(
                null_mut(),
                reserved,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        let start: *mut u8 = start.cast();
        let before = start.align_offset(HUGE_BYTES);
        let after = HUGE_BYTES - before;
        if before > 0 {
            // SAFETY: the first `before` bytes of our own mapping, which nobody uses.
            unsafe { libc::munmap(start.cast(), before) };
        }
        // SAFETY: `before <= HUGE_BYTES`, so the result lies within the mapping.
        let at = unsafe { start.add(before) };
        // SAFETY: `before + bytes + after` is the mapping's length.
        let end = unsafe { at.add(bytes) };
        if after > 0 {
            // SAFETY: the last `after` bytes of our own mapping, which nobody uses.
            unsafe { libc::munmap(end.cast(), after) };
        }
        // SAFETY: advice on our own mapping; whether it is taken changes no byte.
        unsafe { libc::madvise(at.cast(), bytes, libc::MADV_HUGEPAGE) };
        Ok(Self {
            at: NonNull::new(at).expect("a mapping is never at null"),
            bytes,
        })
    }

    /// Where it begins.
    pub const fn as_ptr(&self) -> *mut u8 {
        self.at.as_ptr()
    }

    /// All of it.
    pub const fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: `bytes` mapped, zeroed, writable bytes that are borrowed through `self` alone.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.bytes) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: our own mapping, whole, and no borrow of it outlives `self`.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.bytes) };
    }
}
