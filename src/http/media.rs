//! Media that a MediaRecorder uploads and a MediaSource plays, for clients without WebRTC, in calls and in shares.

use std::sync::Arc;

use base64_simd::STANDARD;
use rusqlite::{Row, ToSql};
use serde_json::json;
use warp::Reply;
use warp::reply::Response;

use super::request::{Caller, text};
use super::{Answer, Error, Request, json_text, refuse};
use crate::database::{Snapshot, Value, Write};
use crate::statements::{self, Statement};

/// What an init segment's `seq` is: it has no place among the chunks.
const INIT_SEQ: i64 = -1;

/// What an answer with media begins to be collected in; it grows as it has to.
const BUFFERED_BYTES: usize = 64 * 1024;

/// A chunk on its way in.
struct Upload {
    /// The MIME type of the recording, with an init segment alone.
    init_mime: Option<String>,
    data: Vec<u8>,
}

impl Upload {
    /// Takes an upload out of a request: `?init=1&mime=M` or the headers `X-Init: 1` and `X-Mime: M` mark an init segment.
    /// Answers who uploads, too.
    async fn of(request: &mut Request) -> Result<(String, Self), Error> {
        let (caller, limit) = request.read(|snapshot, caller| {
            let limit: Option<i64> = snapshot.row(&statements::MEDIA_CHUNK_MAX_BYTES, [], |row| row.get(0))?;
            Ok((caller.name.clone(), usize::try_from(limit.unwrap_or_default()).unwrap_or_default()))
        })?;
        let is_init = request.query("init").or_else(|| request.header_named("x-init")) == Some("1");
        let mime = request.query("mime").or_else(|| request.header_named("x-mime"));
        let init_mime = match mime.filter(|mime| !mime.is_empty()) {
            Some(mime) if is_init => Some(mime.to_owned()),
            None if is_init => {
                return Err(Error::bad_request(
                    "mime_missing",
                    "An init segment needs its MIME type, in ?mime= or the header X-Mime.",
                ));
            }
            _ => None,
        };
        let data = request.bytes(limit, "media_chunk_too_large").await?;
        if data.is_empty() {
            return Err(Error::bad_request("chunk_empty", "The body has no bytes; a chunk is the raw body."));
        }
        Ok((caller, Self { init_mime, data }))
    }

    /// The three parameters that the statements of calls and shares have in common.
    fn parameters(self) -> (bool, [Value; 3]) {
        let is_init = self.init_mime.is_some();
        let mime = self.init_mime.map_or(Value::Null, Value::Text);
        (is_init, [Value::Integer(is_init.into()), mime, Value::Blob(self.data)])
    }
}

fn stored(seq: i64) -> warp::reply::Json {
    warp::reply::json(&json!({ "status": "stored", "seq": seq }))
}

pub(super) async fn upload_to_call(call_id: String, mut request: Request) -> Answer {
    let (caller, upload) = Upload::of(&mut request).await?;
    let (is_init, [init, mime, data]) = upload.parameters();
    let write = Write::new(&statements::UPLOAD_CALL_MEDIA, [text(call_id), text(caller), init, mime, data]);
    let seq = request.app.write(write).await?.one(&statements::UPLOAD_CALL_MEDIA)?;
    Ok(stored(seq.filter(|_| !is_init).map_or(INIT_SEQ, |(seq,)| seq)))
}

pub(super) async fn upload_to_share(share_id: String, mut request: Request) -> Answer {
    let (caller, upload) = Upload::of(&mut request).await?;
    let (is_init, [init, mime, data]) = upload.parameters();
    let write = Write::new(&statements::UPLOAD_SHARE_MEDIA, [text(&share_id), text(caller), init, mime, data])
        .then(&statements::NEWEST_SHARE_CHUNK, [text(share_id)]);
    let seq = request.app.write(write).await?.one::<(Option<i64>,)>(&statements::NEWEST_SHARE_CHUNK)?;
    Ok(stored(seq.and_then(|(seq,)| seq).filter(|_| !is_init).unwrap_or(INIT_SEQ)))
}

/// What a receiver gets, as JSON: always the newest init segment, then the chunks after its cursor. Bytes are in base64
/// (RFC 4648, section 4). It is written straight out of the rows, so that a payload is copied once on its way.
struct Buffered(Vec<u8>);

impl Buffered {
    /// The newest init segment, a row of its MIME type and its bytes; then the chunks, rows of a number and bytes.
    fn of<const N: usize, const M: usize>(
        snapshot: &Snapshot,
        (init, init_of): (&'static Statement, [&dyn ToSql; N]),
        (chunks, chunks_of): (&'static Statement, [&dyn ToSql; M]),
    ) -> Result<Self, Error> {
        let mut json = Self(Vec::with_capacity(BUFFERED_BYTES));
        let there = snapshot.row(init, init_of, |row| {
            let mime_type = serde_json::Value::String(row.get(0)?);
            json.text("{\"mime_type\":")
                .text(&mime_type.to_string())
                .text(",\"init\":")
                .base64(row)?
                .text(",\"chunks\":[");
            Ok(())
        })?;
        if there.is_none() {
            json.text("{\"mime_type\":null,\"init\":null,\"chunks\":[");
        }
        let mut separator = "";
        snapshot.rows(chunks, chunks_of, |row| {
            let seq: i64 = row.get(0)?;
            json.text(separator).text("{\"seq\":").text(&seq.to_string()).text(",\"data\":").base64(row)?.text("}");
            separator = ",";
            Ok(())
        })?;
        json.text("]");
        Ok(json)
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// The blob in the second column, as a string.
    fn base64(&mut self, row: &Row<'_>) -> rusqlite::Result<&mut Self> {
        self.0.push(b'"');
        STANDARD.encode_append(row.get_ref(1)?.as_blob()?, &mut self.0);
        self.0.push(b'"');
        Ok(self)
    }

    fn end(mut self) -> Response {
        self.text("}");
        json_text(self.0)
    }
}

pub(super) async fn of_call(call_id: String, request: Request) -> Answer<impl Reply> {
    let (sender, after) = (request.required_query("sender").map(str::to_owned), request.after(-1));
    let app = Arc::clone(&request.app);
    let read = request.read_on_pool(move |snapshot, Caller { name, .. }| {
        let (sender, after) = (sender?, after?);
        refuse(&app, snapshot, &statements::WHY_NOT_TAKE_PART, [&call_id, name])?;
        let init = (&statements::CALL_INIT_SEGMENT, [&call_id as &dyn ToSql, &sender]);
        let chunks = (&statements::CALL_CHUNKS_AFTER, [&call_id as &dyn ToSql, &sender, &after]);
        Ok(Buffered::of(snapshot, init, chunks)?.end())
    });
    read.await
}

pub(super) async fn of_share(share_id: String, request: Request) -> Answer<impl Reply> {
    let after = request.after(-1);
    let app = Arc::clone(&request.app);
    let read = request.read_on_pool(move |snapshot, Caller { name, .. }| {
        let after = after?;
        refuse(&app, snapshot, &statements::WHY_NOT_WATCH_SHARE, [&share_id, name])?;
        let init = (&statements::SHARE_INIT_SEGMENT, [&share_id as &dyn ToSql]);
        let chunks = (&statements::SHARE_CHUNKS_AFTER, [&share_id as &dyn ToSql, &after]);
        let mut json = Buffered::of(snapshot, init, chunks)?;
        let active: Option<bool> = snapshot.row(&statements::SHARE_IS_ACTIVE, [&share_id], |row| row.get(0))?;
        json.text(if active == Some(true) { ",\"active\":true" } else { ",\"active\":false" });
        Ok(json.end())
    });
    read.await
}
