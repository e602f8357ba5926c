//! For monitors: `GET /healthz` and `GET /version`.

use serde_json::json;
use warp::Filter;

use super::{App, Error, HandlerResult, Request, Routes, UNAVAILABLE, any_of, done, route};
use crate::statements;

/// The version of the API, which a breaking change increases.
const API_VERSION: u32 = 1;

pub(super) fn routes(app: &App) -> Routes {
    any_of![
        route!(GET app, warp::path("healthz") => health()),
        route!(GET app, warp::path("version") => version()),
    ]
}

/// Healthy is a server that reads its file, and whose writer does not hang. A writer that waits for the lock of another
/// program is well: a restart of the server would not help.
fn health(request: &mut Request) -> HandlerResult {
    request.app.database.read(|snapshot| snapshot.row(&statements::HEALTH, [], |_| Ok(())))?;
    if request.app.database.writer_activity().hangs() {
        return Err(Error::new(UNAVAILABLE, "writer_hangs", "The server's disk does not respond."));
    }
    Ok(done())
}

fn version(_: &mut Request) -> HandlerResult {
    Ok(warp::reply::json(&json!({ "version": env!("CARGO_PKG_VERSION"), "api": API_VERSION })))
}
