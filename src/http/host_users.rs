//! People whom somebody else has logged in: users of a host application, by its tokens, and of a trusted proxy, by a header.
//!
//! The first request stores a session. Later ones find it as they find the session of a login, and write nothing.

use serde_json::{Value as Json, json};
use warp::http::{HeaderValue, StatusCode};

use super::authentication::find_caller;
use super::{Error, Request};
use crate::database::{ReadError, Snapshot, Value, Write, text};
use crate::issuers::{Claims, TokenError, claimed_issuer, is_token, verify};
use crate::statements;
use crate::tokens::token_hash;

/// The hash of the session of a person whom the proxy names. Tokens in headers have no line breaks, so none has this hash.
pub(super) fn session_hash(name: &str) -> String {
    token_hash(&format!("trusted header\n{}", name.to_ascii_lowercase()))
}

fn refuse_token(error: &TokenError) -> Error {
    Error::new(StatusCode::UNAUTHORIZED, "token_invalid", format!("The token is not accepted: {error}."))
}

impl Request {
    /// Stores the session of a person whom a host application's token or a trusted proxy brings for the first time. A
    /// refusal waits in [`Request::not_admitted`] for the handler that needs a caller.
    pub(super) async fn admit(&mut self) {
        let admitted = match self.bearer_token() {
            Some(token) if is_token(&token) => self.admit_token(&token).await,
            Some(_) => Ok(()),
            None => self.admit_name_from_proxy().await,
        };
        self.not_admitted = admitted.err();
    }

    async fn admit_token(&self, token: &str) -> Result<(), Error> {
        let token_hashes = [token_hash(token)];
        let key = self.app.database.read(|snapshot| {
            if find_caller(snapshot, &token_hashes)?.is_some() {
                return Ok(None);
            }
            let issuer = claimed_issuer(token).map_err(|error| refuse_token(&error))?;
            let key: Option<(String, String)> =
                snapshot.row(&statements::ISSUER, [&issuer], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let (algorithm, key) = key.ok_or_else(|| refuse_token(&TokenError::UnknownIssuer))?;
            Ok::<_, Error>(Some((issuer, algorithm, key)))
        })?;
        let Some((issuer, algorithm, key)) = key else {
            return Ok(());
        };
        let claims = verify(token, &issuer, &algorithm, &key).map_err(|error| refuse_token(&error))?;
        let [token_hash] = token_hashes;
        let write =
            admission(token_hash.clone(), &issuer, key, claims).then(&statements::FIND_SESSION, [text(token_hash)]);
        let written = self.app.write(write).await?;
        let session = written.one::<(String,)>(&statements::FIND_SESSION)?;
        let (username,) = session.ok_or_else(|| refuse_token(&TokenError::UnknownIssuer))?;
        tracing::info!(%username, %issuer, "admitted by a token");
        Ok(())
    }

    /// The name that a trusted proxy gives the person. `None` without a trusted header in the request.
    pub(super) fn name_from_proxy(&self, snapshot: &Snapshot) -> Result<Option<String>, ReadError> {
        if !self.app.behind_proxy {
            return Ok(None);
        }
        let header: Option<String> = snapshot.row(&statements::TRUSTED_HEADER, [], |row| row.get(0))?;
        let Some(header) = header.filter(|header| !header.is_empty()) else {
            return Ok(None);
        };
        // A client may have sent one of several. Together they are no name.
        let values: Vec<_> = self.headers.get_all(header).iter().map(HeaderValue::as_bytes).collect();
        Ok((!values.is_empty()).then(|| String::from_utf8_lossy(&values.join(&b',')).trim().to_owned()))
    }

    async fn admit_name_from_proxy(&self) -> Result<(), Error> {
        let name = self.app.database.read(|snapshot| {
            let Some(name) = self.name_from_proxy(snapshot)? else {
                return Ok(None);
            };
            let is_fresh: Option<bool> =
                snapshot.row(&statements::IS_FRESH_SESSION, [&session_hash(&name)], |row| row.get(0))?;
            Ok::<_, ReadError>(Some(name).filter(|_| is_fresh != Some(true)))
        })?;
        let Some(name) = name else {
            return Ok(());
        };
        self.refuse_forged_change()?;
        let parameters = [text(&name), text(session_hash(&name))];
        self.app.write(Write::new(&statements::ADMIT_HEADER_USER, parameters)).await?;
        tracing::info!(username = %name, "admitted by the trusted header");
        Ok(())
    }
}

/// The write of the first use of a token.
fn admission(token_hash: String, issuer: &str, key: String, claims: Claims) -> Write {
    let or_null = |value: Option<String>| value.map_or(Value::Null, Value::Text);
    let time = |value: Option<f64>| value.map_or(Value::Null, Value::Real);
    let channels = claims.channels.map(|channels| {
        channels.into_iter().map(|(id, title)| json!({ "id": id, "title": title })).collect::<Json>().to_string()
    });
    let parameters = [
        text(token_hash),
        text(issuer),
        text(key),
        text(claims.subject),
        text(json!(claims.audience).to_string()),
        or_null(claims.name),
        or_null(channels),
        time(claims.issued_ts),
        time(claims.not_before_ts),
        Value::Real(claims.expires_ts),
    ];
    Write::new(&statements::ADMIT_TOKEN_USER, parameters)
}
