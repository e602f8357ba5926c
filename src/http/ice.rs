//! `GET /calls/ice`: the STUN and TURN servers for browsers on different networks.

use warp::{Filter, Reply};

use super::{App, Error, HandlerResult, Request, Routes, any_of, json_text, route};
use crate::statements;

pub(super) fn routes(app: &App) -> Routes {
    any_of![route!(GET app, warp::path("calls").and(warp::path("ice")) => ice())]
}

/// The setting `ice_servers`. The database keeps it valid for an `RTCConfiguration` (WebRTC 1.0, section 4.2.1). It may
/// hold TURN passwords, so it needs a session.
fn ice(request: &mut Request) -> HandlerResult<impl Reply> {
    let servers: Option<String> =
        request.read(|snapshot, _| Ok(snapshot.row(&statements::ICE_SERVERS, [], |row| row.get(0))?))?;
    let servers = servers.ok_or_else(|| Error::internal("there is no setting ice_servers"))?;
    Ok(json_text(format!("{{\"ice_servers\":{servers}}}")))
}
