//! Media that a MediaRecorder uploads and a MediaSource plays, for clients without WebRTC, in calls and in shares.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Row;
use serde::Serialize;
use serde_json::json;

use super::request::{integer, text};
use super::{Answer, Error, Request, refused};
use crate::database::{ReadError, Snapshot, Value, Write};
use crate::statements;

/// What an init segment's `seq` is: it has no place among the chunks.
const INIT_SEQ: i64 = -1;

/// A chunk on its way in.
struct Upload {
    /// The MIME type of the recording, with an init segment alone.
    init_mime: Option<String>,
    data: Vec<u8>,
}

impl Upload {
    /// Takes an upload out of a request: `?init=1&mime=M` or the headers `X-Init: 1` and `X-Mime: M` mark an init segment.
    async fn of(request: &mut Request) -> Result<Self, Error> {
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
        let limit: i64 = request
            .app
            .database
            .read(|snapshot| snapshot.row(&statements::MEDIA_CHUNK_MAX_BYTES, [], |row| row.get(0)))?
            .unwrap_or_default();
        let limit = usize::try_from(limit).unwrap_or_default();
        let data = request.bytes(limit, "media_chunk_too_large").await?;
        if data.is_empty() {
            return Err(Error::bad_request("chunk_empty", "The body has no bytes; a chunk is the raw body."));
        }
        Ok(Self { init_mime, data })
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
    let caller = request.caller()?;
    let (is_init, [init, mime, data]) = Upload::of(&mut request).await?.parameters();
    let write = Write::new(&statements::UPLOAD_CALL_MEDIA, [text(call_id), text(caller), init, mime, data]);
    let answers = request.app.write(write).await?;
    Ok(stored(if is_init { INIT_SEQ } else { integer(&answers[0]).unwrap_or(INIT_SEQ) }))
}

pub(super) async fn upload_to_share(share_id: String, mut request: Request) -> Answer {
    let caller = request.caller()?;
    let (is_init, [init, mime, data]) = Upload::of(&mut request).await?.parameters();
    let write = Write::new(&statements::UPLOAD_SHARE_MEDIA, [text(&share_id), text(caller), init, mime, data])
        .then(&statements::NEWEST_SHARE_CHUNK, [text(share_id)]);
    let answers = request.app.write(write).await?;
    Ok(stored(if is_init { INIT_SEQ } else { integer(&answers[1]).unwrap_or(INIT_SEQ) }))
}

#[derive(Serialize)]
struct Chunk {
    seq: i64,
    data: String,
}

/// What a receiver gets: always the newest init segment, then the chunks after its cursor.
#[derive(Serialize)]
struct Buffered {
    mime_type: Option<String>,
    init: Option<String>,
    chunks: Vec<Chunk>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<bool>,
}

/// The blob in `column`, in base64 (RFC 4648, section 4), without a copy of the blob in between.
fn base64(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(STANDARD.encode(row.get_ref(column)?.as_blob()?))
}

fn chunk(row: &Row<'_>) -> rusqlite::Result<Chunk> {
    Ok(Chunk { seq: row.get(0)?, data: base64(row, 1)? })
}

fn init(row: &Row<'_>) -> rusqlite::Result<(Option<String>, Option<String>)> {
    Ok((row.get(0)?, Some(base64(row, 1)?)))
}

type Refusal = Option<Option<String>>;

pub(super) async fn of_call(call_id: String, request: Request) -> Answer {
    let caller = request.caller()?;
    let sender = request.required_query("sender")?;
    let after = request.after(-1)?;
    let read = |snapshot: &Snapshot| -> Result<(Refusal, Buffered), ReadError> {
        let refusal = snapshot.row(&statements::WHY_NOT_TAKE_PART, [&call_id, &caller], |row| row.get(0))?;
        let (mime_type, init) =
            snapshot.row(&statements::CALL_INIT_SEGMENT, [&call_id, &sender], init)?.unwrap_or_default();
        let chunks = snapshot.rows(&statements::CALL_CHUNKS_AFTER, [&call_id, &sender, &after], chunk)?;
        Ok((refusal, Buffered { mime_type, init, chunks, active: None }))
    };
    let (refusal, buffered) = request.app.database.read(read)?;
    refused(&request.app, refusal)?;
    Ok(warp::reply::json(&buffered))
}

pub(super) async fn of_share(share_id: String, request: Request) -> Answer {
    let caller = request.caller()?;
    let after = request.after(-1)?;
    let read = |snapshot: &Snapshot| -> Result<(Refusal, Buffered), ReadError> {
        let refusal = snapshot.row(&statements::WHY_NOT_WATCH_SHARE, [&share_id, &caller], |row| row.get(0))?;
        let (mime_type, init) = snapshot.row(&statements::SHARE_INIT_SEGMENT, [&share_id], init)?.unwrap_or_default();
        let chunks = snapshot.rows(&statements::SHARE_CHUNKS_AFTER, [&share_id, &after], chunk)?;
        let active = snapshot.row(&statements::SHARE_IS_ACTIVE, [&share_id], |row| row.get(0))?;
        Ok((refusal, Buffered { mime_type, init, chunks, active }))
    };
    let (refusal, buffered) = request.app.database.read(read)?;
    refused(&request.app, refusal)?;
    Ok(warp::reply::json(&buffered))
}
