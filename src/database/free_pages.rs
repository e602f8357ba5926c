//! Returning free pages to the file system.

use rusqlite::Connection;

/// Free pages kept for new rows (1 MiB), and the most that are returned to the file system at a time. Others wait for a
/// step, which moves that many pages from the file's end: milliseconds, with their checkpoint.
const KEPT: i64 = 256;
const STEP: i64 = 256;

/// Returns some free pages to the file system. Returns whether there are more.
///
/// # Errors
/// If the file cannot be read or written.
pub(super) fn free_pages(connection: &Connection) -> rusqlite::Result<bool> {
    let free: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    let pages = (free - KEPT).clamp(0, STEP);
    if pages > 0 {
        // Each step of this statement frees one page.
        let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(free - pages > KEPT)
}
