#![no_main]
use invispose_api::fuzzing::credentials;

// A token, and after a line break a key set.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (token, keys) = data.split_at(end);
    if let Ok(token) = std::str::from_utf8(token) {
        credentials(token, keys.get(1..).unwrap_or_default());
    }
});
