//! The log of one generation: chunks, what is open in them, and what in them may still be reachable.
//!
//! **Counted.** A chunk opens with its whole capacity counted as live, and a granule for each stream or lane that holds it,
//! so that it stays while one may still touch it. From then on its bytes only fall: by an entry's bytes when it is unlinked
//! (or, noted by a lane, with that lane's stretch) or was never published, by the unused rest of a stretch when that is closed,
//! by the unallotted rest when the chunk is sealed. Whoever brings it to zero hands the chunk over, once. Hence an unpublished
//! append, a preempted writer or an open lane can hold bytes for a while, and never free them.
//!
//! Two streams, new entries and survivors of compaction, fill chunks of their own: what survived once is likely to survive
//! again, and mixing the two costs up to twice the copying. Source: J. Ousterhout, log-structured memory; F2FS.

use super::entry::{self, Entry, Record};
use super::lane::{Lane, Locked, Own, Stretch, lock_any, try_lock_own};
use crate::base::interleave;
use crate::base::sync::{AtomicUsize, Mutex, Ordering};
use crate::memory::{
    ChunkId, ChunkState, GRANULE, Location, Pin, Pool, Refused, Side, Who, try_slice,
};

/// Who keeps what the log gives up, until no pin sees it.
pub(crate) trait Keeper {
    /// Keeps a place for one more thing that will be retired one day.
    fn promise(&self) -> Result<(), Refused>;
    /// Gives such a place back.
    fn unpromise(&self);
    /// Takes a chunk whose count is zero.
    fn retire_chunk(&self, id: ChunkId);
    /// Takes an extent of an entry of so many bytes.
    fn retire_extent(&self, at: Location, bytes: usize);
}

/// An entry that was appended, and is not published yet.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Appended {
    pub(crate) at: Location,
    pub(crate) bytes: usize,
    /// `usize::MAX`: it has a stretch or an extent of its own.
    lane: usize,
}

impl Appended {
    pub(super) fn in_lane(at: Location, bytes: usize, lane: &Locked<'_>) -> Self {
        let lane = lane.number();
        Self { at, bytes, lane }
    }
}

#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) chunk: Option<ChunkId>,
    /// Offset in the pool's range of what no lane took yet.
    pub(super) next: usize,
}

pub(super) struct Stream {
    pub(super) open: Mutex<Open>,
    pub(super) lanes: Box<[Lane]>,
}

/// See the file's head.
pub(crate) struct Log {
    pub(super) streams: [Stream; 2],
    /// Counters of the first threads: two a core, or half as many as there are lanes.
    pub(super) own: Box<[Own]>,
    pub(super) chunks: Mutex<Vec<ChunkId>>,
    /// How many there are, for those who need not lock.
    listed: AtomicUsize,
    /// Chunks of small pages before huge ones are taken.
    small_chunks: usize,
    /// Of the lists of holes, on the heap and charged.
    pub(super) hole_heap: AtomicUsize,
    /// Bytes of extents, as the pool charges them.
    pub(super) extent_bytes: AtomicUsize,
    /// What entries take of them.
    extent_live: AtomicUsize,
}

/// A stretch of a large map.
const STRETCH_BYTES_MAX: usize = 64 << 10;
/// Entries above this part (1/n) of a stretch get one of just their size: pads then waste a sixteenth at most.
const OWN_STRETCH_SHARE: usize = 8;

/// What a stream or a lane counts for in the chunk that it may still deal out or append to, full as that may be.
pub(crate) const HOLD: u64 = GRANULE as u64;
/// A chunk's `walked` before its first walk.
const NEVER_WALKED: u64 = u64::MAX;

/// As many lanes, or up to the next power of two.
fn try_lanes(count: usize) -> Result<Box<[Lane]>, Refused> {
    Ok(try_slice(count.next_power_of_two(), Lane::new)?)
}

impl Log {
    pub(crate) fn new(lanes: usize, small_chunks: usize) -> Result<Self, Refused> {
        Ok(Self {
            streams: [
                Stream {
                    open: Mutex::new(Open::default()),
                    lanes: try_lanes(lanes)?,
                },
                Stream {
                    open: Mutex::new(Open::default()),
                    lanes: try_lanes(lanes.div_ceil(2))?,
                },
            ],
            own: try_slice(lanes.div_ceil(2), Own::new)?,
            chunks: Mutex::new(Vec::new()),
            listed: AtomicUsize::new(0),
            small_chunks,
            hole_heap: AtomicUsize::new(0),
            extent_bytes: AtomicUsize::new(0),
            extent_live: AtomicUsize::new(0),
        })
    }

    /// Bytes on the heap, but for what lanes keep of holes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let lanes = self.streams.iter().map(|stream| stream.lanes.len());
        lanes.sum::<usize>() * size_of::<Lane>() + self.own.len() * size_of::<Own>()
    }

    fn stream(&self, who: Who) -> &Stream {
        &self.streams[match who {
            Who::Writer => 0,
            Who::Compactor => 1,
        }]
    }

    // --- reading ---

    /// The entry at `at`, which the pin can see.
    #[inline]
    pub(crate) fn entry<'p>(pool: &'p Pool, at: Location, pin: &'p Pin) -> Entry<'p> {
        match Self::record(pool, at, pin) {
            Record::Entry { header, key, value } => {
                let all = pool.arena().bytes(at, header + key + value, pin);
                let (key, value) = all[header..].split_at(key);
                Entry {
                    key,
                    value,
                    bytes: entry::space(all.len()),
                }
            }
            Record::Pad { .. } => {
                unreachable!("Counted is broken: a slot points to a pad at {at:?}")
            }
        }
    }

    /// The value of the entry at `at`, which the pin can see, if `key` is its key.
    #[inline(always)]
    pub(crate) fn value_of<'p>(
        pool: &'p Pool,
        at: Location,
        key: &[u8],
        pin: &'p Pin,
    ) -> Option<&'p [u8]> {
        match Self::value_if_ordinary(pool, at, key, pin) {
            None => Self::value_if_any(pool, at, key, pin),
            value => value,
        }
    }

    #[cold]
    #[inline(never)]
    fn value_if_any<'p>(
        pool: &'p Pool,
        at: Location,
        key: &[u8],
        pin: &'p Pin,
    ) -> Option<&'p [u8]> {
        let entry = Self::entry(pool, at, pin);
        (entry.key == key).then_some(entry.value)
    }

    /// As [`Log::value_of`], of an entry with the common header only: `None` says nothing.
    #[inline(always)]
    pub(crate) fn value_if_ordinary<'p>(
        pool: &'p Pool,
        at: Location,
        key: &[u8],
        pin: &'p Pin,
    ) -> Option<&'p [u8]> {
        const HEADER_BYTES: usize = entry::ORDINARY_HEADER_BYTES;
        let start = pool.arena().short(at, GRANULE, pin)?;
        let value_len = entry::ordinary(start, key.len())?;
        let len = HEADER_BYTES + key.len() + value_len;
        let all = pool.arena().short(at, len, pin)?;
        if cfg!(planted_entry_end) {
            core::hint::black_box(pool.arena().short(at, len + 1, pin)?.last().copied());
        }
        let (own, value) = all[HEADER_BYTES..].split_at(key.len());
        entry::same(own, key).then_some(value)
    }

    /// Of the entry at `at`, which the pin can see: its bytes, and where its value starts, in the pool's range, and its length.
    pub(crate) fn value_place(pool: &Pool, at: Location, pin: &Pin) -> (usize, (usize, usize)) {
        let entry = Self::entry(pool, at, pin);
        match Self::record(pool, at, pin) {
            Record::Entry { header, key, value } => {
                (entry.bytes, (at.offset() + header + key, value))
            }
            Record::Pad { .. } => unreachable!("an entry was found at {at:?}"),
        }
    }

    #[inline]
    fn record(pool: &Pool, at: Location, pin: &Pin) -> Record {
        let start = pool.arena().bytes(at, GRANULE, pin);
        entry::decode_ordinary(start).unwrap_or_else(|| Self::record_in_walk(pool, at, pin))
    }

    /// The head of the entry at `at`, or the pad there, to the byte: what follows it may be being written.
    pub(super) fn record_in_walk(pool: &Pool, at: Location, pin: &Pin) -> Record {
        let control = pool.arena().bytes(at, 1, pin)[0];
        entry::decode(pool.arena().bytes(at, entry::header_length(control), pin))
    }

    // --- appending ---

    /// Appends an entry that nobody finds until its location is published, but for its value: the offset that comes with it
    /// is where the caller writes that, before anything else.
    pub(crate) fn append(
        &self,
        pool: &Pool,
        keeper: &impl Keeper,
        key: &[u8],
        value_len: usize,
        pin: &Pin,
    ) -> Result<(Appended, usize), Refused> {
        let (header, header_len) = entry::encode(key.len(), value_len);
        let head_len = header_len + key.len();
        let write_head = |at| pool.arena().write_head(at, header, header_len, key);
        let len = head_len + value_len;
        let appended = self.reserve(pool, keeper, Who::Writer, len, pin, &write_head)?;
        Ok((appended, appended.at.offset() + head_len))
    }

    /// As [`Log::append`], of what a lane takes, where the thread's own is free and has room; else `None`.
    #[inline(always)]
    pub(crate) fn append_quick(
        &self,
        pool: &Pool,
        key: &[u8],
        value_len: usize,
        pin: &Pin,
    ) -> Option<(Appended, usize)> {
        let (header, header_len) = entry::encode(key.len(), value_len);
        let head_len = header_len + key.len();
        let write_head = |at| pool.arena().write_head(at, header, header_len, key);
        let len = head_len + value_len;
        if entry::space(len) > pool.config().entry_bytes_max {
            return None;
        }
        let lane = try_lock_own(&self.streams[0].lanes)?;
        let appended = Self::reserve_in_lane(pool, &lane, len, pin, &write_head)?;
        Some((appended, appended.at.offset() + head_len))
    }

    /// Appends a copy of the entry of `len` bytes at `from`.
    pub(crate) fn append_copy(
        &self,
        pool: &Pool,
        keeper: &impl Keeper,
        from: Location,
        len: usize,
        pin: &Pin,
    ) -> Result<Appended, Refused> {
        let write = |at| pool.arena().copy(from, Location::at(at), len, pin);
        self.reserve(pool, keeper, Who::Compactor, len, pin, &write)
    }

    /// Finds space for an entry of `len` bytes and has its head written, so that what is before a lane's cursor can always be
    /// walked.
    fn reserve(
        &self,
        pool: &Pool,
        keeper: &impl Keeper,
        who: Who,
        len: usize,
        pin: &Pin,
        write_head: &impl Fn(usize),
    ) -> Result<Appended, Refused> {
        let bytes = entry::space(len);
        if bytes > pool.config().entry_bytes_max {
            return self.reserve_extent(pool, keeper, who, len, write_head);
        }
        let lane = lock_any(&self.stream(who).lanes);
        match Self::reserve_in_lane(pool, &lane, len, pin, write_head) {
            Some(appended) => Ok(appended),
            None => self.reserve_stretch(pool, keeper, who, len, write_head, lane),
        }
    }

    /// As [`Log::reserve`], if the lane has a hole of that size, or its stretch has room.
    #[inline(always)]
    fn reserve_in_lane(
        pool: &Pool,
        lane: &Locked<'_>,
        len: usize,
        pin: &Pin,
        write_head: &impl Fn(usize),
    ) -> Option<Appended> {
        let bytes = entry::space(len);
        let write = |at| Self::write_at(pool, at, len, write_head);
        if let Some(appended) = Self::reserve_in_hole(pool, lane, bytes, pin, write) {
            return Some(appended);
        }
        let fits = |stretch: &Stretch| stretch.room() >= bytes;
        let stretch = lane.stretch().filter(fits)?;
        Self::write_at(pool, stretch.cursor, len, write_head);
        lane.move_cursor(stretch.cursor + bytes);
        pool.arena().prefetch_next(stretch.cursor + bytes);
        let at = Location::at(stretch.cursor);
        Some(Appended::in_lane(at, bytes, lane))
    }

    #[inline(always)]
    fn write_at(pool: &Pool, at: usize, len: usize, write_head: &impl Fn(usize)) {
        // A reader looks at a granule first.
        pool.arena().dealt(at, len.max(GRANULE));
        write_head(at);
    }

    /// As [`Log::reserve`], where the stretch of `lane` has no room.
    #[cold]
    fn reserve_stretch(
        &self,
        pool: &Pool,
        keeper: &impl Keeper,
        who: Who,
        len: usize,
        write_head: &impl Fn(usize),
        lane: Locked<'_>,
    ) -> Result<Appended, Refused> {
        let bytes = entry::space(len);
        let stretch = lane.stretch();
        let own = bytes > Self::stretch_bytes_max(pool) / OWN_STRETCH_SHARE;
        if own {
            drop(lane);
            let fresh = self.take_stretch(pool, keeper, who, bytes, None)?;
            Self::write_at(pool, fresh.cursor, len, write_head);
            self.close(
                pool,
                keeper,
                Stretch {
                    cursor: fresh.cursor + bytes,
                    ..fresh
                },
            );
            return Ok(Appended {
                at: Location::at(fresh.cursor),
                bytes,
                lane: usize::MAX,
            });
        }
        let fresh = self.take_stretch(pool, keeper, who, bytes, Some(stretch))?;
        Self::write_at(pool, fresh.cursor, len, write_head);
        lane.set(Some(Stretch {
            cursor: fresh.cursor + bytes,
            ..fresh
        }));
        let appended = Appended::in_lane(Location::at(fresh.cursor), bytes, &lane);
        drop(lane);
        if let Some(before) =
            stretch.filter(|before| (before.chunk, before.cursor) != (fresh.chunk, fresh.cursor))
        {
            self.close(pool, keeper, before);
        }
        Ok(appended)
    }

    #[cold]
    fn reserve_extent(
        &self,
        pool: &Pool,
        keeper: &impl Keeper,
        who: Who,
        len: usize,
        write_head: &impl Fn(usize),
    ) -> Result<Appended, Refused> {
        let bytes = entry::space(len);
        keeper.promise()?;
        let at = pool
            .take_extent(bytes, who)
            .inspect_err(|_| keeper.unpromise())?;
        // Relaxed, here and below: figures.
        self.extent_live.fetch_add(bytes, Ordering::Relaxed);
        self.extent_bytes
            .fetch_add(pool.extent_bytes(bytes), Ordering::Relaxed);
        Self::write_at(pool, at.offset(), len, write_head);
        Ok(Appended {
            at,
            bytes,
            lane: usize::MAX,
        })
    }

    pub(super) fn stretch_bytes_max(pool: &Pool) -> usize {
        (pool.config().chunk_bytes / 8).min(STRETCH_BYTES_MAX)
    }

    /// Stretches are small in a small map.
    fn stretch_bytes(&self, pool: &Pool) -> usize {
        let most = Self::stretch_bytes_max(pool);
        if self.chunk_count() > 2 {
            most
        } else {
            (most / 16).max(1024).min(most)
        }
    }

    /// Takes a stretch with room for `bytes`: of just that size without a lane; for a lane, its own one made longer if
    /// nobody has taken what follows it.
    #[cold]
    fn take_stretch(
        &self,
        pool: &Pool,
        keeper: &impl Keeper,
        who: Who,
        bytes: usize,
        lane: Option<Option<Stretch>>,
    ) -> Result<Stretch, Refused> {
        let wanted = if lane.is_none() {
            bytes
        } else {
            self.stretch_bytes(pool).max(bytes)
        };
        let chunk_bytes = pool.config().chunk_bytes;
        let mut open = self.stream(who).open.lock();
        if let Some(old) = lane
            .flatten()
            .filter(|old| open.chunk == Some(old.chunk) && open.next == old.end)
        {
            let end = pool.chunk_start(old.chunk) + chunk_bytes;
            if end - old.cursor >= bytes {
                open.next = (old.end + wanted).min(end);
                return Ok(Stretch {
                    end: open.next,
                    ..old
                });
            }
        }
        let mut sealed = None;
        let chunk = match open.chunk {
            Some(chunk) if pool.chunk_start(chunk) + chunk_bytes - open.next >= bytes => chunk,
            _ => {
                let fresh = self.open_chunk(pool, keeper, who)?;
                sealed = open.chunk.map(|full| (full, open.next));
                *open = Open {
                    chunk: Some(fresh),
                    next: pool.chunk_start(fresh),
                };
                fresh
            }
        };
        let end = pool.chunk_start(chunk) + chunk_bytes;
        let cursor = open.next;
        let taken = wanted.min(end - cursor);
        open.next += taken;
        // Relaxed: under the stream's mutex, before anybody can seal the chunk.
        let descriptor = pool.descriptor(chunk);
        descriptor.open.fetch_add(1, Ordering::Relaxed);
        descriptor.live.fetch_add(HOLD, Ordering::Relaxed);
        drop(open);
        interleave::point();
        if let Some((full, next)) = sealed {
            self.seal(pool, keeper, full, next);
        }
        Ok(Stretch {
            chunk,
            cursor,
            end: cursor + taken,
            dead: 0,
        })
    }

    fn open_chunk(&self, pool: &Pool, keeper: &impl Keeper, who: Who) -> Result<ChunkId, Refused> {
        keeper.promise()?;
        let listed = {
            let mut chunks = self.chunks.lock();
            chunks.try_reserve(1).map(|()| chunks.len())
        };
        let side = match listed {
            Ok(listed) if listed >= self.small_chunks => Side::Huge,
            Ok(_) => Side::Small,
            Err(_) => {
                keeper.unpromise();
                return Err(Refused::System {
                    bytes: size_of::<ChunkId>(),
                });
            }
        };
        let id = pool
            .take_chunk(side, who, ChunkState::Open)
            .inspect_err(|_| keeper.unpromise())?;
        let descriptor = pool.descriptor(id);
        // Relaxed: the chunk becomes known through the stream's mutex and the list's.
        descriptor
            .live
            .store(pool.config().chunk_bytes as u64 + HOLD, Ordering::Relaxed);
        descriptor.walked.store(NEVER_WALKED, Ordering::Relaxed);
        // The stream's own hold, until it seals the chunk.
        descriptor.open.store(1, Ordering::Relaxed);
        let mut chunks = self.chunks.lock();
        if chunks.len() == chunks.capacity() && chunks.try_reserve(1).is_err() {
            // The place reserved above was taken by the other stream.
            drop(chunks);
            keeper.retire_chunk(id);
            return Err(Refused::System {
                bytes: size_of::<ChunkId>(),
            });
        }
        descriptor
            .place
            .store(chunks.len() as u32, Ordering::Relaxed);
        chunks.push(id);
        self.listed.store(chunks.len(), Ordering::Relaxed);
        Ok(id)
    }

    /// Ends the dealing out of a chunk: its rest from `next` is a pad.
    pub(super) fn seal(&self, pool: &Pool, keeper: &impl Keeper, chunk: ChunkId, next: usize) {
        let end = pool.chunk_start(chunk) + pool.config().chunk_bytes;
        pool.descriptor(chunk)
            .state
            .store(ChunkState::Sealed as u32, Ordering::Relaxed);
        self.close(
            pool,
            keeper,
            Stretch {
                chunk,
                cursor: next,
                end,
                dead: 0,
            },
        );
    }

    /// Turns the unused rest of a stretch into a pad.
    pub(super) fn close(&self, pool: &Pool, keeper: &impl Keeper, stretch: Stretch) {
        if stretch.room() > 0 {
            pool.arena().dealt(stretch.cursor, GRANULE);
            pool.arena()
                .write(stretch.cursor, &entry::encode_pad(stretch.room()));
        }
        // Release: pairs with the Acquire in `is_closed`: who finds the chunk closed finds all its headers.
        pool.descriptor(stretch.chunk)
            .open
            .fetch_sub(1, Ordering::Release);
        let bytes = stretch.room() as u64 + u64::from(stretch.dead) + HOLD;
        self.lower(pool, keeper, stretch.chunk, bytes);
    }

    // --- counting ---

    /// Lowers a chunk's count; hands the chunk over if that was the last of it.
    #[inline]
    pub(super) fn lower(&self, pool: &Pool, keeper: &impl Keeper, chunk: ChunkId, bytes: u64) {
        if bytes == 0 {
            return;
        }
        // AcqRel: pairs with itself: whoever reaches zero comes after everybody else's last use of the chunk.
        let before = pool
            .descriptor(chunk)
            .live
            .fetch_sub(bytes, Ordering::AcqRel);
        assert!(
            before >= bytes,
            "Counted is broken: {before} bytes live in {chunk:?}, {bytes} to take off"
        );
        if before == bytes {
            interleave::point();
            self.hand_over(pool, keeper, chunk);
        }
    }

    #[cold]
    pub(super) fn hand_over(&self, pool: &Pool, keeper: &impl Keeper, chunk: ChunkId) {
        pool.descriptor(chunk)
            .state
            .store(ChunkState::Retired as u32, Ordering::Relaxed);
        self.unlist(pool, chunk);
        keeper.retire_chunk(chunk);
    }

    fn unlist(&self, pool: &Pool, chunk: ChunkId) {
        let mut chunks = self.chunks.lock();
        // Relaxed: under the list's mutex.
        let place = pool.descriptor(chunk).place.load(Ordering::Relaxed) as usize;
        assert_eq!(
            chunks[place], chunk,
            "Counted is broken: a chunk is handed over once"
        );
        chunks.swap_remove(place);
        self.listed.store(chunks.len(), Ordering::Relaxed);
        if let Some(&moved) = chunks.get(place) {
            pool.descriptor(moved)
                .place
                .store(place as u32, Ordering::Relaxed);
        }
    }

    /// An entry was unlinked: nobody new finds it.
    #[inline]
    pub(crate) fn unlinked(&self, pool: &Pool, keeper: &impl Keeper, at: Location, bytes: usize) {
        if pool.is_extent(at) {
            return self.unlinked_extent(pool, keeper, at, bytes);
        }
        self.lower(pool, keeper, pool.chunk_of(at), bytes as u64);
    }

    #[cold]
    fn unlinked_extent(&self, pool: &Pool, keeper: &impl Keeper, at: Location, bytes: usize) {
        self.extent_live.fetch_sub(bytes, Ordering::Relaxed);
        self.extent_bytes
            .fetch_sub(pool.extent_bytes(bytes), Ordering::Relaxed);
        keeper.retire_extent(at, bytes);
    }

    /// An appended entry will not be published: rolled back if it is still the last of its lane, else dead.
    pub(crate) fn give_back(
        &self,
        pool: &Pool,
        keeper: &impl Keeper,
        who: Who,
        appended: Appended,
    ) {
        if let Some(lane) = self.stream(who).lanes.get(appended.lane) {
            let lane = lane.lock();
            let start = appended.at.offset();
            let chunk = pool.chunk_of(appended.at);
            let last = lane
                .stretch()
                .filter(|s| s.chunk == chunk && s.cursor == start + appended.bytes);
            if last.is_some() {
                pool.arena().gone(start, appended.bytes);
                lane.move_cursor(start);
                return;
            }
        }
        self.unlinked(pool, keeper, appended.at, appended.bytes);
    }

    /// The ends of extents' last pages.
    pub(crate) fn extent_ends(&self) -> usize {
        let live = self.extent_live.load(Ordering::Relaxed);
        self.extent_bytes().saturating_sub(live)
    }

    pub(crate) fn extent_bytes(&self) -> usize {
        self.extent_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that lanes and streams may still deal out.
    pub(crate) fn open_bytes(&self, pool: &Pool) -> usize {
        let mut sum = 0;
        self.for_each_open(pool, |_, bytes, _| sum += bytes);
        sum
    }

    /// The same, by chunk, and what a lane has noted as dead there: called once for each hold.
    pub(crate) fn for_each_open(&self, pool: &Pool, mut f: impl FnMut(ChunkId, usize, u32)) {
        for stream in &self.streams {
            let open = stream.open.lock();
            if let Some(chunk) = open.chunk {
                f(
                    chunk,
                    pool.chunk_start(chunk) + pool.config().chunk_bytes - open.next,
                    0,
                );
            }
            drop(open);
            for lane in &stream.lanes {
                if let Some(stretch) = lane.lock().stretch() {
                    f(stretch.chunk, stretch.room(), stretch.dead);
                }
            }
        }
    }

    /// The chunk at a place of the list.
    pub(crate) fn chunk_at(&self, place: usize) -> Option<ChunkId> {
        self.chunks.lock().get(place).copied()
    }

    pub(crate) fn chunk_count(&self) -> usize {
        self.listed.load(Ordering::Relaxed)
    }
}
