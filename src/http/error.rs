//! The one error type: a status, a stable code, a sentence, and what else the client needs.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};
use warp::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use warp::http::{Response, StatusCode};
use warp::{Rejection, Reply};

use super::{App, UNAVAILABLE};
use crate::database::{ReadError, WriteError, WriteResult};

/// An answer with a status of 400 or more: `{"error": SENTENCE, "code": CODE}` and perhaps another member.
#[derive(Debug)]
pub struct Error(Box<Parts>);

/// What an error consists of. It is boxed because answers that are none should not carry its size around.
#[derive(Debug)]
struct Parts {
    status: StatusCode,
    code: Cow<'static, str>,
    sentence: Cow<'static, str>,
    detail: Option<(&'static str, Json)>,
    retry_after: Option<u64>,
    /// What the rule that refused was asked about, for the handler to make a detail of.
    rows: WriteResult,
}

impl Error {
    /// An error of the HTTP shell's own.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::with(status, code.into(), sentence.into())
    }

    fn with(status: StatusCode, code: Cow<'static, str>, sentence: Cow<'static, str>) -> Self {
        Self(Box::new(Parts { status, code, sentence, detail: None, retry_after: None, rows: WriteResult::default() }))
    }

    /// 400 with a code and a sentence.
    #[must_use]
    pub fn bad_request(code: &'static str, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, sentence)
    }

    /// 401: nobody is known to be asking.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Log in first: this wants a bearer token, or the cookie of POST /login.",
        )
    }

    /// 404: there is nothing at that path.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at that path.")
    }

    /// What the database means by `code`. A code that it does not know is a defect, logged and answered with 500.
    #[must_use]
    pub fn refused(app: &App, code: &str) -> Self {
        match app.database.refusal(code) {
            Some(refusal) => Self::with(
                StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST),
                code.to_owned().into(),
                refusal.sentence.clone().into(),
            ),
            None => Self::internal(&format!("the rules have no code {code}")),
        }
    }

    /// What a write's failure means to the client.
    #[must_use]
    pub fn from_write(app: &App, error: WriteError) -> Self {
        match error {
            WriteError::Refused { code, rows } => {
                let mut error = Self::refused(app, &code);
                error.0.rows = rows;
                error
            }
            WriteError::Busy => {
                Self::new(UNAVAILABLE, "database_busy", "Another program is writing to the database; try again.")
                    .retry_after(1)
            }
            WriteError::Closed => {
                Self::new(UNAVAILABLE, "stopping", "The server is stopping; try again when it is back.").retry_after(2)
            }
            WriteError::Full => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "disk_full",
                "The server's disk is full; nothing was stored.",
            ),
            WriteError::Broken(error) => {
                tracing::error!(%error, "the database cannot be written");
                Self::new(
                    UNAVAILABLE,
                    "database_broken",
                    "The server's database cannot be written; nothing was stored.",
                )
                .retry_after(10)
            }
            WriteError::Unexpected(error) | WriteError::SyncFailed(error) => Self::internal(&error.to_string()),
        }
    }

    /// 500: a defect, which is logged.
    #[must_use]
    pub fn internal(what: &str) -> Self {
        tracing::error!(what, "internal error");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server made a mistake, which it has noted.")
    }

    /// Adds a member to the JSON.
    #[must_use]
    pub fn detail(mut self, name: &'static str, value: Json) -> Self {
        self.0.detail = Some((name, value));
        self
    }

    /// Asks the client to wait so many seconds, at least one (RFC 9110, section 10.2.3).
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds.max(1));
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The rows that came with a refusal.
    #[must_use]
    pub fn rows(&self) -> &WriteResult {
        &self.0.rows
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        tracing::error!(%error, "the database cannot be read");
        Self::new(UNAVAILABLE, "database_broken", "The server's database cannot be read.").retry_after(10)
    }
}

/// What warp says about a request that no route takes.
impl From<&Rejection> for Error {
    fn from(rejection: &Rejection) -> Self {
        if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
            return Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "That path takes another method.");
        }
        if rejection.find::<warp::reject::InvalidQuery>().is_some() {
            return Self::bad_request("bad_query", "The query string cannot be read.");
        }
        if rejection.is_not_found() {
            return Self::not_found();
        }
        Self::bad_request("bad_request", "The request cannot be read.")
    }
}

impl Reply for Error {
    fn into_response(self) -> warp::reply::Response {
        let parts = *self.0;
        let mut json = Map::new();
        json.insert("error".to_owned(), Json::from(parts.sentence));
        json.insert("code".to_owned(), Json::from(parts.code));
        if let Some((name, value)) = parts.detail {
            json.insert(name.to_owned(), value);
        }
        let mut response = Response::new(Json::Object(json).to_string().into());
        *response.status_mut() = parts.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = parts.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if parts.status == StatusCode::UNAUTHORIZED {
            headers.insert("www-authenticate", HeaderValue::from_static("Bearer"));
        }
        response
    }
}
