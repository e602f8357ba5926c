//! The statements of `statements.sql`, one item each.
//!
//! The [`database`](crate::database) runs nothing else, and a test explains the query plan of each.

/// A statement of `statements.sql`.
#[derive(Debug)]
pub struct Statement {
    name: &'static str,
    sql: &'static str,
    needs_sync: bool,
}

impl Statement {
    /// The name, for logs and tests.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The SQL text, without the semicolon.
    #[must_use]
    pub fn sql(&self) -> &'static str {
        self.sql
    }

    /// Whether what it writes has to be on the disk before the write is acknowledged. Of a read it is false.
    #[must_use]
    pub fn needs_sync(&self) -> bool {
        self.needs_sync
    }
}

include!(concat!(env!("OUT_DIR"), "/statements.rs"));
