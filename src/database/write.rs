//! What a write consists of and returns.

use rusqlite::types::{FromSql, FromSqlResult, Value, ValueRef};

use super::apply::{NotApplied, Outcome, Rows};
use super::{ReadError, WriteError};
use crate::statements::Statement;

/// The SQL of a statement.
#[derive(Clone, Debug)]
pub(crate) enum Sql {
    /// One of `statements.sql`.
    Named(&'static Statement),
    /// That of another program: an admin's, or a member of the cluster whose version may be another.
    Text(String),
}

impl Sql {
    /// The text, without the semicolon.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Named(statement) => statement.sql(),
            Self::Text(text) => text,
        }
    }

    /// Why it must not run as a part of a transaction, if it must not: it may read or change rows, and nothing else.
    pub(super) fn problem(&self) -> Option<&'static str> {
        const KEYWORDS: [&str; 7] = ["delete", "insert", "replace", "select", "update", "values", "with"];
        let Self::Text(text) = self else { return None };
        let text = text.trim_start().to_ascii_lowercase();
        let word = text.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
        if !KEYWORDS.contains(&word) {
            Some("the statement is no INSERT, UPDATE, DELETE, REPLACE, SELECT, VALUES or WITH")
        } else if text.contains("rollback") {
            // INSERT OR ROLLBACK undoes the writes before it, too (https://sqlite.org/lang_conflict.html).
            Some("the statement has the word ROLLBACK, which would undo other writes")
        } else {
            None
        }
    }

    /// What the log calls it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Named(statement) => statement.name(),
            Self::Text(text) => text,
        }
    }

    fn needs_sync(&self) -> bool {
        match self {
            Self::Named(statement) => statement.needs_sync(),
            Self::Text(_) => true,
        }
    }

    pub(super) fn is_named(&self) -> bool {
        self.named().is_some()
    }

    fn named(&self) -> Option<&'static Statement> {
        match self {
            Self::Named(statement) => Some(statement),
            Self::Text(_) => None,
        }
    }
}

/// A statement with its parameters.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cluster", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct BoundStatement {
    pub(super) sql: Sql,
    #[cfg_attr(feature = "cluster", serde(with = "super::encoding::values"))]
    pub(super) parameters: Vec<Value>,
}

impl BoundStatement {
    fn new(statement: &'static Statement, parameters: Vec<Value>) -> Self {
        Self { sql: Sql::Named(statement), parameters }
    }
}

/// A text parameter.
pub fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

/// Statements that are carried out together or not at all, in one savepoint, with the clock pinned.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cluster", derive(serde::Serialize, serde::Deserialize))]
pub struct Write {
    pub(super) statements: Vec<BoundStatement>,
    pub(super) on_refusal: Vec<BoundStatement>,
}

impl Write {
    /// Whether it has to be on the disk before it is acknowledged: one of its statements has to.
    pub(super) fn needs_sync(&self) -> bool {
        self.statements.iter().any(|statement| statement.sql.needs_sync())
    }

    /// Whether an admin wrote its SQL.
    #[cfg(feature = "cluster")]
    pub(super) fn is_of_admin(&self) -> bool {
        self.statements.iter().any(|statement| !statement.sql.is_named())
    }

    /// About how much memory its parameters take, in bytes.
    #[cfg(feature = "cluster")]
    pub(crate) fn bytes(&self) -> usize {
        let parameters = self.statements.iter().flat_map(|bound| &bound.parameters);
        let bytes = parameters.map(|parameter| match parameter {
            Value::Text(text) => text.len(),
            Value::Blob(bytes) => bytes.len(),
            Value::Null | Value::Integer(_) | Value::Real(_) => 8,
        });
        bytes.sum()
    }

    /// A write that starts with `statement`.
    #[must_use]
    pub fn new<const N: usize>(statement: &'static Statement, parameters: [Value; N]) -> Self {
        Self::default().then(statement, parameters)
    }

    /// Adds a statement, which sees the effects of those before it.
    #[must_use]
    pub fn then<const N: usize>(mut self, statement: &'static Statement, parameters: [Value; N]) -> Self {
        self.statements.push(BoundStatement::new(statement, parameters.into()));
        self
    }

    /// Adds a query that runs if a rule refuses the write, after the write is rolled back. Its rows come with
    /// [`WriteError::Refused`](super::WriteError::Refused).
    #[must_use]
    pub fn on_refusal<const N: usize>(mut self, statement: &'static Statement, parameters: [Value; N]) -> Self {
        self.on_refusal.push(BoundStatement::new(statement, parameters.into()));
        self
    }

    /// A write of an admin's statement.
    #[must_use]
    pub fn of_text(sql: impl Into<String>) -> Self {
        let statement = BoundStatement { sql: Sql::Text(sql.into()), parameters: Vec::new() };
        Self { statements: vec![statement], on_refusal: Vec::new() }
    }

    /// [`Write::then`] with parameters that were counted elsewhere.
    #[must_use]
    pub fn then_with(mut self, statement: &'static Statement, parameters: Vec<Value>) -> Self {
        self.statements.push(BoundStatement::new(statement, parameters));
        self
    }

    /// The outcome of this write, as its caller gets it.
    ///
    /// # Errors
    /// Why nothing of it was stored.
    pub(super) fn result(&self, outcome: Outcome) -> Result<WriteResult, WriteError> {
        outcome.map(|rows| self.named(rows)).map_err(|not_applied| match not_applied {
            NotApplied::Refused { code, rows } => WriteError::Refused { code, rows: self.named(rows) },
            NotApplied::Unswept => WriteError::Unswept,
            NotApplied::Unexpected(message) => WriteError::Unexpected(message),
        })
    }

    /// The rows with their statements, instead of the positions of these.
    fn named(&self, rows: Rows) -> WriteResult {
        let statements: Vec<_> =
            self.statements.iter().chain(&self.on_refusal).map(|bound| bound.sql.named()).collect();
        let rows = rows.into_iter().filter_map(|row| Some((*statements.get(row.position)?, row.values)));
        WriteResult { rows: rows.collect() }
    }
}

/// The rows that the statements of a write returned.
#[derive(Clone, Debug, Default)]
pub struct WriteResult {
    /// Each with its statement, unless that is an admin's.
    rows: Vec<(Option<&'static Statement>, Vec<Value>)>,
}

impl WriteResult {
    /// The rows of [`Write::of_text`].
    pub fn unnamed(&self) -> impl Iterator<Item = &[Value]> {
        self.rows.iter().filter(|(of, _)| of.is_none()).map(|(_, row)| &**row)
    }

    /// All rows of `statement`, in the order in which it returned them. If the write has the statement more than once,
    /// the rows of the first come first.
    ///
    /// # Errors
    /// If the types of the columns do not match `T`.
    pub fn all<T: FromRow>(&self, statement: &'static Statement) -> Result<Vec<T>, ReadError> {
        let rows = self.rows.iter().filter(|(of, _)| of.is_some_and(|of| std::ptr::eq(of, statement)));
        Ok(rows.map(|(_, row)| T::from_row(row)).collect::<FromSqlResult<_>>()?)
    }

    /// The first row of `statement`, if it returned one.
    ///
    /// # Errors
    /// As [`WriteResult::all`].
    pub fn one<T: FromRow>(&self, statement: &'static Statement) -> Result<Option<T>, ReadError> {
        let row = self.rows.iter().find(|(of, _)| of.is_some_and(|of| std::ptr::eq(of, statement)));
        Ok(row.map(|(_, row)| T::from_row(row)).transpose()?)
    }
}

/// A tuple that a row can be turned into.
pub trait FromRow: Sized {
    /// Converts the columns of `row`. A column that is missing counts as NULL.
    ///
    /// # Errors
    /// If the type of a column does not match.
    fn from_row(row: &[Value]) -> FromSqlResult<Self>;
}

fn column<T: FromSql>(row: &[Value], index: usize) -> FromSqlResult<T> {
    T::column_result(row.get(index).map_or(ValueRef::Null, ValueRef::from))
}

impl<A: FromSql> FromRow for (A,) {
    fn from_row(row: &[Value]) -> FromSqlResult<Self> {
        Ok((column(row, 0)?,))
    }
}

impl<A: FromSql, B: FromSql> FromRow for (A, B) {
    fn from_row(row: &[Value]) -> FromSqlResult<Self> {
        Ok((column(row, 0)?, column(row, 1)?))
    }
}

impl<A: FromSql, B: FromSql, C: FromSql> FromRow for (A, B, C) {
    fn from_row(row: &[Value]) -> FromSqlResult<Self> {
        Ok((column(row, 0)?, column(row, 1)?, column(row, 2)?))
    }
}
