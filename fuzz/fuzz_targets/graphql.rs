#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| invispose_api::fuzzing::graphql_message(data));
