//! Linux 802.11n CSI Tool (`.dat` of an Intel 5300).
//!
//! A file is a sequence of records: `u16` big-endian length of what follows, `u8` code, body. Code 0xBB is a
//! beamforming report: a 20-byte little-endian header and the CSI, for each of 30 subcarriers 3 padding bits and
//! then, for each receive chain and each stream, 8-bit real and imaginary parts. Everything is as in the tool's
//! `read_bfee.c`, `read_bf_file.m` and `get_scaled_csi.m` (Halperin et al., dhalperi/linux-80211n-csitool-supplementary).
//! Records of other codes (0xC1: the packet itself) are passed over.
//!
//! **Antenna order.** `perm` says which antenna (A, B, C) each receive chain was connected to. The rows of the decoded CSI
//! are the connected antennas in the order A, B, C. With three chains that is chain `j` in row `perm[j]`, as the tool has
//! it. With fewer, a report still names antennas by their place among all three; there are only rows for antennas that
//! were measured, so that row `r` is the `r`-th connected one ([`Record::antennas`] names it) and no row is filler.
//! A `perm` that names an antenna twice or none is ignored.

mod decode;
mod record;

pub use decode::FORMAT;
pub use record::{EncodeError, Record, SUBCARRIERS, encode};
pub(crate) use record::{subcarrier_index, unpack};
