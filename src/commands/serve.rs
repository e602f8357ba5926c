//! `serve`: the server.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{CommandError, print_line};
use crate::command_line::Serve;
use crate::database::{Database, ServerLock, Write};
use crate::http::{self, App};
use crate::push::Hub;
use crate::statements;

pub(super) fn run(path: &Path, options: &Serve) -> Result<(), CommandError> {
    serve(path, options, |address| print_line(&format!("minimost-calls serves {} on http://{address}", path.display())))
}

/// Serves the database at `path`; `started` is called with the address when the first request can come.
pub(super) fn serve(
    path: &Path,
    options: &Serve,
    started: impl FnOnce(SocketAddr) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    start_logging();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _inside = runtime.enter();

    // The port comes first: when it is taken, the file must stay as it is. The signals come next, so that none is lost.
    let listener = http::bind(&options.listen)
        .map_err(|error| CommandError::new(format!("cannot listen on {}: {error}", options.listen)))?;
    let address = listener.local_addr()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let database = Database::open(path)?;
    let _lock = ServerLock::take(path)?;
    super::write(&database, "starting", Write::new(&statements::START_SERVER, []))?;
    let (watcher, hints) = database.watch()?;
    let hub = Hub::start(database.clone(), watcher, hints).map_err(|error| CommandError::new(error.to_string()))?;
    let app = App { hub: hub.clone(), database: database.clone(), behind_proxy: options.behind_proxy };
    let routes = http::routes(&app);
    let push = hub.clone();

    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        // Streams have no end of their own to wait for.
        hub.close();
    };

    started(address)?;
    runtime.block_on(http::serve(listener, routes, stop));
    push.stop();
    database.close();
    Ok(())
}

/// Logs go to standard error, at the level that `RUST_LOG` says. They hold no tokens, passwords or payloads.
fn start_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // A logger that is there already, such as a test's, will do.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init();
}
