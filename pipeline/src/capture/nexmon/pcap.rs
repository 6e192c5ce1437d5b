//! Walks over pcap and pcapng files and hands the UDP payloads to the CSI decoder.

use pcap_parser::pcapng::Block;
use pcap_parser::traits::PcapNGPacketBlock;

use super::payload::{PORT, PayloadDecoder};
use crate::capture::decoder::{Decoder, Format, Item, Reject};
use crate::csi::CsiFrame;

/// Nexmon CSI in a pcap file, either byte order, microseconds or nanoseconds.
pub const FORMAT: Format = Format {
    name: "nexmon-pcap",
    sniff: is_pcap,
    decoder: || Box::<PcapDecoder>::default() as Box<dyn Decoder>,
};

/// Nexmon CSI in a pcapng file.
pub const FORMAT_NG: Format = Format {
    name: "nexmon-pcapng",
    sniff: is_pcapng,
    decoder: || Box::<PcapngDecoder>::default() as Box<dyn Decoder>,
};

fn is_pcap(head: &[u8]) -> bool {
    head.first_chunk::<4>().is_some_and(|m| {
        matches!(u32::from_le_bytes(*m), 0xa1b2_c3d4 | 0xd4c3_b2a1 | 0xa1b2_3c4d | 0x4d3c_b2a1 | 0xa1b2_cd34)
    })
}

fn is_pcapng(head: &[u8]) -> bool {
    head.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a])
        && matches!(head.get(8..12), Some([0x1a, 0x2b, 0x3c, 0x4d] | [0x4d, 0x3c, 0x2b, 0x1a]))
}

/// The UDP payload sent to the CSI port, if the packet is one. Ethernet (with VLAN tags), Linux cooked and raw IPv4 links.
fn csi_payload(linktype: i32, packet: &[u8]) -> Option<&[u8]> {
    let ip = match linktype {
        1 => {
            let mut at = 12;
            loop {
                match packet.get(at..at + 2)? {
                    [0x81, 0x00] | [0x88, 0xa8] => at += 4,
                    [0x08, 0x00] => break packet.get(at + 2..)?,
                    _ => return None,
                }
            }
        }
        113 => packet.get(14..16).filter(|t| *t == [0x08, 0x00]).and(packet.get(16..))?,
        276 => packet.get(..2).filter(|t| *t == [0x08, 0x00]).and(packet.get(20..))?,
        0 | 12 | 14 | 101 | 228 => packet.get(if linktype == 0 { 4 } else { 0 }..)?,
        _ => return None,
    };
    const UDP: u8 = 17;
    let first = *ip.first()?;
    if first >> 4 != 4 || *ip.get(9)? != UDP {
        return None;
    }
    let udp = ip.get(usize::from(first & 15) * 4..)?;
    let (header, payload) = udp.split_first_chunk::<8>()?;
    if u16::from_be_bytes([header[2], header[3]]) != PORT {
        return None;
    }
    // The length field ends the payload where the link added a trailer; a snapped packet is shorter than it says.
    let length = usize::from(u16::from_be_bytes([header[4], header[5]])).saturating_sub(8);
    Some(payload.get(..length).filter(|p| !p.is_empty()).unwrap_or(payload))
}

/// What a packet gives: nothing when it is not CSI at all.
fn packet(
    payloads: &mut PayloadDecoder,
    linktype: i32,
    data: &[u8],
    offset: u64,
    time_ns: Option<i64>,
) -> Option<Result<CsiFrame, Reject>> {
    let payload = csi_payload(linktype, data)?;
    Some(match payloads.decode(payload) {
        Ok(mut frame) => {
            frame.capture_time_ns = time_ns;
            Ok(frame)
        }
        Err(reject) => Err(Reject { offset, ..reject }),
    })
}

#[derive(Default)]
struct PcapDecoder {
    pos: usize,
    header: Option<pcap_parser::PcapHeader>,
    payloads: PayloadDecoder,
}

/// No link layer carries more; a longer record means that the record's header is damaged.
const MAX_PACKET: u32 = 256 * 1024;

impl Decoder for PcapDecoder {
    fn next(&mut self, data: &[u8]) -> Option<Item> {
        let (linktype, big, modified, nanos) = match &self.header {
            Some(h) => (h.network.0, h.is_bigendian(), h.is_modified_format(), h.is_nanosecond_precision()),
            None => {
                if self.pos >= data.len() {
                    return None;
                }
                let Ok((rest, header)) = pcap_parser::parse_pcap_header(data) else {
                    self.pos = data.len();
                    let detail = format!("{} bytes of the 24-byte file header", data.len());
                    return Some(Err(Reject { offset: 0, reason: "truncated", detail }));
                };
                self.pos = data.len() - rest.len();
                let h = self.header.insert(header);
                (h.network.0, h.is_bigendian(), h.is_modified_format(), h.is_nanosecond_precision())
            }
        };
        // Bits 16 and up of the link type tell of a frame check sequence.
        let linktype = linktype & 0xffff;
        loop {
            let rest = data.get(self.pos..).filter(|r| !r.is_empty())?;
            let offset = self.pos as u64;
            let parsed = match (big, modified) {
                (true, _) => pcap_parser::parse_pcap_frame_be(rest),
                (false, true) => pcap_parser::parse_pcap_frame_modified(rest),
                (false, false) => pcap_parser::parse_pcap_frame(rest),
            };
            let Ok((after, record)) = parsed else {
                return Some(Err(self.damaged(data, big, modified)));
            };
            if record.caplen > MAX_PACKET {
                return Some(Err(self.damaged(data, big, modified)));
            }
            self.pos = data.len() - after.len();
            let fraction = i64::from(record.ts_usec) * if nanos { 1 } else { 1000 };
            let time = i64::from(record.ts_sec) * 1_000_000_000 + fraction;
            if let Some(item) = packet(&mut self.payloads, linktype, record.data, offset, Some(time)) {
                return Some(item);
            }
        }
    }

    fn chip(&self) -> Option<&str> {
        self.payloads.chip().map(|c| c.name())
    }
}

impl PcapDecoder {
    /// A record that does not fit into the file: the tail, or a damaged header. After a damaged one, reading goes on at the next
    /// place where two records follow each other plausibly.
    fn damaged(&mut self, data: &[u8], big: bool, modified: bool) -> Reject {
        let offset = self.pos as u64;
        let head = if modified { 24 } else { 16 };
        let word = |at: usize| {
            let bytes = *data.get(at..)?.first_chunk::<4>()?;
            Some(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
        };
        // The end of a plausible record at `at`.
        let record_end = |at: usize| {
            let (fraction, captured, original) = (word(at + 4)?, word(at + 8)?, word(at + 12)?);
            let fits =
                fraction < 1_000_000_000 && (14..=MAX_PACKET).contains(&captured) && captured <= original;
            (fits && original <= MAX_PACKET).then(|| at + head + captured as usize)
        };
        let left = data.len() - self.pos;
        let claimed = word(self.pos + 8);
        let next = (self.pos + 1..data.len()).find(|&at| {
            record_end(at)
                .is_some_and(|end| end == data.len() || record_end(end).is_some_and(|e| e <= data.len()))
        });
        self.pos = next.unwrap_or(data.len());
        match claimed {
            Some(length) if length > MAX_PACKET || next.is_some() => {
                Reject { offset, reason: "bad_length", detail: format!("a record of {length} bytes") }
            }
            _ => Reject { offset, reason: "truncated", detail: format!("{left} bytes of the last record") },
        }
    }
}

/// Type of a section header block, the same in both byte orders.
const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// A block's type and its length twice.
const MIN_BLOCK: usize = 12;

struct Interface {
    linktype: i32,
    /// Time stamp units per second.
    resolution: u64,
    offset_s: i64,
}

#[derive(Default)]
struct PcapngDecoder {
    pos: usize,
    big: bool,
    interfaces: Vec<Interface>,
    payloads: PayloadDecoder,
}

impl Decoder for PcapngDecoder {
    fn next(&mut self, data: &[u8]) -> Option<Item> {
        loop {
            let rest = data.get(self.pos..).filter(|r| !r.is_empty())?;
            let offset = self.pos as u64;
            // The parser subtracts from the length of some block types before it looks at it.
            if !rest.starts_with(&SECTION_HEADER)
                && self.block_length(rest).is_none_or(|length| length < MIN_BLOCK)
            {
                return Some(Err(self.damaged(rest)));
            }
            let parsed =
                if self.big { pcap_parser::parse_block_be(rest) } else { pcap_parser::parse_block_le(rest) };
            let Ok((after, block)) = parsed else {
                return Some(Err(self.damaged(rest)));
            };
            // A block is never empty, but the walk must end whatever the parser does.
            self.pos = (data.len() - after.len()).max(self.pos + 1);
            let item = match block {
                Block::SectionHeader(section) => {
                    self.big = section.big_endian();
                    self.interfaces.clear();
                    None
                }
                Block::InterfaceDescription(interface) => {
                    self.interfaces.push(Interface {
                        linktype: interface.linktype.0,
                        resolution: interface.ts_resolution().unwrap_or(1_000_000).max(1),
                        offset_s: interface.ts_offset(),
                    });
                    None
                }
                Block::EnhancedPacket(enhanced) => {
                    let interface = self.interfaces.get(enhanced.if_id as usize);
                    interface.and_then(|interface| {
                        let time = interface.time_ns(enhanced.ts_high, enhanced.ts_low);
                        packet(&mut self.payloads, interface.linktype, enhanced.packet_data(), offset, time)
                    })
                }
                Block::SimplePacket(simple) => self.interfaces.first().and_then(|interface| {
                    packet(&mut self.payloads, interface.linktype, simple.packet_data(), offset, None)
                }),
                _ => None,
            };
            if item.is_some() {
                return item;
            }
        }
    }

    fn chip(&self) -> Option<&str> {
        self.payloads.chip().map(|c| c.name())
    }
}

impl Interface {
    fn time_ns(&self, high: u32, low: u32) -> Option<i64> {
        let units = i128::from(high) << 32 | i128::from(low);
        let ns =
            units * 1_000_000_000 / i128::from(self.resolution) + i128::from(self.offset_s) * 1_000_000_000;
        i64::try_from(ns).ok()
    }
}

impl PcapngDecoder {
    /// What the block at the start of `rest` says of its own length.
    fn block_length(&self, rest: &[u8]) -> Option<usize> {
        let bytes = *rest.get(4..)?.first_chunk::<4>()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) } as usize)
    }

    /// A block that does not parse: skipped by its length where that leads to another block, else the end.
    fn damaged(&mut self, rest: &[u8]) -> Reject {
        let offset = self.pos as u64;
        match self.block_length(rest) {
            Some(length) if length >= MIN_BLOCK && length.is_multiple_of(4) && length <= rest.len() => {
                self.pos += length;
                Reject {
                    offset,
                    reason: "bad_block",
                    detail: format!("a block of {length} bytes does not parse"),
                }
            }
            _ => {
                self.pos += rest.len();
                Reject {
                    offset,
                    reason: "truncated",
                    detail: format!("{} bytes of the last block", rest.len()),
                }
            }
        }
    }
}
