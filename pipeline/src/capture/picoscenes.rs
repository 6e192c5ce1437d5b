//! PicoScenes (`.csi` of AX200, AX210, IWL5300, QCA9300 cards and of software-defined radios).
//!
//! A file is a sequence of frames, all little-endian: `u32` length of what follows, `u32` magic, `u16` version, `u8` number of
//! segments (from version 2 on also `u16` number of packets), the segments, then the packet itself (from version 2 on:
//! each packet after its `u32` length). A segment is a `u32` length of what follows, a `u8` length of its name, the name,
//! a `u16` version, and a body. Of the segments `RxSBasic` (versions 1 to 5), `CSI` (1 to 4) and `MVMExtra` (1) are read,
//! others are passed over. As in the tool's own parser (wifisensing/RXS-Parsing-Core).
//!
//! Values are those of the device: pilots are kept (the tool's parser drops those of AX200 and AX210), nothing is
//! interpolated, and the rows of an IWL5300 are its receive chains in the stored order.

mod csi;
mod decode;
mod frame;

pub use csi::{Csi, Device};
pub use decode::FORMAT;
pub use frame::{Record, RxBasic};
