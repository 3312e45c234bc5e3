//! Values that prove themselves: each says which key, which writer and which version it belongs to, how long it is, and carries
//! a checksum; all bytes after that follow from these. A torn, mixed up or reused value cannot pass.
//!
//! ```text
//! key 8 | writer 2 | version 6 | length 4 | checksum 4 | filling …
//! ```

use super::run::mix;

/// The shortest self-checking value.
pub const STAMP_BYTES: usize = 24;

/// What a self-checking value says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub key: u64,
    pub writer: u16,
    /// Up to 48 bits.
    pub version: u64,
}

impl Stamp {
    /// Writes the value of `len` bytes (at least [`STAMP_BYTES`]) into `value`, in place of what it held.
    pub fn write(self, len: usize, value: &mut Vec<u8>) {
        assert!(len >= STAMP_BYTES && self.version < 1 << 48);
        let tag = self.tag();
        value.clear();
        value.extend_from_slice(&self.key.to_le_bytes());
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&(len as u32).to_le_bytes());
        value.extend_from_slice(&self.checksum(len).to_le_bytes());
        let mut word = mix(self.key, tag);
        while value.len() + 8 <= len {
            value.extend_from_slice(&word.to_le_bytes());
            word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        }
        value.extend_from_slice(&word.to_le_bytes()[..len - value.len()]);
    }

    /// Reads a value back, and fails unless every byte of it is right.
    #[track_caller]
    pub fn read(value: &[u8]) -> Self {
        assert!(
            value.len() >= STAMP_BYTES,
            "torn: a value of {} bytes is shorter than any that was written",
            value.len()
        );
        let word =
            |at: usize| u64::from_le_bytes(value[at..at + 8].try_into().expect("eight bytes"));
        let (key, tag, sizes) = (word(0), word(8), word(16));
        let stamp = Self {
            key,
            writer: tag as u16,
            version: tag >> 16,
        };
        let (len, checksum) = (sizes as u32 as usize, (sizes >> 32) as u32);
        assert_eq!(
            len,
            value.len(),
            "torn: {stamp:?} says that it is {len} bytes long"
        );
        assert_eq!(
            checksum,
            stamp.checksum(len),
            "torn: the checksum of {stamp:?}"
        );
        let mut expected = mix(key, tag);
        let mut filling = value[STAMP_BYTES..].chunks_exact(8);
        for (at, found) in filling.by_ref().enumerate() {
            let found = u64::from_le_bytes(found.try_into().expect("eight bytes"));
            assert_eq!(
                found, expected,
                "torn: {stamp:?} of {len} bytes, filling word {at}"
            );
            expected = expected.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        }
        let rest = filling.remainder();
        assert_eq!(
            rest,
            &expected.to_le_bytes()[..rest.len()],
            "torn: the last bytes of {stamp:?}"
        );
        stamp
    }

    fn tag(self) -> u64 {
        self.version << 16 | u64::from(self.writer)
    }

    fn checksum(self, len: usize) -> u32 {
        mix(self.key ^ 0xc0ff_ee00, self.tag() ^ (len as u64) << 32) as u32
    }
}

/// The 16 bytes of key number `index`: its number, and a word that follows from it.
pub fn key_bytes(index: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&index.to_le_bytes());
    key[8..].copy_from_slice(&mix(index, 1).to_le_bytes());
    key
}
