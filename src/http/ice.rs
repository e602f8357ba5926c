//! `GET /calls/ice`: the servers that browsers find each other with when they are not on one network.

use warp::{Filter, Reply};

use super::{Answer, App, Error, Request, Routes, json_text, one_of, route};
use crate::statements;

pub(super) fn routes(app: &App) -> Routes {
    one_of![route!(GET app, warp::path("calls").and(warp::path("ice")) => ice())]
}

/// The setting `ice_servers` as it stands: rules keep it what an `RTCConfiguration` takes (WebRTC 1.0, section 4.2.1). It
/// holds passwords of TURN servers, so it is for people who are logged in.
async fn ice(request: &mut Request) -> Answer<impl Reply> {
    let servers: Option<String> =
        request.read(|snapshot, _| Ok(snapshot.row(&statements::ICE_SERVERS, [], |row| row.get(0))?))?;
    let servers = servers.ok_or_else(|| Error::internal("there is no setting ice_servers"))?;
    Ok(json_text(format!("{{\"ice_servers\":{servers}}}")))
}
