//! Atheros CSI Tool (`.dat` of QCA93xx and AR95xx cards).
//!
//! A file is a sequence of records: `u16` length of what follows, a 25-byte header, the CSI, the packet. All integers
//! are in the byte order of the router that logged them; newer logs start with one byte that names it (0xFF big,
//! 0x00 little). The CSI is a stream of 10-bit two's complement integers, least significant bit first, imaginary part
//! before real part, for each tone, each transmit stream, each receive chain. As in the tool's `read_csi.c` and
//! `read_log_file.m` (Xie, Li and Li, xieyaxiongfly/Atheros-CSI-Tool).

mod decode;
mod record;

pub use decode::FORMAT;
pub use record::Record;
pub(crate) use record::{csi_bytes, unpack};
