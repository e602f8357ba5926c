//! `/screenshare`: screens shared in a channel outside a call.

use serde_json::json;
use uuid::Uuid;
use warp::Filter;

use super::calls::InChannel;
use super::request::{Caller, text};
use super::{Answer, App, Request, Routes, media, one_of, refuse, route, signals, status};
use crate::database::Write;
use crate::statements;

pub(super) fn routes(app: &App) -> Routes {
    let shares = || warp::path("screenshare");
    let of_share = |what| shares().and(warp::path::param::<String>()).and(warp::path(what));
    one_of![
        route!(GET app, shares().and(warp::path("active")) => active()),
        route!(GET app, of_share("signals") => signals::of_share(id)),
        route!(POST app, of_share("signal") => signals::send_in_share(id)),
        route!(GET app, of_share("media") => media::of_share(id)),
        route!(POST app, of_share("media") => media::upload_to_share(id)),
        route!(POST app, shares().and(warp::path("start")) => start()),
        route!(POST app, of_share("stop") => stop(id)),
    ]
}

async fn start(request: &mut Request) -> Answer {
    let caller = request.caller()?;
    let channel = InChannel::of(request).await?;
    let share_id = Uuid::new_v4().to_string();
    request
        .app
        .write(Write::new(&statements::START_SCREENSHARE, [text(&share_id), text(channel), text(caller)]))
        .await?;
    Ok(warp::reply::json(&json!({ "share_id": share_id })))
}

async fn stop(share_id: String, request: &mut Request) -> Answer {
    let caller = request.caller()?;
    request.app.write(Write::new(&statements::STOP_SCREENSHARE, [text(share_id), text(caller)])).await?;
    Ok(status("stopped"))
}

async fn active(request: &mut Request) -> Answer {
    let shares = request.read(|snapshot, Caller { name, .. }| {
        let channel = request.required_query("channel")?;
        refuse(&request.app, snapshot, &statements::WHY_NOT_READ_CHANNEL, [&channel, name])?;
        let shares = snapshot.rows(&statements::ACTIVE_SCREENSHARES, [&channel], |row| {
            Ok(json!({
                "share_id": row.get::<_, String>(0)?,
                "channel": row.get::<_, String>(1)?,
                "sharer": row.get::<_, String>(2)?,
                "started_ts": row.get::<_, f64>(3)?,
            }))
        })?;
        Ok(shares)
    })?;
    Ok(warp::reply::json(&shares))
}
