//! Offers, answers and ICE candidates, in calls and in shares.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::body::SIGNAL_BODY_MAX_BYTES;
use super::request::text;
use super::{Answer, Request, refused, status};
use crate::database::Write;
use crate::statements::{self, Statement};

#[derive(Deserialize)]
struct Signal {
    to: String,
    #[serde(rename = "type")]
    signal_type: String,
    /// Stored and handed on as it was written: the server has no business in it.
    payload: Box<RawValue>,
}

async fn send(mut request: Request, id: String, statement: &'static Statement) -> Answer {
    let caller = request.caller()?;
    let Signal {
        to,
        signal_type,
        payload,
    } = request.json(SIGNAL_BODY_MAX_BYTES).await?;
    let parameters = [text(id), text(caller), text(to), text(signal_type), text(payload.get())];
    request.app.write(Write::new(statement, parameters)).await?;
    Ok(status("sent"))
}

pub(super) async fn send_in_call(call_id: String, request: Request) -> Answer {
    send(request, call_id, &statements::SEND_CALL_SIGNAL).await
}

pub(super) async fn send_in_share(share_id: String, request: Request) -> Answer {
    send(request, share_id, &statements::SEND_SHARE_SIGNAL).await
}

async fn read(request: Request, id: String, why_not: &'static Statement) -> Answer {
    let caller = request.caller()?;
    let after = request.after(0)?;
    let (refusal, signals) = request.app.database.read(|snapshot| {
        let refusal = snapshot.row(why_not, [&id, &caller], |row| row.get(0))?;
        let signals = snapshot.rows(&statements::SIGNALS_AFTER, [&id, &caller, &after], |row| {
            let payload: String = row.get(3)?;
            Ok(json!({
                "id": row.get::<_, i64>(0)?,
                "from": row.get::<_, String>(1)?,
                "type": row.get::<_, String>(2)?,
                "payload": serde_json::from_str::<serde_json::Value>(&payload).unwrap_or_default(),
                "ts": row.get::<_, f64>(4)?,
            }))
        })?;
        Ok((refusal, signals))
    })?;
    refused(&request.app, refusal)?;
    Ok(warp::reply::json(&signals))
}

pub(super) async fn of_call(call_id: String, request: Request) -> Answer {
    read(request, call_id, &statements::WHY_NOT_TAKE_PART).await
}

pub(super) async fn of_share(share_id: String, request: Request) -> Answer {
    read(request, share_id, &statements::WHY_NOT_WATCH_SHARE).await
}
