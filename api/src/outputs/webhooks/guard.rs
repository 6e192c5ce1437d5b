//! Which addresses may be called: public ones, and those that the configuration allows. Checked on what a name resolves to, so
//! that no name can lead inside.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use ipnet::IpNet;
use tower::Service;

/// Networks that do not belong to the public internet, from the special-purpose registries of IANA (RFC 6890 and successors), and
/// those whose addresses stand for IPv4 addresses of any kind.
const INSIDE: [&str; 28] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// Decides.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    inside: Arc<[IpNet]>,
    allowed: Arc<[IpNet]>,
}

/// The address is not public, and not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no public address; webhooks.allowed_networks may allow it")]
pub(crate) struct Inside(pub IpAddr);

impl Guard {
    /// The networks are written as `ADDRESS/BITS`. The error is the one that is not.
    pub(crate) fn new(allowed: &[String]) -> Result<Self, String> {
        let network = |text: &String| text.parse::<IpNet>().map_err(|_| text.clone());
        let allowed = allowed.iter().map(network).collect::<Result<_, _>>()?;
        Ok(Self { inside: INSIDE.iter().filter_map(|text| text.parse().ok()).collect(), allowed })
    }

    /// May this address be called?
    pub(crate) fn check(&self, address: IpAddr) -> Result<(), Inside> {
        // An IPv4 address in IPv6 clothes is an IPv4 address.
        let address = address.to_canonical();
        let within = |networks: &[IpNet]| networks.iter().any(|n| n.contains(&address));
        match !within(&self.allowed) && within(&self.inside) {
            true => Err(Inside(address)),
            false => Ok(()),
        }
    }

    /// A host that is an address and not a name is checked here.
    pub(crate) fn check_host(&self, host: &url::Host<&str>) -> Result<(), Inside> {
        match host {
            url::Host::Ipv4(address) => self.check((*address).into()),
            url::Host::Ipv6(address) => self.check(IpAddr::V6(Ipv6Addr::from(address.octets()))),
            url::Host::Domain(_) => Ok(()),
        }
    }
}

/// Resolves names to what may be called.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    pub guard: Guard,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let guard = self.guard.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One address inside is enough to distrust the name.
            for address in &found {
                guard.check(address.ip()).map_err(|e| io::Error::new(io::ErrorKind::PermissionDenied, e))?;
            }
            Ok(found.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_public_addresses_and_what_is_allowed() {
        assert!(INSIDE.iter().all(|text| text.parse::<IpNet>().is_ok()));
        let guard = Guard::new(&["192.168.7.0/24".into(), "fd00:7::/64".into()]).unwrap();
        for public in
            ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "192.168.7.9", "fd00:7::1", "::ffff:8.8.8.8"]
        {
            assert_eq!(guard.check(public.parse().unwrap()), Ok(()), "{public}");
        }
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.255.255",
            "192.168.8.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.100.100.200",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00:8::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "ff02::1",
        ] {
            assert!(guard.check(inside.parse().unwrap()).is_err(), "{inside}");
        }
        assert_eq!(Guard::new(&["everything".into()]).unwrap_err(), "everything");
    }
}
