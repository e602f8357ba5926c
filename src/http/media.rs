//! Relayed media of calls and shares, for clients without WebRTC: a MediaRecorder uploads it, a MediaSource plays it.

use std::sync::Arc;

use base64_simd::STANDARD;
use rusqlite::{Row, ToSql};
use serde_json::json;
use warp::Reply;
use warp::reply::Response;

use super::authentication::Caller;
use super::{Error, HandlerResult, Request, json_text, require};
use crate::database::{Snapshot, Value, Write, text};
use crate::statements::{self, Statement};

/// The `seq` of an init segment, which is not one of the numbered chunks.
const INIT_SEQ: i64 = -1;

/// The initial capacity of a response with media, in bytes.
const RESPONSE_CAPACITY: usize = 64 * 1024;

/// An uploaded chunk or init segment.
struct Upload {
    /// The MIME type of the recording. `None` for a chunk.
    init_mime: Option<String>,
    data: Vec<u8>,
}

impl Upload {
    /// Reads an upload, and returns its sender with it. `?init=1&mime=M`, or the headers `X-Init: 1` and `X-Mime: M`,
    /// mark an init segment.
    ///
    /// # Errors
    /// 401 without a session, 400 for an init segment without a MIME type or an empty body, 413 if it is larger than
    /// the setting `media_chunk_max_bytes`, 408 if it is too slow.
    async fn read(request: &mut Request) -> Result<(String, Self), Error> {
        let (caller, limit) = request.read(|snapshot, caller| {
            let limit: Option<i64> = snapshot.row(&statements::MEDIA_CHUNK_MAX_BYTES, [], |row| row.get(0))?;
            Ok((caller.name.clone(), usize::try_from(limit.unwrap_or_default()).unwrap_or_default()))
        })?;
        let is_init = request.query("init").or_else(|| request.header("x-init")) == Some("1");
        let mime = request.raw_query("mime").or_else(|| request.header("x-mime"));
        let init_mime = match mime.filter(|mime| !mime.is_empty()) {
            Some(mime) if is_init => Some(mime.to_owned()),
            None if is_init => {
                return Err(Error::bad_request(
                    "mime_missing",
                    "An init segment needs a MIME type, in ?mime= or the header X-Mime.",
                ));
            }
            _ => None,
        };
        let data = request.bytes(limit, "media_chunk_too_large").await?;
        if data.is_empty() {
            return Err(Error::bad_request("chunk_empty", "The request body is empty. A chunk is the raw body."));
        }
        Ok((caller, Self { init_mime, data }))
    }

    /// Whether this is an init segment, and the parameters that the statements of calls and shares have in common.
    fn parameters(self) -> (bool, [Value; 3]) {
        let is_init = self.init_mime.is_some();
        let mime = self.init_mime.map_or(Value::Null, Value::Text);
        (is_init, [Value::Integer(is_init.into()), mime, Value::Blob(self.data)])
    }
}

/// The response to an upload.
fn stored(seq: i64) -> warp::reply::Json {
    warp::reply::json(&json!({ "status": "stored", "seq": seq }))
}

pub(super) async fn upload_to_call(call_id: String, request: &mut Request) -> HandlerResult {
    let (caller, upload) = Upload::read(request).await?;
    let (is_init, [init, mime, data]) = upload.parameters();
    let write = Write::new(&statements::UPLOAD_CALL_MEDIA, [text(call_id), text(caller), init, mime, data]);
    let seq = request.app.write(write).await?.one(&statements::UPLOAD_CALL_MEDIA)?;
    Ok(stored(seq.filter(|_| !is_init).map_or(INIT_SEQ, |(seq,)| seq)))
}

pub(super) async fn upload_to_share(share_id: String, request: &mut Request) -> HandlerResult {
    let (caller, upload) = Upload::read(request).await?;
    let (is_init, [init, mime, data]) = upload.parameters();
    let write = Write::new(&statements::UPLOAD_SHARE_MEDIA, [text(&share_id), text(caller), init, mime, data])
        .then(&statements::NEWEST_SHARE_CHUNK_ID, [text(share_id)]);
    let seq = request.app.write(write).await?.one::<(Option<i64>,)>(&statements::NEWEST_SHARE_CHUNK_ID)?;
    Ok(stored(seq.and_then(|(seq,)| seq).filter(|_| !is_init).unwrap_or(INIT_SEQ)))
}

/// The media for a receiver, as JSON: the newest init segment and the chunks after the receiver's cursor, in base64
/// (RFC 4648, section 4). It is written straight from the rows, which copies each payload once.
struct MediaJson(Vec<u8>);

impl MediaJson {
    /// Reads the init segment, a row of MIME type and bytes, and the chunks, rows of number and bytes. The object is
    /// left open for more members; see [`MediaJson::end`].
    fn read<const N: usize, const M: usize>(
        snapshot: &Snapshot,
        (init, init_parameters): (&'static Statement, [&dyn ToSql; N]),
        (chunks, chunks_parameters): (&'static Statement, [&dyn ToSql; M]),
    ) -> Result<Self, Error> {
        let mut json = Self(Vec::with_capacity(RESPONSE_CAPACITY));
        let init_segment = snapshot.row(init, init_parameters, |row| {
            let mime_type = serde_json::Value::String(row.get(0)?);
            json.text("{\"mime_type\":")
                .text(&mime_type.to_string())
                .text(",\"init\":")
                .base64(row)?
                .text(",\"chunks\":[");
            Ok(())
        })?;
        if init_segment.is_none() {
            json.text("{\"mime_type\":null,\"init\":null,\"chunks\":[");
        }
        let mut separator = "";
        snapshot.rows(chunks, chunks_parameters, |row| {
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

    /// Appends the blob in the second column as a base64 string.
    fn base64(&mut self, row: &Row<'_>) -> rusqlite::Result<&mut Self> {
        self.0.push(b'"');
        STANDARD.encode_append(row.get_ref(1)?.as_blob()?, &mut self.0);
        self.0.push(b'"');
        Ok(self)
    }

    /// Closes the object.
    fn end(mut self) -> Response {
        self.text("}");
        json_text(self.0)
    }
}

pub(super) async fn read_in_call(call_id: String, request: &mut Request) -> HandlerResult<impl Reply> {
    let (sender, after) = (request.required_query("sender").map(str::to_owned), request.after(-1));
    let app = Arc::clone(&request.app);
    let read = request.read_on_pool(move |snapshot, Caller { name, .. }| {
        let sender = sender?;
        require(&app, snapshot, &statements::CALL_SIGNALS_ACCESS, [&call_id, name])?;
        let init = (&statements::CALL_INIT_SEGMENT, [&call_id as &dyn ToSql, &sender]);
        let chunks = (&statements::CALL_CHUNKS_AFTER, [&call_id as &dyn ToSql, &sender, &after]);
        Ok(MediaJson::read(snapshot, init, chunks)?.end())
    });
    read.await
}

pub(super) async fn read_in_share(share_id: String, request: &mut Request) -> HandlerResult<impl Reply> {
    let after = request.after(-1);
    let app = Arc::clone(&request.app);
    let read = request.read_on_pool(move |snapshot, Caller { name, .. }| {
        require(&app, snapshot, &statements::SHARE_ACCESS, [&share_id, name])?;
        let init = (&statements::SHARE_INIT_SEGMENT, [&share_id as &dyn ToSql]);
        let chunks = (&statements::SHARE_CHUNKS_AFTER, [&share_id as &dyn ToSql, &after]);
        let mut json = MediaJson::read(snapshot, init, chunks)?;
        let active: Option<bool> = snapshot.row(&statements::IS_SHARE_ACTIVE, [&share_id], |row| row.get(0))?;
        json.text(if active == Some(true) { ",\"active\":true" } else { ",\"active\":false" });
        Ok(json.end())
    });
    read.await
}
