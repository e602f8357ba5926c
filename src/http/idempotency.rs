//! Actions that a client may repeat: the header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07).
//!
//! A retry has the key of the first request, and gets its answer. The rules in `sql/rules/idempotency.sql` check and store
//! the key in the write of the action.

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use warp::http::HeaderMap;
use warp::http::header::HeaderValue;
use warp::reply::Response;

use super::{App, Error, HandlerResult, Request, json_text};
use crate::database::{Snapshot, Value, Write, text};
use crate::statements::{self, Statement};

/// The name of the header.
const HEADER: &str = "idempotency-key";

/// The longest key, in bytes.
const KEY_MAX_BYTES: usize = 128;

/// Begins to tell a request from others with the same key: by its path, its query, and the headers that mark an upload.
/// [`Request::bytes`] adds the body. `None` without a key.
pub(super) fn fingerprint(headers: &HeaderMap, path: &str, query: &str) -> Option<Sha256> {
    headers.contains_key(HEADER).then(|| {
        let marks = ["x-init", "x-mime"].map(|name| headers.get(name).map_or(b"".as_slice(), HeaderValue::as_bytes));
        let mut fingerprint = Sha256::new();
        for part in [path.as_bytes(), query.as_bytes()].into_iter().chain(marks) {
            fingerprint.update(part);
            // In none of the parts.
            fingerprint.update([0]);
        }
        fingerprint
    })
}

/// The key in a header: bare, or a string of Structured Fields (RFC 9651, section 3.3.3). `None` if it is malformed.
fn parse_key(value: &HeaderValue) -> Option<String> {
    let value = value.to_str().ok()?;
    let key = match value.strip_prefix('"') {
        Some(quoted) => unescape(quoted.strip_suffix('"')?)?,
        None => value.to_owned(),
    };
    ((1..=KEY_MAX_BYTES).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())).then_some(key)
}

/// Removes the backslashes that escape quotes and backslashes.
fn unescape(quoted: &str) -> Option<String> {
    let mut characters = quoted.chars();
    let mut key = String::with_capacity(quoted.len());
    while let Some(character) = characters.next() {
        key.push(match character {
            '\\' => characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?,
            '"' => return None,
            other => other,
        });
    }
    Some(key)
}

/// The answer to an action that was carried out. Its status is 200.
pub(super) struct Answer {
    known: Option<Json>,
    /// The action, the call or share, and the person of a row of the view `action_answers`.
    row: Option<[String; 3]>,
    returned_by: Option<&'static Statement>,
}

impl Answer {
    /// An answer that does not depend on what the action found.
    pub(super) fn known(json: Json) -> Self {
        Self { known: Some(json), row: None, returned_by: None }
    }

    /// The answer `{"status": STATUS}`.
    pub(super) fn status(status: &str) -> Self {
        Self::known(json!({ "status": status }))
    }

    /// The row of the view `action_answers` for `action` on the call or share `id` and `person`.
    pub(super) fn row(action: &str, id: String, person: String) -> Self {
        Self { known: None, row: Some([action.to_owned(), id, person]), returned_by: None }
    }

    /// The answer without such a row.
    pub(super) fn or_status(self, status: &str) -> Self {
        Self { known: Some(json!({ "status": status })), ..self }
    }

    /// Saves reading the row: the first column of `statement` of the action has the same text.
    pub(super) fn returned_by(self, statement: &'static Statement) -> Self {
        Self { returned_by: Some(statement), ..self }
    }
}

/// The write of an action, which is carried out once for each key.
pub(super) struct Action {
    write: Write,
    /// The person, their key and the fingerprint of the request.
    key: Option<[Value; 3]>,
}

impl Action {
    /// As [`Write::then`].
    pub(super) fn then<const N: usize>(mut self, statement: &'static Statement, parameters: [Value; N]) -> Self {
        self.write = self.write.then(statement, parameters);
        self
    }

    /// As [`Write::on_refusal`].
    pub(super) fn on_refusal<const N: usize>(mut self, query: &'static Statement, parameters: [Value; N]) -> Self {
        self.write = self.write.on_refusal(query, parameters);
        self
    }

    /// Carries out the action, unless a request with the same key was carried out. Returns `answer`, or the stored one.
    ///
    /// # Errors
    /// As [`App::write`]; and 422 if the key was used for another request. Nothing is stored then.
    pub(super) async fn answer(self, app: &App, answer: Answer) -> HandlerResult<Response> {
        let Self { mut write, key } = self;
        let known = answer.known.map(|json| json.to_string());
        let row = answer.row.map(|row| row.map(Value::Text));
        let source = answer.returned_by.unwrap_or(&statements::ANSWER);
        if let Some(row) = row.clone().filter(|_| answer.returned_by.is_none()) {
            write = write.then(source, row);
        }
        if let Some([person, key, fingerprint]) = key {
            let known = known.clone().map_or(Value::Null, Value::Text);
            let [action, id, about] = row.unwrap_or([Value::Null, Value::Null, Value::Null]);
            write = write.then(&statements::KEEP_ANSWER, [person, key, fingerprint, known, action, id, about]);
        }
        let found: Option<(String,)> = match app.write(write).await {
            Ok(written) => written.one(source)?,
            Err(error) if error.code() == "idempotency_key_used" => error.rows().one(&statements::KEPT_ANSWER)?,
            Err(error) => return Err(error),
        };
        let json = found.map(|(json,)| json).or(known).ok_or_else(|| Error::internal("an action has no answer"))?;
        Ok(json_text(json))
    }
}

impl Request {
    /// The key of this request.
    ///
    /// # Errors
    /// 400 if it is malformed, or there are two.
    fn idempotency_key(&self) -> Result<Option<String>, Error> {
        let mut values = self.headers.get_all(HEADER).iter();
        let key = match (values.next(), values.next()) {
            (None, _) => return Ok(None),
            (Some(value), None) => parse_key(value),
            (Some(_), Some(_)) => None,
        };
        key.map(Some).ok_or_else(|| {
            Error::bad_request(
                "idempotency_key_malformed",
                "Invalid Idempotency-Key: 1 to 128 visible ASCII characters, perhaps in quotes.",
            )
        })
    }

    /// Begins an action of person `username`, once the body is read.
    ///
    /// # Errors
    /// 400 if the request has a malformed key.
    pub(super) fn action(&self, username: &str) -> Result<Action, Error> {
        let Some((key, fingerprint)) = self.idempotency_key()?.zip(self.fingerprint.clone()) else {
            return Ok(Action { write: Write::default(), key: None });
        };
        let (person, key, fingerprint) = (text(username), text(key), text(format!("{:x}", fingerprint.finalize())));
        let write = Write::new(&statements::CHECK_IDEMPOTENCY_KEY, [person.clone(), key.clone(), fingerprint.clone()])
            .on_refusal(&statements::KEPT_ANSWER, [person.clone(), key.clone()]);
        Ok(Action { write, key: Some([person, key, fingerprint]) })
    }

    /// Whether person `username` has used the key of this request, so that the write decides what becomes of it.
    ///
    /// # Errors
    /// As [`Request::action`], and that the file cannot be read.
    pub(super) fn has_used_key(&self, snapshot: &Snapshot, username: &str) -> Result<bool, Error> {
        let Some(key) = self.idempotency_key()? else { return Ok(false) };
        let has_used =
            snapshot.row(&statements::HAS_KEPT_ANSWER, [&username as &dyn rusqlite::ToSql, &key], |row| row.get(0))?;
        Ok(has_used.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderMap;
    use warp::http::header::HeaderValue;

    use super::{fingerprint, parse_key};

    #[test]
    fn key_is_bare_or_a_string() {
        let longest = "k".repeat(128);
        for (header, key) in [
            ("8e03978e-40d5-43e8-bc93-6894a57f9324", Some("8e03978e-40d5-43e8-bc93-6894a57f9324")),
            ("\"8e03978e\"", Some("8e03978e")),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            ("a\"b", Some("a\"b")),
            (longest.as_str(), Some(longest.as_str())),
            ("", None),
            ("\"\"", None),
            ("\"", None),
            ("\"a", None),
            ("\"a\"b\"", None),
            (r#""a\"#, None),
            (r#""a\""#, None),
            (r#""a\b""#, None),
            ("\"a\"; p=1", None),
            ("a b", None),
            ("\"a b\"", None),
            ("a\tb", None),
            (format!("{longest}k").as_str(), None),
        ] {
            assert_eq!(parse_key(&HeaderValue::from_str(header).unwrap()).as_deref(), key, "{header}");
        }
        assert_eq!(parse_key(&HeaderValue::from_bytes("ä".as_bytes()).unwrap()), None);
    }

    #[test]
    fn only_a_request_with_a_key_has_a_fingerprint() {
        assert!(fingerprint(&HeaderMap::new(), "/calls/initiate", "").is_none());
    }
}
