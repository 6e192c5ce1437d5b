#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| invispose_api::fuzzing::stream_message(data));
