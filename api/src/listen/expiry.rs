//! When a certificate ends: the one field of X.509 (RFC 5280, 4.1) that operators have to watch.

use chrono::NaiveDateTime;
use rustls::pki_types::CertificateDer;

use crate::Time;

/// DER tags (X.690, 8.1.2) of what is on the way to the field.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The moment from which on nobody takes this certificate; `None` where that cannot be read.
pub(crate) fn end_of(certificate: &CertificateDer<'_>) -> Option<Time> {
    let (_, outer, _) = element(certificate)?;
    let (_, mut fields, _) = element(outer)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (tag, validity, _) = element(fields)?;
    let (_, _, after_begin) = (tag == SEQUENCE).then(|| element(validity))??;
    let (tag, text, _) = element(after_begin)?;
    let text = std::str::from_utf8(text).ok()?;
    let full = match (tag, text.get(..2)?.parse::<u8>().ok()?) {
        (UTC_TIME, year) => format!("{}{text}", if year < 50 { "20" } else { "19" }),
        (GENERALIZED_TIME, _) => text.to_owned(),
        _ => return None,
    };
    let moment = NaiveDateTime::parse_from_str(&full, "%Y%m%d%H%M%SZ").ok()?.and_utc();
    Some(Time::from_ns(moment.timestamp().saturating_mul(1_000_000_000)))
}

/// Tag, content and what comes after it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = bytes else { return None };
    let (length, rest) = match *length {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let (length, rest) = rest.split_at_checked(usize::from(long & 0x7F))?;
            let one = |sum: usize, byte: &u8| sum.checked_mul(256)?.checked_add(usize::from(*byte));
            (length.iter().try_fold(0, one)?, rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Certificates come from files that operators give.
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = end_of(&CertificateDer::from(bytes));
        }
    }
}
