//! The one error type of the API: a status, a stable code and a sentence.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use warp::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use warp::http::{Response, StatusCode};
use warp::{Rejection, Reply};

use super::{App, UNAVAILABLE, outages};
use crate::database::{ReadError, WriteError, WriteResult};
use crate::statements::Statement;

/// A response with a status of 400 or more: `{"error": SENTENCE, "code": CODE}`, sometimes with another member.
#[derive(Clone, Debug)]
pub struct Error(Box<Parts>);

/// Boxed, so that a `Result` with a small success stays small.
#[derive(Clone, Debug)]
struct Parts {
    status: StatusCode,
    code: Cow<'static, str>,
    sentence: Cow<'static, str>,
    detail: Option<(&'static str, Json)>,
    retry_after: Option<u64>,
    /// What the log says about a status of 503 and above, instead of the sentence.
    reason: Option<String>,
    /// The rows of `Write::on_refusal`, from which a handler makes a detail.
    rows: WriteResult,
}

impl Error {
    /// An error of the HTTP layer, not of a rule in the database.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::with(status, code.into(), sentence.into())
    }

    fn with(status: StatusCode, code: Cow<'static, str>, sentence: Cow<'static, str>) -> Self {
        Self(Box::new(Parts {
            status,
            code,
            sentence,
            detail: None,
            retry_after: None,
            reason: None,
            rows: WriteResult::default(),
        }))
    }

    /// 400.
    #[must_use]
    pub fn bad_request(code: &'static str, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, sentence)
    }

    /// 401: there is no valid session.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Log in first, or send a bearer token.")
    }

    /// 429: the caller holds as much as the server gives one person. Less is possible as soon as some of it is released.
    #[must_use]
    pub fn too_much(code: &'static str, sentence: &'static str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, sentence).retry_after(1)
    }

    /// 404: no route has this path.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "No such path.")
    }

    /// The refusal of a rule, with the status and the sentence of its code. An unknown code is a defect: logged, and
    /// 500.
    #[must_use]
    pub fn refused(app: &App, code: &str) -> Self {
        match app.database.refusal(code) {
            Some(refusal) => Self::with(
                StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST),
                code.to_owned().into(),
                refusal.sentence.into(),
            ),
            None => Self::internal(&format!("unknown refusal code {code}")),
        }
    }

    /// The failure of a write, as the client sees it.
    #[must_use]
    pub fn from_write(app: &App, error: WriteError) -> Self {
        match error {
            WriteError::Refused { code, rows } => {
                let mut error = Self::refused(app, &code);
                error.0.rows = rows;
                error
            }
            WriteError::Busy => {
                Self::new(UNAVAILABLE, "database_busy", "Another program is writing to the database. Try again.")
                    .retry_after(1)
            }
            WriteError::NoLeader => {
                Self::new(UNAVAILABLE, "no_leader", "The cluster has no leader. Nothing was done. Try again.")
                    .retry_after(1)
            }
            WriteError::OutcomeUnknown => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "outcome_unknown",
                "The cluster lost its leader, so this may have been done. Look before you try again.",
            )
            .retry_after(1),
            WriteError::Unswept => Self::new(
                UNAVAILABLE,
                "sweep_refused",
                "A defect in the database stops its time limits. Try again later.",
            )
            .retry_after(10),
            WriteError::Closed => {
                Self::new(UNAVAILABLE, "stopping", "The server is stopping. Try again later.").retry_after(2)
            }
            WriteError::Full => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "disk_full",
                "The server's disk is full. Nothing was stored.",
            ),
            WriteError::Broken(error) => Self::new(
                UNAVAILABLE,
                "database_broken",
                "The server cannot write to its database. Nothing was stored.",
            )
            .because(&WriteError::Broken(error))
            .retry_after(10),
            error @ (WriteError::Unexpected(_)
            | WriteError::SyncFailed(_)
            | WriteError::Replaced(_)
            | WriteError::NoMember) => Self::internal(&error.to_string()),
        }
    }

    /// 500: a defect, which is logged.
    #[must_use]
    pub fn internal(what: &str) -> Self {
        tracing::error!(what, "internal error");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal server error.")
    }

    /// Adds a member to the JSON object.
    #[must_use]
    pub fn detail(mut self, name: &'static str, value: Json) -> Self {
        self.0.detail = Some((name, value));
        self
    }

    /// Sets `Retry-After`, in seconds, at least one (RFC 9110, section 10.2.3). 429 and 503 have one in any case.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds.max(1));
        self
    }

    /// Logs `reason` with a status of 503 and above.
    #[must_use]
    fn because(mut self, reason: &impl std::fmt::Display) -> Self {
        self.0.reason = Some(reason.to_string());
        self
    }

    /// Sets `Retry-After` if `waits`, a query of [`Write::on_refusal`](crate::database::Write::on_refusal), returned the
    /// code of this error with a number of seconds. Of several, the longest wait counts.
    #[must_use]
    pub fn retry_after_wait(self, waits: &'static Statement) -> Self {
        let rows = self.rows().all::<(String, f64)>(waits).unwrap_or_default();
        let seconds = rows.into_iter().filter(|(code, _)| *code == self.code()).map(|(_, seconds)| seconds);
        match seconds.reduce(f64::max) {
            Some(seconds) => {
                self.retry_after(Duration::try_from_secs_f64(seconds.ceil()).unwrap_or_default().as_secs())
            }
            None => self,
        }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The rows of `Write::on_refusal`, if a rule refused.
    #[must_use]
    pub fn rows(&self) -> &WriteResult {
        &self.0.rows
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        if matches!(error, ReadError::ClockSet) {
            return Self::new(UNAVAILABLE, "clock_set", "The server's clock was set. Try again.").retry_after(1);
        }
        Self::new(UNAVAILABLE, "database_broken", "The server cannot read its database.")
            .because(&error)
            .retry_after(10)
    }
}

/// A rejection by warp itself. Routes only reject what another route may take, and the last one takes everything.
impl From<&Rejection> for Error {
    fn from(rejection: &Rejection) -> Self {
        Self::internal(&format!("rejected: {rejection:?}"))
    }
}

impl Reply for Error {
    fn into_response(self) -> warp::reply::Response {
        let parts = *self.0;
        if parts.status >= UNAVAILABLE {
            let reason = parts.reason.as_deref().unwrap_or(&parts.sentence);
            outages::log(parts.status.as_u16(), &parts.code, reason);
        }
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
        let comes_back = matches!(parts.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        if let Some(seconds) = parts.retry_after.or(comes_back.then_some(1)) {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if parts.status == StatusCode::UNAUTHORIZED {
            headers.insert("www-authenticate", HeaderValue::from_static("Bearer"));
        }
        response
    }
}
