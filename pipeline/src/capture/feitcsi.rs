//! FeitCSI (`.csi` of Intel AX200 and AX210 cards).
//!
//! A file is a sequence of records: the firmware's 272-byte little-endian header, then the CSI, for each receive chain, each
//! transmit stream, each tone a pair of 16-bit real and imaginary parts. Files that FeitCSI's own processing wrote hold
//! pairs of 64-bit floats instead. As in the tool's `Csi.h` and `Csi.cpp` (KuskoSoft/FeitCSI) and
//! <https://feitcsi.kuskosoft.com/csi_format/>.

mod decode;
mod record;

pub use decode::FORMAT;
pub use record::{Header, Record};
pub(crate) use record::{complex_16_bit, unpack};
