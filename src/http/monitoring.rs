//! For monitors: `GET /healthz`, `GET /version` and `GET /metrics`.

use serde_json::json;
use warp::http::StatusCode;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::metrics::{Row, encode};
use super::{App, Error, HandlerResult, Request, Routes, UNAVAILABLE, any_of, done, json_text, route};
use crate::database::{Snapshot, Unhealthy};
use crate::openapi::API_VERSION;
use crate::statements;

pub(super) fn routes(app: &App) -> Routes {
    any_of![
        route!(GET app, warp::path("healthz") => health()),
        route!(GET app, warp::path("version") => version()),
        route!(GET app, warp::path("metrics") => metrics().await),
    ]
}

/// Healthy is a server that reads its file, and whose writer does not hang. A writer that waits for the lock of another
/// program is well: a restart of the server would not help.
fn health(request: &mut Request) -> HandlerResult {
    request.app.database.read(|snapshot| snapshot.row(&statements::HEALTH, [], |_| Ok(())))?;
    request.app.database.health()?;
    Ok(done())
}

impl From<Unhealthy> for Error {
    fn from(unhealthy: Unhealthy) -> Self {
        match unhealthy {
            Unhealthy::Hangs => Self::new(UNAVAILABLE, "writer_hangs", "The server's disk does not respond."),
            Unhealthy::NoLeader => Self::new(UNAVAILABLE, "no_leader", "No majority of the cluster follows a leader."),
            Unhealthy::Behind => {
                Self::new(UNAVAILABLE, "member_behind", "This member of the cluster has not caught up yet.")
            }
        }
    }
}

fn version(_: &mut Request) -> Response {
    json_text(format!("{{\"version\":{},\"api\":{API_VERSION}}}", json!(env!("CARGO_PKG_VERSION"))))
}

async fn metrics(request: &mut Request) -> HandlerResult<impl Reply> {
    request.require_monitor()?;
    // It counts whole tables.
    let rows = request.app.database.read_on_pool("", |snapshot| Ok::<_, Error>(metrics_now(snapshot)?)).await?;
    let text = encode(&request.app, rows).map_err(|error| Error::internal(&format!("metrics: {error}")))?;
    Ok(warp::reply::with_header(text, "content-type", prometheus::TEXT_FORMAT))
}

fn metrics_now(snapshot: &Snapshot) -> Result<Vec<Row>, crate::database::ReadError> {
    snapshot.rows(&statements::METRICS, [], |row| {
        let label: Option<String> = row.get(1)?;
        let label = label.map(|label| Ok::<_, rusqlite::Error>((label, row.get(2)?))).transpose()?;
        Ok(Row { name: row.get(0)?, label, value: row.get(3)?, meaning: row.get(4)? })
    })
}

impl Request {
    /// Refuses everybody but programs on this machine, and services with the scope metrics.
    ///
    /// # Errors
    /// 403.
    fn require_monitor(&self) -> Result<(), Error> {
        if self.is_from_this_machine() {
            return Ok(());
        }
        let is_monitor = |snapshot: &Snapshot| {
            for token_hash in self.token_hashes(snapshot)? {
                if snapshot.row(&statements::IS_MONITOR, [&token_hash], |row| row.get(0))? == Some(true) {
                    return Ok::<_, Error>(true);
                }
            }
            Ok(false)
        };
        if self.app.database.read(is_monitor)? {
            return Ok(());
        }
        Err(Error::new(
            StatusCode::FORBIDDEN,
            "metrics_only",
            "Metrics are for programs on the server's machine, and for services with the scope metrics.",
        ))
    }
}
