//! What a write consists of and returns.

use rusqlite::types::{FromSql, FromSqlResult, Value, ValueRef};

use super::apply::{NotApplied, Outcome, Rows};
use super::{ReadError, WriteError};
use crate::statements::Statement;

/// A statement with its parameters.
pub(super) type BoundStatement = (&'static Statement, Vec<Value>);

/// A text parameter.
pub fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

/// Statements that are carried out together or not at all, in one savepoint, with the clock pinned.
#[derive(Clone, Debug, Default)]
pub struct Write {
    pub(super) statements: Vec<BoundStatement>,
    pub(super) on_refusal: Vec<BoundStatement>,
}

impl Write {
    /// Whether it has to be on the disk before it is acknowledged: one of its statements has to.
    pub(super) fn needs_sync(&self) -> bool {
        self.statements.iter().any(|(statement, _)| statement.needs_sync())
    }

    /// A write that starts with `statement`.
    #[must_use]
    pub fn new<const N: usize>(statement: &'static Statement, parameters: [Value; N]) -> Self {
        Self::default().then(statement, parameters)
    }

    /// Adds a statement, which sees the effects of those before it.
    #[must_use]
    pub fn then<const N: usize>(mut self, statement: &'static Statement, parameters: [Value; N]) -> Self {
        self.statements.push((statement, parameters.into()));
        self
    }

    /// Adds a query that runs if a rule refuses the write, after the write is rolled back. Its rows come with
    /// [`WriteError::Refused`](super::WriteError::Refused).
    #[must_use]
    pub fn on_refusal<const N: usize>(mut self, statement: &'static Statement, parameters: [Value; N]) -> Self {
        self.on_refusal.push((statement, parameters.into()));
        self
    }

    /// [`Write::then`] with parameters that were counted elsewhere.
    #[must_use]
    pub fn then_with(mut self, statement: &'static Statement, parameters: Vec<Value>) -> Self {
        self.statements.push((statement, parameters));
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
            self.statements.iter().chain(&self.on_refusal).map(|(statement, _)| *statement).collect();
        let rows = rows.into_iter().filter_map(|(position, row)| Some((*statements.get(position)?, row)));
        WriteResult { rows: rows.collect() }
    }
}

/// The rows that the statements of a write returned.
#[derive(Clone, Debug, Default)]
pub struct WriteResult {
    rows: Vec<(&'static Statement, Vec<Value>)>,
}

impl WriteResult {
    /// All rows of `statement`, in the order in which it returned them. If the write has the statement more than once,
    /// the rows of the first come first.
    ///
    /// # Errors
    /// If the types of the columns do not match `T`.
    pub fn all<T: FromRow>(&self, statement: &'static Statement) -> Result<Vec<T>, ReadError> {
        let rows = self.rows.iter().filter(|(of, _)| std::ptr::eq(*of, statement));
        Ok(rows.map(|(_, row)| T::from_row(row)).collect::<FromSqlResult<_>>()?)
    }

    /// The first row of `statement`, if it returned one.
    ///
    /// # Errors
    /// As [`WriteResult::all`].
    pub fn one<T: FromRow>(&self, statement: &'static Statement) -> Result<Option<T>, ReadError> {
        let row = self.rows.iter().find(|(of, _)| std::ptr::eq(*of, statement));
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
