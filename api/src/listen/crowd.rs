//! How many connections there are, in all and of one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ConnectionStats;

/// Counts connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    all: Arc<Semaphore>,
    of_one: usize,
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
    stats: Arc<ConnectionStats>,
}

/// A connection's place; given up when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    _one_of_all: OwnedSemaphorePermit,
    address: Option<IpAddr>,
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
    stats: Arc<ConnectionStats>,
}

impl Crowd {
    pub(crate) fn new(all: usize, of_one: usize, stats: Arc<ConnectionStats>) -> Self {
        let all = Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS)));
        Self { all, of_one, addresses: Arc::default(), stats }
    }

    /// Waits until there is room for one more.
    pub(crate) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        self.all.clone().acquire_owned().await.ok()
    }

    /// A place for somebody from this address; `None` where it has as many as one may have. Processes of this machine that come
    /// through the Unix socket have no address and are not counted apart.
    pub(crate) fn seat(&self, room: OwnedSemaphorePermit, address: Option<IpAddr>) -> Option<Seat> {
        let address = address.map(household);
        if let Some(address) = address {
            let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
            let count = addresses.entry(address).or_default();
            if *count >= self.of_one {
                if *count == 0 {
                    addresses.remove(&address);
                }
                self.stats.refused.add(1);
                return None;
            }
            *count += 1;
        }
        self.stats.accepted.add(1);
        Some(Seat {
            _one_of_all: room,
            address,
            addresses: self.addresses.clone(),
            stats: self.stats.clone(),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.stats.ended.add(1);
        let Some(address) = self.address else { return };
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }
}

/// Whoever has one IPv6 address has a network of 2^64 of them.
pub(crate) fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn seats_are_counted_by_address_and_given_back() {
        let crowd = Crowd::new(3, 2, Arc::default());
        let from = |address: &str| Some(address.parse::<IpAddr>().unwrap());
        let sit = async |address| crowd.seat(crowd.room().await.unwrap(), from(address));
        let one = sit("2001:db8::1").await.unwrap();
        let two = sit("2001:db8::2").await.unwrap();
        assert!(sit("2001:db8::ffff:3").await.is_none(), "the same network");
        let other = sit("192.0.2.1").await.unwrap();
        assert!(crowd.all.try_acquire().is_err(), "no room for anybody");
        drop(one);
        let again = sit("2001:db8::4").await.unwrap();
        assert_eq!((crowd.stats.open(), crowd.stats.refused.get()), (3, 1));
        drop((two, other, again));
        assert!(crowd.addresses.lock().unwrap().is_empty());
        assert!(sit("::ffff:192.0.2.1").await.is_some());
        assert_eq!(household("::ffff:192.0.2.1".parse().unwrap()), from("192.0.2.1").unwrap());
        assert_eq!(crowd.all.available_permits(), 3);
        assert!(
            Crowd::new(1, 0, Arc::default()).seat(crowd.room().await.unwrap(), None).is_some(),
            "the Unix socket"
        );
    }
}
