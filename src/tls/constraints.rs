//! What our own CA may sign for (RFC 5280, section 4.2.1.10): this machine, and names and addresses of private networks.
//! Devices trust the CA, so with its key one could otherwise impersonate any site to them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// The domain of multicast DNS (RFC 6762).
const LOCAL_DOMAIN: &str = "local";

/// Loopback, private and link-local addresses (RFC 1122, RFC 1918, RFC 3927, RFC 4193, RFC 4291).
const PRIVATE_NETWORKS: [CidrSubnet; 8] = [
    CidrSubnet::V4([127, 0, 0, 0], [255, 0, 0, 0]),
    CidrSubnet::V4([10, 0, 0, 0], [255, 0, 0, 0]),
    CidrSubnet::V4([172, 16, 0, 0], [255, 240, 0, 0]),
    CidrSubnet::V4([192, 168, 0, 0], [255, 255, 0, 0]),
    CidrSubnet::V4([169, 254, 0, 0], [255, 255, 0, 0]),
    CidrSubnet::V6([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], [255; 16]),
    CidrSubnet::V6(
        [0xfc, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ),
    CidrSubnet::V6(
        [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0xff, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ),
];

/// Permits `.local`, the private networks, and these names and addresses of the machine.
pub(super) fn for_machine(names: &BTreeSet<String>) -> NameConstraints {
    let own = names.iter().map(|name| match name.parse::<IpAddr>() {
        Ok(address) => GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, 128)),
        Err(_) => GeneralSubtree::DnsName(name.clone()),
    });
    let private = PRIVATE_NETWORKS.into_iter().map(GeneralSubtree::IpAddress);
    let local = GeneralSubtree::DnsName(LOCAL_DOMAIN.to_owned());
    NameConstraints { permitted_subtrees: own.chain(private).chain([local]).collect(), excluded_subtrees: Vec::new() }
}

/// Whether a CA's certificate has constraints, and permits this name or address.
pub(super) fn permit(ca: &X509Certificate<'_>, name: &str) -> bool {
    let Ok(Some(constraints)) = ca.name_constraints() else {
        return false;
    };
    let subtrees = constraints.value.permitted_subtrees.iter().flatten();
    let address = name.parse::<IpAddr>().ok().map(|address| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    });
    subtrees.into_iter().any(|subtree| match (&subtree.base, &address) {
        (GeneralName::IPAddress(network), Some(address)) => contains(network, address),
        (GeneralName::DNSName(domain), None) => {
            name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        }
        _ => false,
    })
}

/// Whether a network, an address and a mask, contains an address of the same family.
fn contains(network: &[u8], address: &[u8]) -> bool {
    let (base, mask) = network.split_at(network.len() / 2);
    base.len() == address.len()
        && address.iter().zip(mask).zip(base).all(|((address, mask), base)| address & mask == base & mask)
}
