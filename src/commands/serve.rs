//! `serve`: runs the server.

use std::io::{self, IsTerminal, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{CommandError, print_line};
use crate::command_line::{LogFormat, Serve};
use crate::database::{Database, Write};
use crate::deliveries::{Deliveries, HttpClients};
use crate::http::{self, App, HeldBytes, RequestTimes};
use crate::passwords::Hashers;
use crate::pruning::prune_history;
use crate::push::Hub;
use crate::statements;
use crate::tls::Tls;
use crate::web_push::PushDelivery;
use crate::webhooks::WebhookDelivery;

pub(super) fn run(path: &Path, options: &Serve) -> Result<(), CommandError> {
    serve(path, options, Hangup::Ignored, |address, tls| {
        let scheme = if tls.is_some() { "https" } else { "http" };
        if let Some(ca) = tls.and_then(Tls::ca) {
            let url = format!("{scheme}://{}", reachable(address));
            print_line(&format!("Open {url} on this network."))?;
            print_line(&format!("To trust its certificate, install the certificate authority (CA): {url}/ca.crt"))?;
            print_line(&format!("SHA-256 fingerprint of the CA: {}", ca.fingerprint()))?;
        }
        print_line(&format!("minimost-calls serves {} on {scheme}://{address}", path.display()))
    })
}

/// What a server does at SIGHUP, which the end of a terminal sends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hangup {
    /// It continues, and logs a line.
    Ignored,
    /// It stops.
    Stops,
}

/// Serves the database at `path` until SIGTERM, SIGINT or a fatal failure. Calls `started` with the address before the
/// first request.
pub(super) fn serve(
    path: &Path,
    options: &Serve,
    at_hangup: Hangup,
    started: impl FnOnce(SocketAddr, Option<&Tls>) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    start_logging(options.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _inside = runtime.enter();

    // The port comes first: if it is in use, the file must not change. The signal handlers come before the file, so
    // that no signal is lost.
    let listener = http::bind(&options.listen)
        .map_err(|source| CommandError::Listen { address: options.listen.clone(), source })?;
    let address = listener.local_addr()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let opened = runtime.block_on(async {
        tokio::select! {
            database = open(path, options) => database.map(Some),
            // A member may wait for others.
            _ = terminate.recv() => Ok(None),
            _ = interrupt.recv() => Ok(None),
        }
    })?;
    let Some(database) = opened else { return Ok(()) };
    if let Some((file, mode)) = database.open_to_others().first() {
        let (file, others) = (file.display(), "is open to other users of this machine");
        let advice = format!("and holds password hashes: chmod 600 {}*", path.display());
        warn(options.log_format, &format!("{file} {others} (mode {mode:o}), {advice}"));
    }
    database.empty_log().map_err(|source| CommandError::Write { subject: path.display().to_string(), source })?;
    // Under the server's lock: two servers must not create certificates beside one file.
    let tls = tls(path, options)?.map(Arc::new);
    // The start of a member ends nothing: calls outlive it.
    if !database.is_member() {
        super::write(&database, "starting", Write::new(&statements::START_SERVER, []))?;
    }
    let (watcher, hints) = database.watch()?;
    let hub = Hub::start(database.clone(), watcher, hints)?;
    let clients = Arc::new(HttpClients::new()?);
    let webhooks = Deliveries::start::<WebhookDelivery>(runtime.handle(), &database, &clients, hub.commits());
    let web_push = Deliveries::start::<PushDelivery>(runtime.handle(), &database, &clients, hub.commits());
    let app = App {
        hub: hub.clone(),
        webhook_attempts: Arc::clone(webhooks.attempts()),
        push_attempts: Arc::clone(web_push.attempts()),
        hashers: Hashers::start(database.failures())?,
        database: database.clone(),
        requests: RequestTimes::new().map_err(io::Error::other)?,
        unread: HeldBytes::default(),
        uploads: HeldBytes::default(),
        behind_proxy: options.behind_proxy,
        tls: tls.is_some(),
        ca: tls.as_ref().and_then(|tls| tls.ca()).map(|ca| ca.pem().into()),
    };
    let routes = http::routes(&app);
    let stop = {
        let (hub, database) = (hub.clone(), database.clone());
        async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                    _ = hangup.recv() => match at_hangup {
                        Hangup::Stops => break,
                        Hangup::Ignored => tracing::info!("SIGHUP is ignored; a changed certificate is reloaded without it"),
                    },
                }
            }
            tracing::info!("stopping");
            // A graceful stop waits for all responses; streams would never end.
            hub.close();
            database.stop_waiting_for_locks();
        }
    };

    if tls.is_none() && !options.behind_proxy && !address.ip().is_loopback() {
        warn_of_plain_http(options.log_format, address);
    }
    if !options.behind_proxy && has_trusted_header(&database)? {
        let warning = "the setting trusted_header has no effect without --behind-proxy: anybody could send the header";
        warn(options.log_format, warning);
    }
    if let Some(tls) = &tls {
        runtime.spawn(Arc::clone(tls).reload_on_change());
    }
    runtime.spawn(prune_history(database.clone()));
    database.finish_reading();
    started(address, tls.as_deref())?;
    let failures = database.failures().clone();
    let served = runtime.block_on(async {
        tokio::select! {
            fatal = failures.first() => Err(fatal),
            () = http::serve(listener, &app, tls.clone(), routes, stop) => Ok(()),
        }
    });
    if let Err(fatal) = served {
        // No response may be sent any more, and no thread is worth waiting for.
        runtime.shutdown_background();
        return Err(fatal.into());
    }
    runtime.block_on(async { tokio::join!(webhooks.stop(), web_push.stop()) });
    hub.stop();
    if !database.is_member()
        && let Err(error) = database.write_blocking(Write::new(&statements::END_RUN, []))
    {
        tracing::warn!(%error, "the stop could not be stored; clients will get a new snapshot after the next start");
    }
    database.close();
    failures.get().map_or(Ok(()), |fatal| Err(fatal.into()))
}

/// Opens the database as a single server, or as the member that the options name.
#[cfg_attr(not(feature = "cluster"), expect(clippy::unused_async, reason = "a member waits for others"))]
async fn open(path: &Path, options: &Serve) -> Result<Database, CommandError> {
    #[cfg(feature = "cluster")]
    if let (Some(file), Some(node)) = (&options.cluster, options.node) {
        let file = crate::cluster::ClusterFile::read(file)?;
        return Ok(Database::open_member(path, file, node).await?);
    }
    #[cfg(not(feature = "cluster"))]
    let _ = options;
    Ok(Database::open_for_server(path)?)
}

/// The certificate that the options ask for, if any.
fn tls(path: &Path, options: &Serve) -> Result<Option<Tls>, CommandError> {
    let tls = match (&options.tls_cert, &options.tls_key) {
        (Some(certificate), Some(key)) => Tls::with_files(certificate, key),
        _ if options.tls_self_signed => Tls::self_signed(path),
        _ => return Ok(None),
    };
    Ok(Some(tls?))
}

/// Whether a header is to name the person.
fn has_trusted_header(database: &Database) -> Result<bool, CommandError> {
    let header: Option<String> =
        database.read(|snapshot| snapshot.row(&statements::TRUSTED_HEADER, [], |row| row.get(0)))?;
    Ok(header.is_some_and(|header| !header.is_empty()))
}

/// Warns of a server that other machines reach without HTTPS.
fn warn_of_plain_http(log_format: LogFormat, address: SocketAddr) {
    let warning = format!(
        "{address} is plain HTTP: others on the network can read passwords, and browsers on other machines give the \
         page no microphone, camera or screen; use --tls-self-signed, --tls-cert and --tls-key, or a proxy and \
         --behind-proxy"
    );
    warn(log_format, &warning);
}

/// Warns on standard error: people at every log level, programs in the format of the log.
fn warn(log_format: LogFormat, message: &str) {
    match log_format {
        // `eprintln!` would panic if standard error is closed.
        LogFormat::Text => drop(writeln!(io::stderr(), "warning: {message}")),
        LogFormat::Json => tracing::warn!("{message}"),
    }
}

/// The address to show to people: for 0.0.0.0, the first IPv4 address that is not loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let found = interfaces.iter().map(if_addrs::Interface::ip).find(|ip| ip.is_ipv4() && !ip.is_loopback());
    SocketAddr::new(found.unwrap_or(std::net::Ipv4Addr::LOCALHOST.into()), address.port())
}

/// Elections and lost connections are errors to openraft, and everyday to a cluster, which logs who leads, and why it stops.
const DEFAULT_LOG: &str = "info,openraft=off";

/// Logs to standard error at the level of `RUST_LOG`. Logs hold no tokens, passwords or payloads.
fn start_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // It fails only if there is a logger already.
    let _ = match format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}
