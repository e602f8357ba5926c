//! `serve`: the server.

use std::io::{self, IsTerminal, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{CommandError, print_line};
use crate::command_line::Serve;
use crate::database::{Database, Write};
use crate::http::{self, App};
use crate::push::Hub;
use crate::statements;
use crate::tls::Tls;

pub(super) fn run(path: &Path, options: &Serve) -> Result<(), CommandError> {
    serve(path, options, |address, tls| {
        let scheme = if tls.is_some() { "https" } else { "http" };
        if let Some(ca) = tls.and_then(Tls::ca) {
            let url = format!("{scheme}://{}", reachable(address));
            print_line(&format!("Open {url} on this network. Its authority can be trusted once: {url}/authority.crt"))?;
            print_line(&format!("SHA-256 fingerprint of the authority: {}", ca.fingerprint()))?;
        }
        print_line(&format!("minimost-calls serves {} on {scheme}://{address}", path.display()))
    })
}

/// Serves the database at `path`; `started` is called with the address when the first request can come.
pub(super) fn serve(
    path: &Path,
    options: &Serve,
    started: impl FnOnce(SocketAddr, Option<&Tls>) -> Result<(), CommandError>,
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
    let database = Database::open_for_server(path)?;
    // Only the one server of a file makes certificates beside it.
    let tls = tls(path, options)?.map(Arc::new);
    super::write(&database, "starting", Write::new(&statements::START_SERVER, []))?;
    let (watcher, hints) = database.watch()?;
    let hub = Hub::start(database.clone(), watcher, hints).map_err(|error| CommandError::new(error.to_string()))?;
    let app = App {
        hub: hub.clone(),
        database: database.clone(),
        behind_proxy: options.behind_proxy,
        tls: tls.is_some(),
        ca: tls.as_ref().and_then(|tls| tls.ca()).map(|ca| ca.pem().into()),
    };
    let routes = http::routes(&app);
    let push = hub.clone();
    let pushing = hub.clone();
    let stopping = database.clone();

    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = pushing.failed() => {}
        }
        tracing::info!("stopping");
        // Streams have no end of their own to wait for.
        hub.close();
        stopping.wait_no_longer();
    };

    if tls.is_none() && !options.behind_proxy && !address.ip().is_loopback() {
        warn_of_plain_http(address);
    }
    if let Some(tls) = &tls {
        runtime.spawn(Arc::clone(tls).reload_on_change());
    }
    started(address, tls.as_deref())?;
    runtime.block_on(http::serve(listener, tls.as_deref(), routes, stop));
    let pushed = push.stop();
    database.close();
    pushed.map_err(|error| CommandError::new(error.to_string()))
}

/// The certificate that the options ask for, if they ask for one.
fn tls(path: &Path, options: &Serve) -> Result<Option<Tls>, CommandError> {
    let tls = match (&options.tls_cert, &options.tls_key) {
        (Some(certificate), Some(key)) => Tls::with_files(certificate, key),
        _ if options.tls_self_signed => Tls::self_signed(path),
        _ => return Ok(None),
    };
    tls.map(Some).map_err(|error| CommandError::new(format!("no certificate to serve HTTPS with: {error}")))
}

/// Says what will not work. It is for whoever typed the command, whatever is logged.
fn warn_of_plain_http(address: SocketAddr) {
    // Nobody is left to warn when standard error is closed.
    let _ = writeln!(
        io::stderr(),
        "warning: {address} is plain HTTP: passwords and talks about calls can be read on the network, and browsers on other \
         machines give the page no microphone, camera or screen; use --tls-self-signed, --tls-cert and --tls-key, or a proxy \
         and --behind-proxy"
    );
}

/// An address for others to type: who listens on all of them is reached by the machine's first that is not its own.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let found = interfaces.iter().map(if_addrs::Interface::ip).find(|ip| ip.is_ipv4() && !ip.is_loopback());
    SocketAddr::new(found.unwrap_or(std::net::Ipv4Addr::LOCALHOST.into()), address.port())
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
