//! Nexmon CSI: pcap and pcapng files of Broadcom chips, and the UDP payload that they share with the live stream.

mod payload;
mod pcap;
mod writer;

pub use payload::{Chip, HEADER_DEBRIS_BINS, PORT, PayloadDecoder};
pub use pcap::{FORMAT, FORMAT_NG};
pub use writer::{PcapWriter, encode_payload};
