//! Writes frames as ESP32-CSI-Tool prints them.

use crate::capture::encode::{EncodeError, quantise};
use crate::capture::links::{mac_name, parse_mac};
use crate::csi::CsiFrame;

/// The header line, with its newline.
pub const HEADER: &str = "type,role,mac,rssi,rate,sig_mode,mcs,bandwidth,smoothing,not_sounding,aggregation,stbc,\
fec_coding,sgi,noise_floor,ampdu_cnt,channel,secondary_channel,local_timestamp,ant,sig_len,rx_state,real_time_set,\
real_timestamp,len,CSI_DATA\n";

/// Appends one row to `out`. The device's clock is 32 bits of microseconds: the capture time (else the pipeline time) modulo
/// 71.6 minutes. An unknown RSSI or noise floor is written as 0.
///
/// # Errors
/// When the link is not named by an address, the layout is not 1 x 1 x n, or a value does not round into i8. `out` is then as
/// before.
pub fn write_row(frame: &CsiFrame, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let written = row(frame, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn row(frame: &CsiFrame, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mac = parse_mac(frame.link.as_str().as_bytes())
        .ok_or_else(|| EncodeError::Link { link: frame.link.to_string(), expected: "`aa:bb:cc:dd:ee:ff`" })?;
    let layout = frame.layout;
    if layout.pairs() != 1 || layout.subcarriers == 0 {
        return Err(EncodeError::Layout { layout, expected: "1x1xn" });
    }
    let dbm = |v: Option<f32>| v.map_or(0, |v| v.round().clamp(-128.0, 127.0) as i8);
    let time_us = frame.capture_time_ns.unwrap_or(frame.time_ns).div_euclid(1000) as u32;
    let wide = frame.bandwidth_mhz == Some(40);
    let channel = match frame.center_mhz {
        Some(2484.0) => 14,
        // A 40 MHz channel is written with its secondary channel above.
        Some(mhz) if (2402.0..2484.0).contains(&mhz) => {
            ((mhz - if wide { 10.0 } else { 0.0 } - 2407.0) / 5.0).round() as u16
        }
        Some(mhz) if (5005.0..=6000.0).contains(&mhz) => {
            ((mhz - if wide { 10.0 } else { 0.0 } - 5000.0) / 5.0).round() as u16
        }
        _ => 0,
    };
    let wide = u8::from(wide);
    let text = format!(
        "CSI_DATA,STA,{},{},11,{wide},0,{wide},0,1,0,0,0,0,{},0,{channel},{wide},{time_us},0,0,0,0,{}.{:06},{},[",
        mac_name(mac).to_uppercase(),
        dbm(frame.rssi_dbm),
        dbm(frame.noise_dbm),
        time_us / 1_000_000,
        time_us % 1_000_000,
        2 * frame.csi.len(),
    );
    out.extend_from_slice(text.as_bytes());
    for (index, v) in frame.csi.iter().enumerate() {
        for part in [v.im, v.re] {
            let value = quantise(part, index, (-128, 127), "-128..=127")?;
            out.extend_from_slice(value.to_string().as_bytes());
            out.push(b' ');
        }
    }
    out.extend_from_slice(b"]\n");
    Ok(())
}
