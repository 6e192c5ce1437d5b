//! Live packets over UDP.

use std::net::SocketAddr;

use super::pace::Speed;
use super::{FrameSender, Source, SourceError, Stop};
use crate::capture::udp::{Protocol, UdpSource};
use crate::pose::SourceKind;

/// A bound socket whose datagrams are CSI.
#[derive(Debug)]
pub struct LiveUdp {
    socket: UdpSource,
    address: SocketAddr,
}

impl LiveUdp {
    /// Binds the local address; port 0 takes any free one.
    pub fn bind(address: SocketAddr, protocol: Protocol) -> Result<Self, SourceError> {
        let fail = |error| SourceError::Socket { address, error };
        let socket = UdpSource::bind(address, protocol).map_err(fail)?;
        let address = socket.local_addr().map_err(fail)?;
        Ok(Self { socket, address })
    }

    /// The address bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Source for LiveUdp {
    fn kind(&self) -> SourceKind {
        SourceKind::Live
    }

    fn speed(&self) -> Speed {
        Speed::Times(1.0)
    }

    fn run(self: Box<Self>, out: &FrameSender, stop: &Stop) -> Result<(), SourceError> {
        let account = out.account();
        self.socket
            .run(stop.flag(), account, |frame| {
                // Once nobody takes frames any more the stop signal is on its way.
                let _ = out.forward(frame, stop);
            })
            .map_err(|error| SourceError::Socket { address: self.address, error })
    }
}
