//! Hosts and origins (RFC 6454), compared by meaning: letter case, a trailing dot, default ports and the spelling of an
//! address make no difference.

use url::{Host, Url};
use warp::http::header::{HOST, ORIGIN};
use warp::http::uri::Authority;
use warp::http::{HeaderMap, HeaderValue, Request, Version};

use super::Error;

/// The host and the port that a request names.
pub(super) struct NamedHost {
    pub(super) host: Host,
    /// `None` is the default port of the scheme.
    pub(super) port: Option<u16>,
}

impl NamedHost {
    /// Parses `host` or `host:port`. `None` if it is anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let authority: Authority = text.parse().ok()?;
        // It also rejects user information, which RFC 9110 forbids here (section 4.2.4).
        let port = match text.strip_prefix(authority.host())? {
            "" | ":" => None,
            port => Some(port.strip_prefix(':').filter(|port| !port.starts_with('+'))?.parse().ok()?),
        };
        let host = Host::parse(authority.host()).ok()?;
        Some(Self { host: without_trailing_dot(host), port })
    }
}

fn without_trailing_dot<S: AsRef<str>>(host: Host<S>) -> Host {
    match host {
        Host::Domain(name) => Host::Domain(name.as_ref().trim_end_matches('.').to_owned()),
        Host::Ipv4(address) => Host::Ipv4(address),
        Host::Ipv6(address) => Host::Ipv6(address),
    }
}

/// Leaves a request with a path and one valid `Host`, that of its target if the target has one (RFC 9112, section 3.2).
/// HTTP/1.0 may do without `Host`.
///
/// # Errors
/// 400 if the target is no path, or if `Host` is missing, is there twice, or is no host.
pub(super) fn check_target<B>(request: &mut Request<B>) -> Result<(), Error> {
    if request.uri().path_and_query().is_none() {
        return Err(Error::bad_request("bad_target", "The target of a request is a path. This server is no proxy."));
    }
    let (version, target) = (request.version(), request.uri().authority());
    let bad_host = || Error::bad_request("bad_host", "A request needs one Host header with a host and perhaps a port.");
    let is_valid = |value: &HeaderValue| value.to_str().is_ok_and(|host| NamedHost::parse(host).is_some());
    let mut hosts = request.headers().get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let may_be_missing = version <= Version::HTTP_10 || (version >= Version::HTTP_2 && target.is_some());
    if second.is_some() || first.map_or(!may_be_missing, |host| !is_valid(host)) {
        return Err(bad_host());
    }
    if let Some(authority) = target {
        let host = HeaderValue::from_str(authority.as_str()).ok().filter(is_valid).ok_or_else(bad_host)?;
        request.headers_mut().insert(HOST, host);
    }
    Ok(())
}

/// Whether the page that sends a request has the scheme, the host and the port `scheme` and `Host` of this server.
pub(super) fn is_same_origin(scheme: &str, headers: &HeaderMap) -> bool {
    let origin = || {
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = Url::parse(origins.next()?.to_str().ok()?).ok()?;
        let host = without_trailing_dot(origin.host()?);
        let is_only = origins.next().is_none();
        (is_only && origin.scheme() == scheme).then_some((host, origin.port_or_known_default()?))
    };
    let here = || {
        let named = NamedHost::parse(headers.get(HOST)?.to_str().ok()?)?;
        Some((named.host, named.port.unwrap_or(if scheme == "https" { 443 } else { 80 })))
    };
    origin().is_some_and(|origin| here() == Some(origin))
}
