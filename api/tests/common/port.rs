//! Ports for servers that end and come back.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

/// Ports below those that the kernel gives to whoever asks for any (`ip_local_port_range` begins at 32768): nobody gets one while its server is away.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// A port that is free and that no other test is given.
pub fn kept() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let width = u32::from(RANGE.end - RANGE.start);
    let own = std::process::id().wrapping_mul(16) % width;
    let port = |n: u16| RANGE.start + ((own + u32::from(n)) % width) as u16;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| port(NEXT.fetch_add(1, Relaxed))).find(free).unwrap()
}
