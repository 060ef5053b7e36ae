//! Compiles lists of symmetric keys, which make and check what only this filter reads.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::compile::Notes;
use super::document::FromEnvironment;
use super::secrets::{Secrets, Value};
use crate::token::Secret;

/// One that makes and those that a rotation needs. Each costs one HMAC where something was
/// forged.
const MAX_KEYS: usize = 4;

/// Whoever writes a key pads it or not.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BASE64URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The keys that the list at `path` names, in its order. `new` makes one of `least`
/// bytes or more.
pub(super) fn read<K: PartialEq>(
    notes: &mut Notes,
    path: &str,
    keys: &[FromEnvironment],
    secrets: &Secrets,
    least: usize,
    new: fn(Vec<u8>) -> Option<K>,
) -> Vec<K> {
    if keys.len() > MAX_KEYS {
        let message = format!("has {} entries; at most {MAX_KEYS} are taken", keys.len());
        notes.problem(path, message);
    }
    let mut read: Vec<K> = Vec::new();
    for (index, reference) in keys.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let key = match secrets.read(notes, &path, reference) {
            Some(Value::Known(text)) => decode(&text).and_then(new),
            #[cfg(not(target_arch = "wasm32"))]
            Some(Value::Assumed) => continue,
            None => continue,
        };
        match key {
            Some(key) if read.contains(&key) => notes.problem(path, "is given twice"),
            Some(key) => read.push(key),
            None => {
                let name = &reference.env;
                let message = format!(
                    "the value of `{name}` is not base64 of at least {least} bytes; `openssl rand -base64 32` makes a key"
                );
                notes.problem(path, message);
            }
        }
    }
    read
}

fn decode(text: &Secret) -> Option<Vec<u8>> {
    let text = text.reveal().trim();
    BASE64.decode(text).or_else(|_| BASE64URL.decode(text)).ok()
}
