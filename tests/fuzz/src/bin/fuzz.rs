//! The fuzzer: libFuzzer with the target that `FUZZ_TARGET` names. `make fuzz` builds and runs it.

#![no_main]

use std::sync::OnceLock;

use athena_fuzz::{Target, target};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    static CHOSEN: OnceLock<Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        target(&name).unwrap_or_else(|| panic!("{name} is no target"))
    })(bytes);
});
