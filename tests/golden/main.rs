//! Golden vectors and samples: what was hashed or stored once is hashed and read alike for ever.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod forms;
mod identities;
mod segments;
mod snapshots;

use std::path::PathBuf;

/// `tests/golden`.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The bytes that a text of hex digits stands for.
fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map(|it| it.to_digit(16).unwrap()).collect();
    assert_eq!(digits.len() % 2, 0, "hex digits come in pairs");
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap())
        .collect()
}

/// Two lowercase digits a byte.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
