//! Relayed media of calls and shares, for clients without WebRTC: a MediaRecorder uploads it, a MediaSource plays it.

use std::sync::Arc;

use base64_simd::STANDARD;
use rusqlite::{Row, ToSql};
use serde_json::json;
use warp::Reply;
use warp::reply::Response;

use super::authentication::Caller;
use super::bounds::JsonList;
use super::idempotency::Answer;
use super::{Error, HandlerResult, Request, require};
use crate::database::{Snapshot, Value, text};
use crate::statements::{self, Statement};

/// For bytes from this size on, a response grows to the size that it needs and not to twice its size.
const EXACT_MIN_BYTES: usize = 256 * 1024;

/// Room for what stands around the bytes in a response.
const ROOM: usize = 256;

/// An uploaded chunk or init segment.
struct Upload {
    /// The MIME type of the recording. `None` for a chunk.
    init_mime: Option<String>,
    data: Vec<u8>,
}

impl Upload {
    /// Reads an upload to the call or share `id`, and returns its sender with it. `?init=1&mime=M`, or the headers
    /// `X-Init: 1` and `X-Mime: M`, mark an init segment.
    ///
    /// `access` refuses those whose upload the write would refuse, before their bytes take memory. The write decides. A
    /// retry of an upload that was stored is let through.
    ///
    /// # Errors
    /// 401 without a session, the refusal in `access`, 400 for a track other than the camera's, an init segment without a MIME
    /// type or an empty body, 413 if it is larger than the setting `media_chunk_max_bytes`, 408 if it is too slow.
    async fn read(request: &mut Request, id: &str, access: &'static Statement) -> Result<(Caller, Self), Error> {
        let (caller, limit) = request.read(|snapshot, caller| {
            if !request.has_used_key(snapshot, &caller.name)? {
                require(&request.app, snapshot, access, [&id, &caller.name])?;
            }
            let limit: Option<i64> = snapshot.row(&statements::MEDIA_CHUNK_MAX_BYTES, [], |row| row.get(0))?;
            Ok((caller.clone(), usize::try_from(limit.unwrap_or_default()).unwrap_or_default()))
        })?;
        // Old clients of the original send a second stream of their screen. Its init segment would replace the camera's.
        if request.headers.get_all("x-track").iter().any(|track| !track.is_empty()) {
            return Err(Error::bad_request(
                "track_unknown",
                "A sender has one stream in a call or share. Leave out the header X-Track.",
            ));
        }
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

/// The answer to an upload of an init segment, which is not one of the numbered chunks.
fn init_stored() -> Answer {
    Answer::known(json!({ "status": "ok", "seq": -1 }))
}

pub(super) async fn upload_to_call(call_id: String, request: &mut Request) -> HandlerResult<Response> {
    let (caller, upload) = Upload::read(request, &call_id, &statements::CALL_UPLOAD_ACCESS).await?;
    let (is_init, [init, mime, data]) = upload.parameters();
    let statement = &statements::UPLOAD_CALL_MEDIA;
    let action = request.action(&caller.name)?.then(statement, [text(&call_id), text(&caller.name), init, mime, data]);
    let answer =
        if is_init { init_stored() } else { Answer::row("call_media", call_id, caller.name).returned_by(statement) };
    action.answer(&request.app, answer).await
}

pub(super) async fn upload_to_share(share_id: String, request: &mut Request) -> HandlerResult<Response> {
    let (caller, upload) = Upload::read(request, &share_id, &statements::SHARE_UPLOAD_ACCESS).await?;
    let (is_init, [init, mime, data]) = upload.parameters();
    let action = request
        .action(&caller.name)?
        .then(&statements::UPLOAD_SHARE_MEDIA, [text(&share_id), text(&caller.name), init, mime, data])
        .then(&statements::NOTE_PRESENCE, caller.presence_on(&share_id));
    let answer = if is_init { init_stored() } else { Answer::row("share_media", share_id, caller.name) };
    action.answer(&request.app, answer).await
}

/// The media for a receiver, as an object that is left open for more members: the newest init segment, from a row of
/// MIME type and bytes, and the chunks after the receiver's cursor, from rows of number and bytes, as many as fit. Bytes
/// are in base64 (RFC 4648, section 4), which is written straight from the rows.
fn media_json<const N: usize, const M: usize>(
    snapshot: &Snapshot,
    (init, init_parameters): (&'static Statement, [&dyn ToSql; N]),
    (chunks, chunks_parameters): (&'static Statement, [&dyn ToSql; M]),
) -> Result<Vec<u8>, Error> {
    let init_segment = snapshot.row(init, init_parameters, |row| {
        let mime_type = serde_json::Value::String(row.get(0)?);
        let mut json = format!("{{\"mime_type\":{mime_type},\"init\":").into_bytes();
        append_base64(row, &mut json)?;
        Ok(json)
    })?;
    let mut json = init_segment.unwrap_or_else(|| b"{\"mime_type\":null,\"init\":null".to_vec());
    json.extend_from_slice(b",\"chunks\":");
    let mut list = JsonList::after(json);
    snapshot.rows_while(chunks, chunks_parameters, |row| {
        let seq: i64 = row.get(0)?;
        list.item(|json| {
            json.extend_from_slice(format!("{{\"seq\":{seq},\"data\":").as_bytes());
            append_base64(row, json)?;
            json.push(b'}');
            Ok(())
        })
    })?;
    Ok(list.end())
}

/// Appends the blob in the second column as a base64 string.
fn append_base64(row: &Row<'_>, json: &mut Vec<u8>) -> rusqlite::Result<()> {
    let data = row.get_ref(1)?.as_blob()?;
    if data.len() >= EXACT_MIN_BYTES {
        json.reserve_exact(STANDARD.encoded_length(data.len()) + ROOM);
    }
    json.push(b'"');
    STANDARD.encode_append(data, json);
    json.push(b'"');
    Ok(())
}

pub(super) async fn read_in_call(call_id: String, request: &mut Request) -> HandlerResult<impl Reply> {
    let (sender, after) = (request.required_query("sender").map(str::to_owned), request.after(-1));
    let app = Arc::clone(&request.app);
    let respond = move |snapshot: &Snapshot, Caller { name, .. }: &Caller| {
        let sender = sender?;
        require(&app, snapshot, &statements::CALL_MEDIA_ACCESS, [&call_id, name])?;
        let init = (&statements::CALL_INIT_SEGMENT, [&call_id as &dyn ToSql, &sender]);
        let chunks = (&statements::CALL_CHUNKS_AFTER, [&call_id as &dyn ToSql, &sender, &after]);
        let mut json = media_json(snapshot, init, chunks)?;
        json.push(b'}');
        Ok(json)
    };
    request.large_response(respond).await
}

pub(super) async fn read_in_share(share_id: String, request: &mut Request) -> HandlerResult<impl Reply> {
    let after = request.after(-1);
    let app = Arc::clone(&request.app);
    let respond = move |snapshot: &Snapshot, Caller { name, .. }: &Caller| {
        require(&app, snapshot, &statements::SHARE_ACCESS, [&share_id, name])?;
        let init = (&statements::SHARE_INIT_SEGMENT, [&share_id as &dyn ToSql]);
        let chunks = (&statements::SHARE_CHUNKS_AFTER, [&share_id as &dyn ToSql, &after]);
        let mut json = media_json(snapshot, init, chunks)?;
        let active: Option<bool> = snapshot.row(&statements::IS_SHARE_ACTIVE, [&share_id], |row| row.get(0))?;
        json.extend_from_slice(if active == Some(true) { b",\"active\":true}" } else { b",\"active\":false}" });
        Ok(json)
    };
    request.large_response(respond).await
}
