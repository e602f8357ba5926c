//! The two transports: the REST API of a server, and SQL on its file.

use std::cell::Cell;
use std::time::Duration;

use minimost_calls::statements::{self, Statement};
use minimost_calls::tokens::{new_token, token_hash};
use nix::sys::signal::Signal;
use reqwest::Method;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use serde_json::{Value, json};

use base64_simd::STANDARD;

use crate::support::{Person, Server, answer};

/// The reply, or a refusal: the code, and over HTTP its status.
pub type Outcome = Result<Value, (Option<u16>, String)>;

/// The body of a request.
#[derive(Debug)]
pub enum Body {
    Empty,
    Json(Value),
    Bytes(Vec<u8>),
}

/// A statement and its parameters.
pub type BoundStatement = (String, Vec<SqlValue>);

/// One of the program's statements.
pub fn bind<const N: usize>(statement: &Statement, parameters: [SqlValue; N]) -> BoundStatement {
    (statement.sql().to_owned(), parameters.into())
}

/// A statement with its parameters as literals.
pub fn literal_sql((sql, parameters): &BoundStatement) -> String {
    let mut sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    for (number, parameter) in parameters.iter().enumerate().rev() {
        let literal = match parameter {
            SqlValue::Null => "NULL".to_owned(),
            SqlValue::Integer(integer) => integer.to_string(),
            SqlValue::Real(real) => format!("{real:?}"),
            SqlValue::Text(text) => format!("'{}'", text.replace('\'', "''")),
            SqlValue::Blob(bytes) => {
                format!("x'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
        };
        sql = sql.replace(&format!("?{}", number + 1), &literal);
    }
    sql
}

/// The code of a refusal: the message of RAISE, or the name of the CHECK.
fn code(error: &rusqlite::Error) -> (Option<u16>, String) {
    let message = match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    };
    (None, message.rsplit(": ").next().unwrap_or_default().to_owned())
}

/// Runs a statement to its end.
pub fn run(sql: &Connection, (statement, parameters): &BoundStatement) -> Outcome {
    let run = || {
        let mut prepared = sql.prepare_cached(statement)?;
        let mut rows = prepared.query(params_from_iter(parameters))?;
        while rows.next()?.is_some() {}
        rusqlite::Result::Ok(Value::Null)
    };
    run().map_err(|error| code(&error))
}

/// The texts in the first column.
pub fn texts(sql: &Connection, statement: &str, parameters: &[SqlValue]) -> Vec<String> {
    let mut prepared = sql.prepare_cached(statement).unwrap();
    let rows = prepared.query_map(params_from_iter(parameters), |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn text(value: &str) -> SqlValue {
    SqlValue::Text(value.to_owned())
}

/// The queries of the API over SQL, with the statements of its handlers.
pub struct SqlQueries<'a>(pub &'a Connection);

impl SqlQueries<'_> {
    /// The refusal that `access` selects, if it is not `granted`.
    fn access(&self, access: &Statement, parameters: &[SqlValue]) -> Result<(), (Option<u16>, String)> {
        let mut prepared = self.0.prepare_cached(access.sql()).unwrap();
        let access: String = prepared.query_row(params_from_iter(parameters), |row| row.get(0)).unwrap();
        if access == "granted" { Ok(()) } else { Err((None, access)) }
    }

    fn jsons(&self, statement: &Statement, parameters: &[SqlValue]) -> Value {
        texts(self.0, statement.sql(), parameters).iter().map(|text| json_of(text)).collect()
    }

    /// Rows as JSON objects with these members.
    fn objects(&self, statement: &Statement, parameters: &[SqlValue], members: &[&str]) -> Value {
        let mut prepared = self.0.prepare_cached(statement.sql()).unwrap();
        let rows = prepared.query_map(params_from_iter(parameters), |row| {
            let mut object = json!({});
            for (column, member) in members.iter().enumerate() {
                object[*member] = match row.get::<_, SqlValue>(column)? {
                    SqlValue::Null => Value::Null,
                    SqlValue::Integer(integer) if *member == "seen" => json!(integer != 0),
                    SqlValue::Integer(integer) => json!(integer),
                    SqlValue::Real(real) => json!(real),
                    SqlValue::Text(text) => json!(text),
                    SqlValue::Blob(bytes) => json!(STANDARD.encode_to_string(bytes)),
                };
            }
            Ok(object)
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    pub fn incoming(&self, actor: &str) -> Value {
        self.jsons(&statements::INCOMING_CALLS, &[text(actor)])
    }

    pub fn history(&self, actor: &str) -> Value {
        let (any, newest) = (SqlValue::Null, SqlValue::Real(f64::INFINITY));
        let parameters = [text(actor), any.clone(), newest, text(""), SqlValue::Integer(200), any.clone(), any];
        self.jsons(&statements::HISTORY, &parameters)
    }

    pub fn missed(&self, actor: &str) -> Value {
        let parameters = [text(actor), SqlValue::Real(0.0), SqlValue::Real(f64::INFINITY), text("")];
        self.jsons(&statements::MISSED_CALLS, &parameters)
    }

    pub fn state(&self, actor: &str, call: &str) -> Outcome {
        let mut prepared = self.0.prepare_cached(statements::CALL_STATE_AND_ACCESS.sql()).unwrap();
        let found: Option<(String, String)> =
            prepared.query_row([call, actor], |row| Ok((row.get(0)?, row.get(2)?))).optional().unwrap();
        match found {
            Some((state, access)) if access == "granted" => Ok(json_of(&state)),
            Some((_, code)) => Err((None, code)),
            None => Err((None, "call_not_found".to_owned())),
        }
    }

    pub fn active(&self, actor: &str, channel: &str) -> Outcome {
        self.access(&statements::CHANNEL_ACCESS, &[text(channel), text(actor)])?;
        let mut prepared = self.0.prepare_cached(statements::ACTIVE_CALL.sql()).unwrap();
        let found: Option<(String, String)> =
            prepared.query_row([channel, actor], |row| Ok((row.get(0)?, row.get(1)?))).optional().unwrap();
        match found {
            Some((_, code)) if code != "granted" => Err((None, code)),
            call => Ok(json!({ "call": call.map(|(call, _)| json_of(&call)) })),
        }
    }

    /// The signals of a call or a share; `access` is the statement for it.
    pub fn signals(&self, actor: &str, id: &str, after: i64, access: &Statement) -> Outcome {
        let parameters = [text(id), text(actor), SqlValue::Integer(after)];
        self.access(access, &parameters)?;
        Ok(self.jsons(&statements::SIGNALS_AFTER, &parameters))
    }

    pub fn call_media(&self, actor: &str, call: &str, sender: &str, after: i64) -> Outcome {
        self.access(&statements::CALL_MEDIA_ACCESS, &[text(call), text(actor)])?;
        let init = self.objects(&statements::CALL_INIT_SEGMENT, &[text(call), text(sender)], &["mime_type", "init"]);
        let parameters = [text(call), text(sender), SqlValue::Integer(after)];
        let chunks = self.objects(&statements::CALL_CHUNKS_AFTER, &parameters, &["seq", "data"]);
        Ok(json!({ "mime_type": init[0]["mime_type"], "init": init[0]["init"], "chunks": chunks }))
    }

    pub fn shares(&self, actor: &str, channel: &str) -> Outcome {
        self.access(&statements::CHANNEL_ACCESS, &[text(channel), text(actor)])?;
        Ok(self.jsons(&statements::CHANNEL_ACTIVE_SHARES, &[text(channel), text(actor)]))
    }

    pub fn share_media(&self, actor: &str, share: &str, after: i64) -> Outcome {
        self.access(&statements::SHARE_ACCESS, &[text(share), text(actor)])?;
        let init = self.objects(&statements::SHARE_INIT_SEGMENT, &[text(share)], &["mime_type", "init"]);
        let parameters = [text(share), SqlValue::Integer(after)];
        let chunks = self.objects(&statements::SHARE_CHUNKS_AFTER, &parameters, &["seq", "data"]);
        let active = self.objects(&statements::IS_SHARE_ACTIVE, &[text(share)], &["seen"]);
        let (mime, init) = (&init[0]["mime_type"], &init[0]["init"]);
        Ok(json!({ "mime_type": mime, "init": init, "chunks": chunks, "active": active[0]["seen"] }))
    }
}

/// A client that closes idle connections before the server does; a request on a connection that the server is closing
/// would fail.
fn client() -> reqwest::Client {
    reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(1)).build().unwrap()
}

/// A server for all sequences of a round, and its client.
pub struct Http {
    server: Option<Server>,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    restarts: usize,
    posted: Cell<usize>,
}

impl Http {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { server: Some(Server::start()), client: client(), runtime, restarts: 0, posted: Cell::new(0) }
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Stops the server, with SIGKILL and SIGTERM in turns, and starts it again on the same file.
    pub fn restart(&mut self) {
        let signal = if self.restarts.is_multiple_of(2) { Signal::SIGKILL } else { Signal::SIGTERM };
        self.restarts += 1;
        let (folder, _) = self.server.take().unwrap().stop(signal);
        self.server = Some(Server::start_in(folder, &[]));
        self.client = client();
    }

    /// Creates a session for a user of the file, and returns its token.
    pub fn log_in(sql: &Connection, name: &str) -> String {
        let token = new_token().unwrap();
        let session = [SqlValue::Text(token_hash(&token)), text(name), SqlValue::Real(36000.0)];
        run(sql, &bind(&statements::ADD_SESSION, session)).unwrap();
        token
    }

    fn person(&self, name: &str, token: &str) -> Person {
        Person::with_client(name.to_owned(), token.to_owned(), self.server().url.clone(), self.client.clone())
    }

    fn outcome((status, body): (u16, Value)) -> Outcome {
        if status == 200 { Ok(body) } else { Err((Some(status), body["code"].as_str().unwrap_or_default().to_owned())) }
    }

    /// Sends a POST request: of three that act on a call or share, two have a key, and one of these is sent again when it was
    /// carried out. The model knows nothing of it, so a retry that is carried out again is a difference.
    pub fn post(&self, (name, token): (&str, &str), path: &str, body: Body) -> (Outcome, Value) {
        let person = self.person(name, token);
        let request = match body {
            Body::Empty => person.posting(path),
            Body::Json(json) => person.posting_json(path, json),
            Body::Bytes(bytes) => person.posting_bytes(path, bytes),
        };
        let number = self.posted.replace(self.posted.get() + 1);
        let takes_key = ["/calls/", "/screenshare/"].iter().any(|above| path.starts_with(above));
        let request = if takes_key && !number.is_multiple_of(3) {
            request.header("idempotency-key", format!("request-{number}"))
        } else {
            request
        };
        let retry = request.try_clone().filter(|_| takes_key && number % 3 == 2);
        let answered = self.runtime.block_on(answer(request));
        if let Some(retry) = retry.filter(|_| answered.0 == 200) {
            assert_eq!(self.runtime.block_on(answer(retry)), answered, "{path}, sent again");
        }
        let body = answered.1.clone();
        (Self::outcome(answered), body)
    }

    /// Sends several GET requests at once.
    pub fn get(&self, questions: &[(&str, &str, String)]) -> Vec<Outcome> {
        let answers = questions.iter().map(|(name, token, path)| {
            let request = self.person(name, token).request(Method::GET, path);
            async { Self::outcome(answer(request).await) }
        });
        self.runtime.block_on(futures_util::future::join_all(answers))
    }
}
