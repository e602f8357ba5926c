//! The open connections of each address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections of each address. Clones count together.
#[derive(Clone, Default)]
pub(super) struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Addresses {
    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection until the place is dropped. `None` if the address has `limit` of them.
    pub(super) fn enter(&self, address: IpAddr, limit: usize) -> Option<Place> {
        let network = network(address);
        let mut open = self.open();
        let count = open.entry(network).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Place { addresses: self.clone(), network })
    }
}

/// An open connection of an address.
pub(super) struct Place {
    addresses: Addresses,
    network: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.addresses.open();
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

/// The address, or of an IPv6 address the network of 64 bits: a subscriber has at least such a network (RFC 6177), and
/// could use another address for each connection.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        IpAddr::V4(address) => IpAddr::V4(address),
    }
}

/// The [`network`] of an address that is given as text, or else the text.
pub(super) fn network_of(address: &str) -> String {
    address.parse().map_or_else(|_| address.to_owned(), |address| network(address).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let addresses = Addresses::default();
        let enter = |address: &str, limit| addresses.enter(address.parse().unwrap(), limit);
        let first = enter("2001:db8:1:2::1", 2).unwrap();
        let _second = enter("2001:db8:1:2:ffff:ffff:ffff:ffff", 2).unwrap();
        assert!(enter("2001:db8:1:2:3::", 2).is_none());
        assert!(enter("2001:db8:1:3::1", 2).is_some());
        let _ipv4 = enter("192.0.2.1", 1).unwrap();
        assert!(enter("::ffff:192.0.2.1", 1).is_none(), "an IPv4 address in IPv6 form");
        drop(first);
        assert!(enter("2001:db8:1:2:3::", 2).is_some());
        assert_eq!(addresses.open().len(), 2);
    }
}
