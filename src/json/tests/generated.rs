//! Generated documents, and broken ones. A document of which parts are skipped is judged
//! as if all of it were kept, and what is kept is what `serde_json` reads.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    reason = "tests may panic"
)]

use super::super::{JsonError, Object, Value, read, read_levels};

/// Pieces that documents are broken with: what JSON is made of, and what it must not contain.
const PIECES: [&[u8]; 44] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\\u",
    b"\\u0000",
    b"\\ud83d",
    b"\\ude00",
    b"\\uD83D\\uDE00",
    b"\\n",
    b"\\x",
    b"\\/",
    b" ",
    b"\t\r\n",
    b"\x0b",
    b"\x00",
    b"\x1f",
    b"\x7f",
    b"\xc3\xa4",
    b"\xed\xa0\x80",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"-",
    b"+",
    b"0",
    b"00",
    b".",
    b"e",
    b"E5",
    b"e308",
    b"1e309",
    b"-0",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"true",
    b"null",
    b"NaN",
    b"//",
    b"\"a\":1,",
];

const NAMES: [&str; 12] = [
    "a",
    "b",
    "\\u0061",
    "name",
    "n\\u0061me",
    "id",
    "",
    "\u{e4}",
    "\\u00e4",
    "a\\u0000",
    "\\ud83d\\ude00",
    "a name of more than eight bytes",
];

const NUMBERS: [&str; 20] = [
    "0",
    "-0",
    "-1",
    "7",
    "1.5",
    "-2.50",
    "1e5",
    "1E-7",
    "9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1.8e308",
    "1e999",
    "0e999",
    "1e-999",
    "123456789012345678901234567890",
    "0.1e99",
];

/// Steele and Vigna's SplitMix64, so that a seed names a document.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        *choices.get(self.below(choices.len())).unwrap()
    }

    fn value(&mut self, depth: usize, text: &mut String) {
        text.push_str(self.of(&["", "", "", " ", "\n\t"]));
        match self.below(if depth > 5 { 4 } else { 8 }) {
            0 => text.push_str(self.of(&["true", "false", "null"])),
            1 => text.push_str(self.of(&NUMBERS)),
            2 => {
                let integer = self.next().cast_signed() >> self.below(64);
                text.push_str(&integer.to_string());
            }
            3 => self.string(text),
            4 | 5 => self.list(['[', ']'], depth, text, |_, _| {}),
            _ => {
                // Few documents repeat a name, so that most are read to their end.
                let unique = self.below(8) > 0;
                let mut number = 0_u32;
                self.list(['{', '}'], depth, text, |random, text| {
                    number += 1;
                    if unique {
                        text.push_str(&format!(
                            "\"m{number}{}\" :",
                            random.of(&["", "\\n", "\u{1f600}"])
                        ));
                    } else {
                        text.push_str(&format!("\"{}\":", random.of(&NAMES)));
                    }
                });
            }
        }
        text.push_str(self.of(&["", "", "", " ", "\r\n"]));
    }

    fn list(
        &mut self,
        [open, close]: [char; 2],
        depth: usize,
        text: &mut String,
        mut label: impl FnMut(&mut Self, &mut String),
    ) {
        text.push(open);
        let longest = self.of(&[1, 2, 4, 4, 40]);
        for element in 0..self.below(longest) {
            if element > 0 {
                text.push(',');
            }
            label(self, text);
            self.value(depth + 1, text);
        }
        text.push(close);
    }

    fn string(&mut self, text: &mut String) {
        text.push('"');
        for _ in 0..self.below(20) {
            text.push_str(self.of(&[
                "a",
                "text of words",
                "\u{e4}",
                "\u{20ac}",
                "\u{1f600}",
                "\\n",
                "\\\"",
                "\\\\",
                "\\u00e4",
                "\\ud83d\\ude00",
                "\\u0000",
                "/",
                "\u{7f}",
            ]));
        }
        text.push('"');
    }

    fn broken(&mut self, mut document: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.below(3) {
            let at = self.below(document.len() + 1);
            match self.below(5) {
                0 => document.truncate(at),
                1 if at < document.len() => {
                    document.remove(at);
                }
                2 if at < document.len() => document[at] ^= 1 << self.below(8),
                3 => {
                    let until = (at + self.below(12)).min(document.len());
                    let part: Vec<u8> = document.drain(at..until).collect();
                    let to = self.below(document.len() + 1);
                    document.splice(to..to, part);
                }
                _ => {
                    document.splice(at..at, self.of(&PIECES).iter().copied());
                }
            }
        }
        document
    }
}

/// The value as `serde_json` keeps it.
fn plain(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => number.clone().into(),
        Value::String(string) => string.as_ref().into(),
        Value::Array(elements) => elements.iter().map(plain).collect(),
        Value::Object(object) => object.iter().map(|(name, value)| (name, plain(value))).collect(),
        Value::Skipped => unreachable!("all levels are kept"),
    }
}

/// What is to be left of a value inside of `depth` arrays and objects.
fn cut<'a>(value: &Value<'a>, depth: usize, levels: usize) -> Value<'a> {
    let inside = depth + 1;
    match value {
        _ if depth > levels => Value::Skipped,
        Value::Array(_) | Value::Object(_) if inside > levels => Value::Skipped,
        Value::Array(elements) => {
            Value::Array(elements.iter().map(|element| cut(element, inside, levels)).collect())
        }
        Value::Object(Object(members)) => {
            let members = members.iter();
            let cut = members.map(|(name, value)| (name.clone(), cut(value, inside, levels)));
            Value::Object(Object(cut.collect()))
        }
        other => other.clone(),
    }
}

fn check(document: &[u8]) -> Option<JsonError> {
    let shown = String::from_utf8_lossy(document);
    let whole = read(document);
    let serde: serde_json::Result<serde_json::Value> = serde_json::from_slice(document);
    match (&whole, serde) {
        (Ok(value), serde) => assert_eq!(plain(value), serde.unwrap(), "{shown}"),
        (Err(JsonError::Syntax | JsonError::NotUtf8), Ok(_)) => panic!("serde_json reads {shown}"),
        (Err(_), _) => {}
    }
    for levels in [0, 1, 2, 4] {
        let expected = whole.as_ref().map(|value| cut(value, 0, levels)).map_err(|error| *error);
        assert_eq!(read_levels(document, levels), expected, "{levels} levels of {shown}");
    }
    whole.err()
}

#[test]
fn levels_change_no_verdict_and_values_are_those_of_serde_json() {
    let mut verdicts = Vec::new();
    for seed in 0..20_000 {
        let mut random = Random(seed);
        let mut document = String::new();
        random.value(0, &mut document);
        let broken = random.broken(document.clone().into_bytes());
        verdicts.extend([document.as_bytes(), &broken].map(check));
    }
    // None of them is too rare to be tested.
    for verdict in [
        None,
        Some(JsonError::Syntax),
        Some(JsonError::DuplicateName),
        Some(JsonError::NulInName),
        Some(JsonError::NotUtf8),
    ] {
        let times = verdicts.iter().filter(|other| **other == verdict).count();
        assert!(times > verdicts.len() / 200, "{times} times {verdict:?}");
    }
}
