//! Writes and their outcomes as bytes: a member of a cluster sends them to others, and stores them in its log.

use std::collections::HashMap;
use std::sync::LazyLock;

use rusqlite::types::Value;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::write::Sql;
use crate::statements::{self, Statement};

/// The text travels, so that members of two versions understand each other.
impl Serialize for Sql {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

/// A text that this program has, too, takes no memory.
impl<'de> Deserialize<'de> for Sql {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        Ok(match KNOWN.get(text) {
            Some(statement) => Self::Named(statement),
            None => Self::Text(text.to_owned()),
        })
    }
}

static KNOWN: LazyLock<HashMap<&str, &Statement>> =
    LazyLock::new(|| statements::ALL.iter().map(|statement| (statement.sql(), *statement)).collect());

/// A value of SQLite (<https://sqlite.org/datatype3.html>).
#[derive(Serialize, Deserialize)]
#[serde(remote = "Value")]
enum EncodedValue {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(#[serde(with = "serde_bytes")] Vec<u8>),
}

#[derive(Serialize)]
struct Borrowed<'a>(#[serde(with = "EncodedValue")] &'a Value);

#[derive(Deserialize)]
struct Owned(#[serde(with = "EncodedValue")] Value);

/// Parameters, or the columns of a row.
pub(super) mod values {
    use super::{Borrowed, Deserialize, Deserializer, Owned, Serializer, Value};

    pub(in super::super) fn serialize<S: Serializer>(values: &[Value], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(Borrowed))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
        Ok(Vec::<Owned>::deserialize(deserializer)?.into_iter().map(|Owned(value)| value).collect())
    }
}
