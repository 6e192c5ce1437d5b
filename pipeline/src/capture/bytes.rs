//! Reading fields out of untrusted bytes.

/// The `N` bytes at `at`, if they are there.
pub fn take<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..)?.first_chunk().copied()
}

/// Byte order of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// Reads fields one after another; `None` once the bytes are used up.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    data: &'a [u8],
    at: usize,
    endian: Endian,
}

macro_rules! integers {
    ($($name:ident $type:ty),* $(,)?) => {$(
        /// The next integer of this type.
        pub fn $name(&mut self) -> Option<$type> {
            let bytes = take(self.data, self.at)?;
            self.at += size_of::<$type>();
            Some(match self.endian {
                Endian::Little => <$type>::from_le_bytes(bytes),
                Endian::Big => <$type>::from_be_bytes(bytes),
            })
        }
    )*};
}

impl<'a> Fields<'a> {
    /// Fields from the start of `data`.
    pub fn new(data: &'a [u8], endian: Endian) -> Self {
        Self { data, at: 0, endian }
    }

    integers!(u8 u8, i8 i8, u16 u16, i16 i16, u32 u32, u64 u64);

    /// Steps over `n` bytes.
    pub fn skip(&mut self, n: usize) -> Option<()> {
        self.slice(n).map(|_| ())
    }

    /// The next `n` bytes.
    pub fn slice(&mut self, n: usize) -> Option<&'a [u8]> {
        let bytes = self.data.get(self.at..)?.get(..n)?;
        self.at += n;
        Some(bytes)
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.data.get(self.at..).unwrap_or(&[])
    }
}

/// The transmitter's address in an 802.11 frame, if frames of its type carry one (IEEE 802.11-2020, 9.3).
pub fn transmitter(mpdu: &[u8]) -> Option<[u8; 6]> {
    let [control] = take(mpdu, 0)?;
    let (version, kind, subtype) = (control & 3, (control >> 2) & 3, control >> 4);
    // Of the control frames, CTS and ACK name the receiver only.
    if version != 0 || kind == 3 || (kind == 1 && matches!(subtype, 12 | 13)) {
        return None;
    }
    take(mpdu, 10)
}

/// `04:f0:21:2c:79:37`.
pub fn mac_text(mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}
