//! The `CSI` segment.

use std::ops::Range;
use std::sync::Arc;

use crate::capture::bytes::{Endian, Fields, take};
use crate::capture::feitcsi::{complex_16_bit, unpack as unpack_firmware};
use crate::capture::tones::{self, Modulation};
use crate::capture::{atheros, intel5300};
use crate::{Complex32, Layout};

/// What measured a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Qualcomm Atheros QCA9300.
    Qca9300,
    /// Intel 5300.
    Iwl5300,
    /// Intel AX200.
    Ax200,
    /// Intel AX210 or AX211.
    Ax210,
    /// A USRP, another software-defined radio, or a simulated one.
    Radio,
}

impl Device {
    /// From the tool's `PicoScenesDeviceType`.
    pub fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            0x9300 => Self::Qca9300,
            0x5300 => Self::Iwl5300,
            0x2000 => Self::Ax200,
            0x2100 => Self::Ax210,
            0x1234 | 0x1000 | 0x24d2 => Self::Radio,
            _ => return None,
        })
    }

    /// Name of the chip.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qca9300 => "QCA9300",
            Self::Iwl5300 => "Intel IWL5300",
            Self::Ax200 => "Intel AX200",
            Self::Ax210 => "Intel AX210",
            Self::Radio => "USRP SDR",
        }
    }
}

/// The `CSI` segment, with the names of the tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Csi {
    /// What measured it.
    pub device: Device,
    /// Firmware of AX200 and AX210; 0 where the segment's version has none.
    pub firmware_version: u8,
    /// 0 legacy, 1 HT, 2 VHT, 3 HE single user, 4 HE multi user, 5 and 6 EHT.
    pub packet_format: i8,
    /// Channel bandwidth in MHz.
    pub cbw: u16,
    /// Carrier frequency in Hz.
    pub carrier_freq: u64,
    /// Sampling rate in Hz.
    pub sampling_rate: u64,
    /// Spacing of the subcarriers in Hz.
    pub subcarrier_bandwidth: u32,
    /// Tones as stored, filler included.
    pub num_tones: u16,
    /// Streams that carry data.
    pub num_tx: u8,
    /// Receive chains.
    pub num_rx: u8,
    /// Extra sounding streams, as stored.
    pub num_ess: u8,
    /// CSI matrices; the first is decoded.
    pub num_csi: u16,
    /// Antenna selection of an IWL5300.
    pub ant_sel: u8,
    /// Added to the index of every subcarrier: ±32 for the half of a 40 MHz channel.
    pub subcarrier_offset: i16,
    /// Streams (data and extra sounding) × chains × tones of `values`.
    pub layout: Layout,
    /// Index of each tone, where known.
    pub subcarrier_index: Option<Arc<[i16]>>,
    /// `[tx][rx][tone]`, in the device's own unit.
    pub values: Vec<Complex32>,
}

/// Why a segment or frame could not be used: a reason and its detail.
pub(super) type Unusable = (&'static str, String);

fn short(what: &str) -> Unusable {
    ("bad_payload", format!("{what} ends early"))
}

impl Csi {
    /// Decodes the body of a `CSI` segment of this version. `packet_mhz` is the bandwidth of the packet, if known.
    pub(super) fn parse(body: &[u8], version: u16, packet_mhz: Option<u16>) -> Result<Self, Unusable> {
        if !(1..=4).contains(&version) {
            return Err(("unsupported", format!("CSI segment of version {version}")));
        }
        let mut fields = Fields::new(body, Endian::Little);
        let header = Self::header(&mut fields, version).ok_or_else(|| short("CSI segment"))?;
        let (mut csi, length) = header?;
        let stored = fields.slice(length as usize).ok_or_else(|| short("CSI"))?;
        match csi.device {
            Device::Iwl5300 => csi.intel5300(stored)?,
            Device::Qca9300 => csi.qca9300(stored)?,
            Device::Ax200 | Device::Ax210 => csi.firmware(stored, packet_mhz)?,
            Device::Radio => csi.radio(stored)?,
        }
        if csi.device != Device::Radio {
            csi.subcarrier_index = csi.tone_index(packet_mhz);
        }
        Ok(csi)
    }

    /// `None` if the fields end early.
    fn header(fields: &mut Fields<'_>, version: u16) -> Option<Result<(Self, u32), Unusable>> {
        let device = fields.u16()?;
        let firmware_version = if version >= 4 { fields.u8()? } else { 0 };
        let packet_format = fields.i8()?;
        let cbw = fields.u16()?;
        let (carrier_freq, sampling_rate, subcarrier_bandwidth) =
            (fields.u64()?, fields.u64()?, fields.u32()?);
        let num_tones = fields.u16()?;
        let (num_tx, num_rx, num_ess) = (fields.u8()?, fields.u8()?, fields.u8()?);
        let num_csi = if version >= 3 { fields.u16()? } else { 1 };
        let ant_sel = fields.u8()?;
        let subcarrier_offset = if version >= 2 { fields.i16()? } else { 0 };
        let length = fields.u32()?;
        let Some(device) = Device::from_code(device) else {
            return Some(Err(("unsupported", format!("device type {device:#06x}"))));
        };
        let csi = Self {
            device,
            firmware_version,
            packet_format,
            cbw,
            carrier_freq,
            sampling_rate,
            subcarrier_bandwidth,
            num_tones,
            num_tx,
            num_rx,
            num_ess,
            num_csi,
            ant_sel,
            subcarrier_offset,
            layout: Layout::new(0, 0, 0),
            subcarrier_index: None,
            values: Vec::new(),
        };
        Some(Ok((csi, length)))
    }

    fn mismatch(&self, length: usize) -> Unusable {
        let Self { num_tones, num_tx, num_rx, .. } = self;
        (
            "bad_payload",
            format!("{length} bytes of CSI for {num_tones} tones, {num_tx} streams, {num_rx} chains"),
        )
    }

    /// The card reports extra sounding streams too; the stored length says how many streams there are.
    fn intel5300(&mut self, stored: &[u8]) -> Result<(), Unusable> {
        let rx = usize::from(self.num_rx);
        let tx = stored.len().saturating_sub(12).checked_div(60 * rx).unwrap_or(0);
        if usize::from(self.num_tones) != intel5300::SUBCARRIERS
            || !(1..=3).contains(&rx)
            || !(1..=3).contains(&tx)
        {
            return Err(self.mismatch(stored.len()));
        }
        self.values = intel5300::unpack(stored, rx, tx, [0, 1, 2]);
        self.layout = Layout::new(tx as u16, self.num_rx.into(), self.num_tones);
        Ok(())
    }

    /// As for the 5300.
    fn qca9300(&mut self, stored: &[u8]) -> Result<(), Unusable> {
        let (rx, tones) = (usize::from(self.num_rx), usize::from(self.num_tones));
        let tx = stored.len().checked_div(atheros::csi_bytes(rx * tones)).unwrap_or(0);
        if !(1..=4).contains(&rx) || !(1..=4).contains(&tx) {
            return Err(self.mismatch(stored.len()));
        }
        self.values = atheros::unpack(stored, rx * tx, tones);
        self.layout = Layout::new(tx as u16, self.num_rx.into(), self.num_tones);
        Ok(())
    }

    fn firmware(&mut self, stored: &[u8], packet_mhz: Option<u16>) -> Result<(), Unusable> {
        let (rx, tx) = (usize::from(self.num_rx), usize::from(self.num_tx));
        let tones = usize::from(self.num_tones);
        if stored.is_empty() || stored.len() != 4 * rx * tx * tones {
            return Err(self.mismatch(stored.len()));
        }
        let filler: Option<Range<usize>> = self.modulation().and_then(|modulation| {
            packet_mhz.into_iter().chain([self.cbw]).find_map(|mhz| tones::filler_160(modulation, mhz, tones))
        });
        let measured = self.num_tones - filler.as_ref().map_or(0, |gap| gap.len() as u16);
        self.values = unpack_firmware(stored, rx, tx, tones, filler, complex_16_bit);
        self.layout = Layout::new(tx as u16, rx as u16, measured);
        Ok(())
    }

    /// Subcarrier indices, then a matrix with tones × streams × chains × repetitions.
    fn radio(&mut self, stored: &[u8]) -> Result<(), Unusable> {
        let tones = usize::from(self.num_tones);
        let (index, matrix) =
            stored.split_at_checked(2 * tones).ok_or_else(|| self.mismatch(stored.len()))?;
        let (index, _) = index.as_chunks::<2>();
        self.subcarrier_index = Some(index.iter().map(|&bytes| i16::from_le_bytes(bytes)).collect());
        let ([matrix_tones, tx, rx], values) =
            matrix_values(matrix).ok_or(("bad_payload", "not a complex signal matrix".to_owned()))?;
        if matrix_tones != tones || tones == 0 {
            return Err(("bad_payload", format!("a matrix with {matrix_tones} rows for {tones} tones")));
        }
        let count = |n: usize| u16::try_from(n).map_err(|_| self.mismatch(stored.len()));
        self.layout = Layout::new(count(tx)?, count(rx)?, self.num_tones);
        self.values = values;
        Ok(())
    }

    /// PHY generation of the packet.
    pub fn modulation(&self) -> Option<Modulation> {
        match self.packet_format {
            0 => Some(Modulation::Legacy),
            1 => Some(Modulation::Ht),
            2 => Some(Modulation::Vht),
            3 | 4 => Some(Modulation::He),
            _ => None,
        }
    }

    fn tone_index(&self, packet_mhz: Option<u16>) -> Option<Arc<[i16]>> {
        let index = if self.device == Device::Iwl5300 {
            intel5300::subcarrier_index(self.cbw)
        } else {
            // A packet may be narrower than the channel.
            let modulation = self.modulation()?;
            let bandwidths = packet_mhz.into_iter().chain([self.cbw, 20, 40, 80, 160]);
            bandwidths
                .filter_map(|mhz| tones::indices(modulation, mhz))
                .find(|index| index.len() == usize::from(self.layout.subcarriers))?
        };
        if self.subcarrier_offset == 0 {
            return Some(index);
        }
        index.iter().map(|k| k.checked_add(self.subcarrier_offset)).collect()
    }
}

/// Decodes the tool's `SignalMatrix`: `BB`, version, dimensions, element type, storage order, elements. Gives the first
/// three dimensions (tones, streams, chains) and, of the first repetition, the values as `[tx][rx][tone]`.
fn matrix_values(matrix: &[u8]) -> Option<([usize; 3], Vec<Complex32>)> {
    let mut fields = Fields::new(matrix, Endian::Little);
    let version = match fields.slice(4)? {
        b"BBv1" => 1,
        b"BBv2" => 2,
        _ => return None,
    };
    let mut dimensions = [1usize; 4];
    for i in 0..usize::from(fields.u8()?) {
        let size = if version == 1 { fields.u32()?.into() } else { fields.u64()? };
        match dimensions.get_mut(i) {
            Some(slot) => *slot = usize::try_from(size).ok()?,
            None if size == 1 => {}
            None => return None,
        }
    }
    let [b'C', kind, bits, order] = *fields.slice(4)? else { return None };
    let part: fn(&[u8], usize) -> Option<f32> = match (kind, bits) {
        (b'D', 64) => |bytes, i| Some(f64::from_le_bytes(take(bytes, 8 * i)?) as f32),
        (b'F', 32) => |bytes, i| Some(f32::from_le_bytes(take(bytes, 4 * i)?)),
        (b'I', 16) => |bytes, i| Some(i16::from_le_bytes(take(bytes, 2 * i)?).into()),
        (b'I', 8) => |bytes, i| Some(i8::from_le_bytes(take(bytes, i)?).into()),
        _ => return None,
    };
    let elements = fields.rest();
    let count = dimensions.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    // The elements are there: what is allocated below is less.
    if count == 0 || count.checked_mul(usize::from(bits) / 4)? > elements.len() {
        return None;
    }
    let [tones, tx, rx, repetitions] = dimensions;
    let mut values = Vec::with_capacity(tones * tx * rx);
    for t in 0..tx {
        for r in 0..rx {
            for tone in 0..tones {
                let i = match order {
                    b'C' => tone + tones * (t + tx * r),
                    b'R' => repetitions * (r + rx * (t + tx * tone)),
                    _ => return None,
                };
                values.push(Complex32::new(part(elements, 2 * i)?, part(elements, 2 * i + 1)?));
            }
        }
    }
    Some(([tones, tx, rx], values))
}
