//! Which addresses a receiver may have: by default those that anybody on the internet can reach. Otherwise a person over
//! HTTP could let the server send requests to what listens on its machine and network alone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Resolves a name to its public addresses. The connection is made to what it returns, so that a name whose address
/// changes after a check gains nothing.
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(io::Error::other("the address is of this machine or of a private network").into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether a URL names a host that may be public: a name, which [`PublicOnly`] decides, or a public address.
pub(super) fn is_public_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_public_v4(address),
        Some(Host::Ipv6(address)) => is_public_v6(address),
        Some(Host::Domain(_)) => true,
        None => false,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// By the IANA registry of special-purpose addresses (RFC 6890).
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    !(first == 0
        || first >= 224 // multicast, reserved and broadcast
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || (first == 100 && second & 0xc0 == 64) // shared by the customers of a provider (RFC 6598)
        || (first == 192 && second == 0 && third == 0) // IETF protocols
        || (first == 192 && second == 88 && third == 99) // 6to4 relays
        || (first == 198 && second & 0xfe == 18)) // benchmarks
}

/// Global unicast is `2000::/3`. Addresses that contain one of IPv4 are as public as that.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, ..] = address.segments();
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    let [.., a, b, c, d] = address.octets();
    if (first, second) == (0x0064, 0xff9b) {
        return third == 0 && is_public_v4(Ipv4Addr::new(a, b, c, d)); // NAT64 (RFC 6052)
    }
    if first == 0x2002 {
        let [high, low] = [second.to_be_bytes(), third.to_be_bytes()];
        return is_public_v4(Ipv4Addr::new(high[0], high[1], low[0], low[1])); // 6to4 (RFC 3056)
    }
    first & 0xe000 == 0x2000
        && !(first == 0x2001 && second < 0x0200) // Teredo, benchmarks and other protocols (RFC 2928)
        && !(first == 0x2001 && second == 0x0db8) // documentation
        && !(first == 0x3fff && second < 0x1000) // documentation (RFC 9637)
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::is_public_host;

    const PUBLIC: &str = "8.8.8.8 100.63.0.1 172.32.0.1 [2606:4700::1] [::ffff:8.8.8.8] [64:ff9b::808:808] example.org";

    /// Also in other spellings (WHATWG URL, section 3.5).
    const PRIVATE: &str = "127.0.0.1 127.255.0.1 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 0.0.0.0 100.64.0.1 \
        192.0.0.1 198.18.0.1 224.0.0.1 255.255.255.255 192.0.2.1 2130706433 0x7f.1 0177.0.0.1 127.1 [::] [::1] \
        [fe80::1] [fd00::1] [ff02::1] [::ffff:127.0.0.1] [::ffff:10.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::1] \
        [2002:7f00:1::] [2001::1] [2001:db8::1]";

    #[test]
    fn only_public_addresses_are_public() {
        for (hosts, is_public) in [(PUBLIC, true), (PRIVATE, false)] {
            for host in hosts.split_whitespace() {
                let url = Url::parse(&format!("http://{host}/")).unwrap();
                assert_eq!(is_public_host(&url), is_public, "{host} is {:?}", url.host());
            }
        }
    }
}
