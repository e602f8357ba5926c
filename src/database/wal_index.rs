//! Whether anybody has committed, seen without asking the file.
//!
//! In WAL mode all connections to a file share a piece of memory, the wal-index. It begins with a header of 48 bytes, which
//! every commit changes, whoever made it: a counter, the log's length, two salts and checksums
//! (<https://sqlite.org/walformat.html#the_wal_index_header>). As long as it reads the same, a snapshot taken after it was read
//! is what the file holds now.

use std::ffi::c_int;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering, fence};

use rusqlite::{Connection, ffi};

/// The size of the header in words of 32 bits.
const HEADER_WORDS: usize = 12;

/// The wal-index is mapped in pieces of so many bytes; the header is in the first.
const PIECE_BYTES: c_int = 32 * 1024;

/// What the header said at one time. It is only good for comparing.
pub(super) type Header = [u32; HEADER_WORDS];

/// The header of the wal-index that a connection has mapped. It must not outlive that connection.
pub(super) struct WalIndex(NonNull<[AtomicU32; HEADER_WORDS]>);

// SAFETY: the memory is shared with other threads and processes as it is, and only read here, word by word and atomically.
unsafe impl Send for WalIndex {}

impl WalIndex {
    /// Finds it by the methods of the connection's file (<https://sqlite.org/c3ref/io_methods.html>); `None` if the connection
    /// has none, because it has not read anything yet or does not use WAL.
    pub(super) fn of(connection: &Connection) -> Option<Self> {
        let mut file: *mut ffi::sqlite3_file = null_mut();
        let mut piece = null_mut();
        // SAFETY: the handle is that of an open connection which no other thread uses meanwhile; SQLITE_FCNTL_FILE_POINTER
        // writes one pointer; the methods are called as SQLite itself does it, with the size of a piece that it uses. Without
        // permission to extend the wal-index, xShmMap leaves the pointer null if there is no such piece.
        let found = unsafe {
            let asked = ffi::sqlite3_file_control(
                connection.handle(),
                c"main".as_ptr(),
                ffi::SQLITE_FCNTL_FILE_POINTER,
                (&raw mut file).cast(),
            );
            asked == ffi::SQLITE_OK
                && !file.is_null()
                && (*file).pMethods.as_ref().is_some_and(|methods| {
                    methods.iVersion >= 2
                        && methods
                            .xShmMap
                            .is_some_and(|map| map(file, 0, PIECE_BYTES, 0, &raw mut piece) == ffi::SQLITE_OK)
                })
        };
        // The memory begins at the start of a page, so it is aligned, and stays mapped until the connection is closed.
        found.then(|| NonNull::new(piece.cast())).flatten().map(Self)
    }

    /// What it says now. A commit that was answered before this call is in it. What is read in the middle of a commit equals
    /// neither the header before nor the one after, or one of them.
    pub(super) fn header(&self) -> Header {
        // SAFETY: the memory stays mapped for as long as this lives, and is only looked at through atomics.
        let words = unsafe { self.0.as_ref() };
        let header = std::array::from_fn(|word| words[word].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        header
    }
}
